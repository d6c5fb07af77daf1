"""The JSON Schemas of the interface are what the program declares, and mean what its parsers mean."""

import contextlib
import json

import jsonschema
import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import PermanentError
from bridge.core.model import Message, Phase, ReplyAddress, WorkflowRef
from bridge.interface import replies
from bridge.interface.described.schemas import interface_schemas
from bridge.interface.keys import BOOLEAN, OBJECT, OUTPUTS, PARAMETERS, PHASE_OR_PHASES, TEXT, TIME
from bridge.interface.messages import (
    INTERFACE_KEYS,
    SUBMIT_NAMES,
    TRIGGER_NAMES,
    RequestBody,
    operation_request,
    trigger_message,
)
from bridge.interface.operations import SPECS, Operation
from bridge.interface.replies import Refusal
from bridge.interface.status import body, status_document
from bridge.interface.status_updates import UPDATE_KEYS, external_update

SCHEMAS = interface_schemas()
VALIDATORS = {name: jsonschema_rs.validator_for(schema, validate_formats=True) for name, schema in SCHEMAS.items()}
MESSAGE = Message("plant", "argo/workflows/x", b"{}")

names = st.text("ab=é", max_size=3)
scalars = st.sampled_from([None, True, 0, -1, 1.0, 1.5, 501, 20_000, "", "a", "x" * 4097, "Failed", "1"])
anything = scalars | st.lists(scalars, max_size=2) | st.dictionaries(names, scalars, max_size=2)
values = st.dictionaries(names, scalars.filter(lambda value: value is not None), max_size=2)
RIGHT = {
    TEXT: st.sampled_from(["Succeeded", "Failed", "x" * 4096]),
    BOOLEAN: st.booleans(),
    TIME: st.sampled_from(["2026-11-24T14:00:00Z", "2026-11-24t14:00:00.123456789+01:00"]),
    PARAMETERS: values | st.lists(st.sampled_from(["a=1", "b=", "c=="]), unique=True),
    OUTPUTS: values | st.just('{"a": 1}'),
    PHASE_OR_PHASES: st.sampled_from(["Failed", ["Error"], ["Pending", "Running"], ["Error", "Error"]]),
    OBJECT: st.dictionaries(names, scalars, max_size=2),
}
WRONG = {
    TIME: anything | st.sampled_from(["2026-11-24", "now", "2026-13-24T14:00:00Z"]),
    PARAMETERS: anything | st.sampled_from([["=d"], ["e"], [5], {"a": None}]),
    # No texts: whether one is the JSON of an object is more than a schema can tell.
    OUTPUTS: st.sampled_from([None, True, 1, [], {"a": None}, ["a=1"]]),
    PHASE_OR_PHASES: anything | st.sampled_from(["failed", [], ["Error", "no"], [["Error"]]]),
}
COMMON = {
    "namespace": st.just("factory"),
    "eventId": st.sampled_from(["a", 1, 1.5]),
    "requestId": anything,
}
REMOVED = object()


def bodies(right, required=(), wrong=None, others=()):
    """Requests that are right, and such with up to two things wrong with them.

    right: a strategy of good values by key; wrong: of bad ones; others: keys that the interface knows.
    """
    keys = {**COMMON, **right}
    good = st.fixed_dictionaries(
        {key: keys[key] for key in required}, optional={key: keys[key] for key in keys if key not in required}
    )
    bad = dict.fromkeys(keys, anything) | (wrong or {})
    faults = [st.tuples(st.just(key), bad[key] | st.just(REMOVED)) for key in keys]
    strangers = st.tuples(st.sampled_from(sorted({*others, "x", "Namespace"} - keys.keys())), anything)
    return st.builds(changed, good, st.lists(st.one_of(strangers, *faults), max_size=2))


def changed(request, faults):
    """A request with these keys replaced or removed."""
    merged = {**request, **dict(faults)}
    return {key: value for key, value in merged.items() if value is not REMOVED}


def accepts(parse, *arguments):
    """Whether a parser takes what it is given."""
    with contextlib.suppress(PermanentError):
        parse(*arguments)
        return True
    return False


def test_every_operation_has_a_request_and_a_reply():
    """And nothing has a schema that there is not."""
    wanted = {f"{operation.value}.{kind}.json" for operation in Operation for kind in ("request", "reply")}
    rest = {"error", "status", "status-update", "status-update.reply", "dead-letter", "availability", "state", "report"}
    assert SCHEMAS.keys() == wanted | {f"{name}.json" for name in rest}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_in_both_drafts(name):
    """AsyncAPI reads them as draft-07, everybody else as draft 2020-12."""
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    jsonschema.Draft7Validator.check_schema(SCHEMAS[name])
    assert "$ref" not in {key for part in walk(SCHEMAS[name]) if len(part) > 1 for key in part}


