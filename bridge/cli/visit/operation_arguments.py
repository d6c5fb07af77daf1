"""The options of commands for operations, made from the table of operations. Pure.

A key such as ``nodeFieldSelector`` becomes the option ``--node-field-selector``. argparse checks what it can; the
bridge checks the rest.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from bridge.interface.keys import BOOLEAN, OBJECT, PARAMETERS, BodyKey, MisfitError, ValueKind
from bridge.interface.operations import OperationSpec

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
_PLURAL = re.compile(r"(?<=meter)s$")


def flag(key: str) -> str:
    """Return the option of a key: ``--tail-lines`` for ``tailLines``; singular for repeated values: ``--parameter``."""
    return "--" + _HUMP.sub(r"-\1", _PLURAL.sub("", key)).lower()


def add_operation_options(parser: argparse.ArgumentParser, spec: OperationSpec) -> None:
    """Add one option for each key of the operation, and an argument for the file if it has a workflow."""
    for option in spec.options:
        if option.kind is OBJECT:
            parser.add_argument(
                "file", metavar="FILE", help=f"{option.meaning}: YAML or JSON in a file, or - for standard input"
            )
        else:
            _add(parser, option)
    if spec.is_spooled:
        parser.add_argument(
            "--event-id", metavar="TEXT", help="requests with the same event id are carried out only once"
        )


def _add(parser: argparse.ArgumentParser, option: BodyKey) -> None:
    kind = option.kind
    names = [_SHORT[option.name]] if option.name in _SHORT else []
    names.append(flag(option.name))
    told: dict[str, Any] = {"dest": f"key_{option.name}", "help": _help(option)}
    if kind is BOOLEAN:
        parser.add_argument(*names, action="store_true", **told)
        return
    types: dict[str, Callable[[str], object]] = {"N": partial(_number, kind), _PAIR: _pair}
    parser.add_argument(
        *names,
        metavar=kind.argument or _HUMP.sub(r"_\1", option.name).upper(),
        action="append" if kind.each else "store",
        type=types.get(kind.argument, _not_empty),
        choices=kind.choices or None,
        required=option.required,
        **told,
    )


_SHORT = {"parameters": "-p", "follow": "-f"}
_PAIR = PARAMETERS.argument


def operation_body(args: argparse.Namespace, spec: OperationSpec) -> dict[str, object]:
    """Return the keys of the request for the parsed arguments, without its name and its workflow."""
    body: dict[str, object] = {}
    for option in spec.options:
        value = getattr(args, f"key_{option.name}", None)
        if value is None or value is False:
            continue
        body[option.name] = dict(value) if option.kind.argument == _PAIR else value
    if spec.is_spooled and args.event_id:
        body["eventId"] = args.event_id
    return body


def _help(option: BodyKey) -> str:
    kind = option.kind
    choices = f": {', '.join(kind.choices)}" if kind.choices else ""
    repeated = "; may be given several times" if kind.each else ""
    default = "" if option.default is None or kind is BOOLEAN else f" (default {option.default})"
    required = " (required)" if option.required else ""
    return f"{kind.each or option.meaning}{choices}{repeated}{default}{required}".replace("%", "%%")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _number(kind: ValueKind, text: str) -> object:
    is_number = text.isascii() and text.removeprefix("-").isdigit() and len(text) < 19
    try:
        return kind.read(int(text) if is_number else text)
    except MisfitError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a {kind.words}") from None


def _not_empty(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return text
