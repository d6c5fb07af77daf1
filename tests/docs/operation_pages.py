"""Makes the reference of operations for docs/interface.md."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import orjson

from bridge.interface.operation_options import SPECS, Kind, OperationSpec, Option

_SHOWN = {
    Kind.TEXT: "text",
    Kind.BOOLEAN: "true or false",
    Kind.INTEGER: "whole number",
    Kind.TIME: "time (RFC 3339)",
    Kind.PARAMETERS: "object, or list of texts",
    Kind.OUTPUTS: "object, or text",
    Kind.PHASES: "text, or list of texts",
    Kind.OBJECT: "object",
    Kind.LIST: "list of objects",
}


def operations() -> str:
    """Return the reference."""
    return "".join(line + "\n" for line in _reference())


def _reference() -> Iterator[str]:
    for spec in SPECS.values():
        yield f"#### {spec.operation.value}"
        yield ""
        kept = "Stored, then done." if spec.is_spooled else "Answered at once."
        yield textwrap.fill(f"{spec.meaning[0].upper()}{spec.meaning[1:]}. {kept}", 120)
        yield ""
        yield from _keys(spec)
        told = [f"`{one.key}` ({_SHOWN[one.kind]}: {one.meaning})" for one in spec.reply]
        success = "; ".join([f'Success: `"status": "{spec.success}"`', *told])
        yield textwrap.fill(f"{success}.", 120, break_on_hyphens=False)
        yield ""


def _keys(spec: OperationSpec) -> Iterator[str]:
    rows = [f"| `{spec.name_key}` | text | {spec.name_meaning}; required |"] if spec.name_key else []
    rows += [f"| `{option.key}` | {_value(option)} | {option.meaning}{_default(option)} |" for option in spec.options]
    if rows:
        yield "| key | value | meaning |"
        yield "| --- | --- | --- |"
        yield from rows
        yield ""


def _value(option: Option) -> str:
    if option.choices:
        return ", ".join(f"`{choice}`" for choice in option.choices)
    bounds = f", {option.least} to {option.most}" if option.most is not None else ""
    return _SHOWN[option.kind] + bounds


def _default(option: Option) -> str:
    if option.required:
        return "; required"
    return "" if option.default is None else f"; default `{orjson.dumps(option.default).decode()}`"