def walk(schema):
    """Every object within a schema."""
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from walk(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from walk(value)


@pytest.mark.parametrize("operation", SPECS, ids=lambda operation: operation.value)
def test_the_schema_of_a_request_takes_what_the_parser_takes(operation):
    """And refuses what it refuses: names, types, bounds, choices, unknown keys."""
    spec = SPECS[operation]
    right = {option.name: right_of(option) for option in spec.options}
    wrong = {option.name: WRONG[option.kind] for option in spec.options if option.kind in WRONG}
    required = [option.name for option in spec.options if option.required]
    if spec.name_key:
        right[spec.name_key] = st.just("w-1")
        required.append(spec.name_key)
    validator = VALIDATORS[f"{operation.value}.request.json"]
    outcomes = set()

    @given(bodies(right, required, wrong, INTERFACE_KEYS))
    def agree(request):
        taken = accepts(operation_request, operation, MESSAGE, RequestBody(request))
        outcomes.add(taken)
        assert validator.is_valid(request) == taken, request

    agree()
    assert outcomes == {True, False}, "the search is broken"


def right_of(option):
    """Good values of an option; the kinds that are not in the table are choices and whole numbers."""
    if option.kind in RIGHT:
        return RIGHT[option.kind]
    return st.sampled_from(option.kind.choices or [1, 2.0, 500])


submits = st.fixed_dictionaries(
    {"template": st.just("a")},
    optional={
        "clusterTemplate": st.just("b"),
        **{key: st.sampled_from(["a", ""]) for key in SUBMIT_NAMES if "emplate" not in key},
        "parameters": st.dictionaries(names, scalars, max_size=2),
        "labels": st.dictionaries(names, st.text(max_size=2), max_size=2),
        "annotations": st.dictionaries(names, scalars, max_size=1),
        "Labels": scalars,
    },
)
cluster = st.builds(lambda name: {"clusterTemplate": name}, st.sampled_from(["a", ""]))


@given(
    bodies(
        {"workflow": st.none() | st.dictionaries(names, scalars), "submit": st.none() | submits | cluster},
        others={*INTERFACE_KEYS, *SUBMIT_NAMES, *TRIGGER_NAMES},
    )
)
def test_the_schema_of_a_trigger_message_takes_what_the_parser_takes(request_body):
    """Either workflow or submit, either template or clusterTemplate, no null among the values."""
    taken = accepts(trigger_message, MESSAGE, RequestBody(request_body))
    assert VALIDATORS["trigger.request.json"].is_valid(request_body) == taken, request_body


@given(
    bodies(
        {
            "workflowId": st.sampled_from(["w-1", "a.b"]),
            "status": st.sampled_from(["Running", "Failed"]),
            "progress": st.sampled_from(["0%", "99%", "100%"]),
            "message": st.text(max_size=3),
            "details": st.dictionaries(names, scalars, max_size=1),
        },
        ["workflowId", "status"],
        {
            "workflowId": anything | st.sampled_from(["W", "-", "a/b", "w-1\n"]),
            "status": anything | st.sampled_from(["Done", "failed"]),
            "progress": anything | st.sampled_from(["101%", "5", "07%", "5%\n"]),
        },
        [key.name for key in UPDATE_KEYS],
    )
)
def test_the_schema_of_a_status_update_takes_what_the_parser_takes(update):
    """As other systems send them."""
    update.pop("eventId", None)
    taken = accepts(external_update, update)
    assert VALIDATORS["status-update.json"].is_valid(update) == taken, update


def load(message):
    """The body of a message."""
    return json.loads(message.payload)


@pytest.mark.parametrize("request_id", ["", "17", '{"a": [1]}'])
def test_replies_fit_their_schemas(request_id):
    """Success and refusal, with and without requestId."""
    address = ReplyAddress("plant", "here", request_id=request_id)
    triggered = load(replies.triggered(address, "w-1"))
    assert VALIDATORS["trigger.reply.json"].is_valid(triggered)
    assert not VALIDATORS["trigger.reply.json"].is_valid({**triggered, "more": 1})
    stopped = load(replies.succeeded(address, Operation.STOP, {"workflowId": "w-1"}))
    assert VALIDATORS["stop.reply.json"].is_valid(stopped)
    assert not VALIDATORS["trigger.reply.json"].is_valid(stopped), "each operation has its own sentence"
    assert VALIDATORS["status-update.reply.json"].is_valid(load(replies.status_received(address)))
    details = [{"message": "m", "pointer": "/a", "code": "c"}] * 150
    refused = replies.refused(address, Refusal("invalid-workflow", "no", details))
    for payload in (refused.payload, replies.shrink(refused.payload, 80)):
        assert VALIDATORS["error.json"].is_valid(json.loads(payload)), payload
        assert VALIDATORS["set.reply.json"].is_valid(json.loads(payload)), payload


@pytest.mark.parametrize("limit", [10_000, 400, 250])
def test_status_messages_fit_their_schema(limit):
    """Whole and cut ones."""
    details = {
        "bridge": "plant-1",
        "uid": "u",
        "startedAt": "2026-11-24T14:00:00Z",
        "outputs": {"a": "x" * 300},
        "failedNode": {"name": "n", "template": "t", "message": "m", "exitCode": 3},
    }
    update = status_document(WorkflowRef("factory", "w-1", "u"), Phase.FAILED, "1/2", "m" * 200, details)
    document = json.loads(body(update, limit))
    assert VALIDATORS["status.json"].is_valid(document)
    del document["progress"]
    assert not VALIDATORS["status.json"].is_valid(document)
