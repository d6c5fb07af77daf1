"""Makes the tables of operations and message keys for docs/interface.md and docs/operations.md."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import orjson

from bridge.interface.described.schemas import DEAD_LETTER_KEYS
from bridge.interface.keys import BodyKey
from bridge.interface.messages import SUBMIT_KEYS
from bridge.interface.operations import SPECS, OperationSpec


def operations() -> str:
    """Return the reference."""
    return "".join(line + "\n" for line in _reference())


def submit() -> str:
    """Return the table of the keys of ``submit``."""
    rows = (f"| `{key.name}` | {key.kind.words} | {key.meaning} |\n" for key in SUBMIT_KEYS)
    return "| key of `submit` | value | meaning |\n| --- | --- | --- |\n" + "".join(rows)


def dead_letter() -> str:
    """Return the table of the keys of a dead letter."""
    rows = (f"| `{key.name}` | {key.meaning} |\n" for key in DEAD_LETTER_KEYS)
    return "| key | meaning |\n| --- | --- |\n" + "".join(rows)


def repeats() -> str:
    """Return the table of what a repetition does."""
    head = "| operation | repetition after a lost response |\n| --- | --- |\n"
    return head + "".join(_rows({spec: spec.repeat for spec in SPECS.values()}))


def rights() -> str:
    """Return the table of rights at the Argo Server."""
    head = "| operation | additional rights |\n| --- | --- |\n"
    return head + "".join(_rows({spec: spec.rights for spec in SPECS.values()}))


def _rows(texts: dict[OperationSpec, str]) -> Iterator[str]:
    """Yield a row for each text, with all the operations that have it."""
    for text in filter(None, dict.fromkeys(texts.values())):
        names = ", ".join(f"`{spec.operation.value}`" for spec, one in texts.items() if one == text)
        yield f"| {names} | {text} |\n"


def _reference() -> Iterator[str]:
    for spec in SPECS.values():
        yield f"#### {spec.operation.value}"
        yield ""
        kept = "Stored, then done." if spec.is_spooled else "Answered at once."
        yield textwrap.fill(f"{spec.meaning[0].upper()}{spec.meaning[1:]}. {kept}", 120)
        yield ""
        yield from _keys(spec)
        told = [f"`{one.name}` ({one.kind.words}: {one.meaning})" for one in spec.reply]
        success = "; ".join([f'Success: `"status": "{spec.success}"`', *told])
        yield textwrap.fill(f"{success}.", 120, break_on_hyphens=False)
        yield ""


def _keys(spec: OperationSpec) -> Iterator[str]:
    if spec.keys:
        yield "| key | value | meaning |"
        yield "| --- | --- | --- |"
        yield from (f"| `{key.name}` | {_value(key)} | {key.meaning}{_default(key)} |" for key in spec.keys)
        yield ""


def _value(key: BodyKey) -> str:
    # A list of phases is described in words, because it may also be a single one.
    choices = () if key.kind.each else key.kind.choices
    return ", ".join(f"`{choice}`" for choice in choices) or key.kind.words


def _default(key: BodyKey) -> str:
    if key.required:
        return "; required"
    return "" if key.default is None else f"; default `{orjson.dumps(key.default).decode()}`"
