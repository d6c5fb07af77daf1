"""The commands' options are those of the table of operations, and mean what the parser of requests reads."""

import argparse

import pytest

from bridge.cli.main import build_parser
from bridge.cli.visit.operation_arguments import flag, operation_body
from bridge.core.model import Message
from bridge.interface.keys import BOOLEAN, OBJECT
from bridge.interface.messages import RequestBody, operation_request
from bridge.interface.operations import SPECS

EXAMPLES = {"TEXT": "text", "N": "7", "TIME": "2026-11-24T14:00:00Z", "NAME=VALUE": "a=b=c"}


def parse(*arguments):
    """The parsed arguments of one command."""
    return build_parser().parse_args([arguments[0], "--config", "bridge.yaml", *arguments[1:]])


def positionals(spec):
    """What stands without an option."""
    return ["w-1"] * bool(spec.name_key) + ["-"] * any(option.kind is OBJECT for option in spec.options)


def given(option):
    """An option with a value."""
    if option.kind is BOOLEAN:
        return [flag(option.name)]
    return [flag(option.name), option.kind.choices[0] if option.kind.choices else EXAMPLES[option.kind.argument]]


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: spec.operation.value)
def test_every_option_can_be_given(spec):
    """And becomes the key that the bridge reads, in a form that it takes."""
    options = [option for option in spec.options if option.kind is not OBJECT]
    words = [word for option in options for word in given(option)]
    args = parse(spec.operation.value, *positionals(spec), *words)
    body = operation_body(args, spec)
    assert body.keys() == {option.name for option in options}
    whole = body | ({spec.name_key: "w-1"} if spec.name_key else {})
    whole |= {option.name: {} for option in spec.options if option.kind is OBJECT}
    request = operation_request(spec.operation, Message("plant", "x", b""), RequestBody(whole))
    assert request.options.keys() >= body.keys()


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: spec.operation.value)
def test_what_is_not_given_is_not_sent(spec):
    """So that the bridge's defaults hold, also those of a later release."""
    required = [
        word for option in spec.options if option.required and option.kind is not OBJECT for word in given(option)
    ]
    body = operation_body(parse(spec.operation.value, *positionals(spec), *required), spec)
    assert body.keys() == {option.name for option in spec.options if option.required and option.kind is not OBJECT}


def test_values_may_be_given_several_times():
    """The first = ends the name; of equal names the last counts."""
    args = parse("retry", "w-1", "-p", "a=1", "--parameter", "b=x=y", "-p", "a=2")
    assert operation_body(args, args.spec) == {"parameters": {"a": "2", "b": "x=y"}}


def test_only_what_is_stored_takes_an_event_id():
    """A read may be repeated anyhow."""
    args = parse("stop", "w-1", "--event-id", "e-1")
    assert operation_body(args, args.spec) == {"eventId": "e-1"}
    with pytest.raises(SystemExit):
        parse("get", "w-1", "--event-id", "e-1")


@pytest.mark.parametrize(
    ("key", "name"), [("tailLines", "--tail-lines"), ("parameters", "--parameter"), ("uid", "--uid")]
)
def test_a_key_is_an_option_of_the_usual_form(key, name):
    """Words apart, singular where one is given at a time."""
    assert flag(key) == name


def test_help_can_be_printed():
    """A percent sign in a meaning would break it."""
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            texts = [parser.format_help() for parser in action.choices.values()]
            assert len(texts) > len(SPECS)
            assert all("exit code" in text.lower() for text in texts if "operation" in text)
