"""The options of commands for operations, made from the table of operations. Pure.

A key such as ``nodeFieldSelector`` becomes the option ``--node-field-selector``. argparse checks what it can; the
bridge checks the rest.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

from bridge.interface.operation_options import PHASES, Kind, OperationSpec, Option

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
_PLURAL = re.compile(r"(?<=meter)s$")


def flag(key: str) -> str:
    """Return the option of a key: ``--tail-lines`` for ``tailLines``; singular for repeated values: ``--parameter``."""
    return "--" + _HUMP.sub(r"-\1", _PLURAL.sub("", key)).lower()


def add_operation_options(parser: argparse.ArgumentParser, spec: OperationSpec) -> None:
    """Add one option for each key of the operation, and an argument for the file if it has a workflow."""
    for option in spec.options:
        if option.kind is Kind.OBJECT:
            parser.add_argument(
                "file", metavar="FILE", help=f"{option.meaning}: YAML or JSON in a file, or - for standard input"
            )
        else:
            _add(parser, option)
    if spec.is_spooled:
        parser.add_argument(
            "--event-id", metavar="TEXT", help="requests with the same event id are carried out only once"
        )


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    names = [_SHORT[option.key]] if option.key in _SHORT else []
    names.append(flag(option.key))
    told: dict[str, Any] = {"dest": _dest(option.key), "help": _help(option)}
    if option.kind is Kind.BOOLEAN:
        parser.add_argument(*names, action="store_true", **told)
        return
    told["required"] = option.required
    if option.kind in (Kind.PARAMETERS, Kind.OUTPUTS):
        parser.add_argument(*names, metavar="NAME=VALUE", action="append", type=_pair, **told)
    elif option.kind is Kind.PHASES:
        parser.add_argument(*names, metavar="PHASE", action="append", choices=PHASES, **told)
    elif option.choices:
        parser.add_argument(*names, metavar=_words(option.key), choices=option.choices, **told)
    else:
        parser.add_argument(*names, metavar=_METAVARS[option.kind], type=_types(option), **told)


_SHORT = {"parameters": "-p", "follow": "-f"}
_METAVARS = {Kind.TEXT: "TEXT", Kind.INTEGER: "N", Kind.TIME: "TIME"}


def operation_body(args: argparse.Namespace, spec: OperationSpec) -> dict[str, object]:
    """Return the keys of the request for the parsed arguments, without its name and its workflow."""
    body: dict[str, object] = {}
    for option in spec.options:
        value = getattr(args, _dest(option.key), None)
        if value is None or value is False:
            continue
        body[option.key] = dict(value) if option.kind in (Kind.PARAMETERS, Kind.OUTPUTS) else value
    if spec.is_spooled and args.event_id:
        body["eventId"] = args.event_id
    return body


def _dest(key: str) -> str:
    return f"key_{key}"


def _words(key: str) -> str:
    return _HUMP.sub(r"_\1", key).upper()


def _help(option: Option) -> str:
    meaning = _REPHRASED.get(option.kind, option.meaning)
    choices = f": {', '.join(option.choices or PHASES)}" if option.choices or option.kind is Kind.PHASES else ""
    shows_default = option.default is not None and option.kind is not Kind.BOOLEAN
    default = f" (default {option.default})" if shows_default else ""
    required = " (required)" if option.required else ""
    repeated = "; may be given several times" if option.kind in _REPEATED else ""
    return f"{meaning}{choices}{repeated}{default}{required}".replace("%", "%%")


_REPEATED = frozenset({Kind.PARAMETERS, Kind.OUTPUTS, Kind.PHASES})
_REPHRASED = {
    Kind.PARAMETERS: "a value that overrides the workflow's own",
    Kind.OUTPUTS: "an output parameter",
    Kind.PHASES: "only workflows in this phase",
}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _types(option: Option) -> Callable[[str], object]:
    def number(text: str) -> int:
        low, high = option.least, option.most
        is_number = text.isascii() and text.removeprefix("-").isdigit() and len(text) < 19
        value = int(text) if is_number else None
        if value is None or (low is not None and value < low) or (high is not None and value > high):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return value

    return number if option.kind is Kind.INTEGER else _not_empty


def _not_empty(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text
