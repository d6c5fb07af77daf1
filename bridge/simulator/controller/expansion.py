"""Expands a step or task into items (`withItems`, `withParam`, `withSequence`), and names them.

Pure; run on the simulator's loop thread. Source: Argo v4.1 workflow/controller/operator.go (processItem,
expandSequence); names as recorded.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from bridge.simulator.controller.calls import Scope
from bridge.simulator.controller.expressions import substitute
from bridge.simulator.objects.store import Object

_VERB = re.compile(r"%[-+ 0#]*[0-9]{0,3}[dxXo]")
_WHOLE = re.compile(r"^-?[0-9]{1,9}$")
_MAX_SEQUENCE = 1000


def items_of(step: Object, scope: Scope) -> list[Any] | None:
    """Return the items of a step or task; None if it runs only once.

    Args:
        step: A step or task.
        scope: Values for `{{...}}`.
    """
    if "withItems" in step:
        return list(step["withItems"])
    if "withParam" in step:
        try:
            value = orjson.loads(substitute(step["withParam"], scope))
        except orjson.JSONDecodeError:
            return None
        return value if isinstance(value, list) else None
    return _sequence(step["withSequence"], scope) if isinstance(step.get("withSequence"), dict) else None


def _sequence(sequence: Object, scope: Scope) -> list[str]:
    numbers = {}
    for key in ("count", "start", "end"):
        text = substitute(str(sequence.get(key, "")), scope)
        numbers[key] = int(text) if _WHOLE.match(text) else None
    start, end = numbers["start"] or 0, numbers["end"]
    if end is None:
        count = 1 if numbers["count"] is None else numbers["count"]
        end = start + count - 1
        if count < 1:
            return []
    step = 1 if end >= start else -1
    form = str(sequence.get("format") or "%d")
    return [_formatted(form, number) for number in range(start, end + step, step)[:_MAX_SEQUENCE]]


def _formatted(form: str, number: int) -> str:
    return _VERB.sub(lambda verb: verb[0] % number, form)


def item_scope(item: Any) -> Scope:
    """Return the values of `{{item}}` and `{{item.key}}` for one item."""
    keys = {f"item.{key}": _text(value) for key, value in item.items()} if isinstance(item, dict) else {}
    return {"item": _text(item), **keys}


def item_suffix(index: int, item: Any) -> str:
    """Return the suffix that an item adds to the name of its node, e.g. `(0:image:debian,tag:9.1)`."""
    if isinstance(item, dict):
        text = ",".join(sorted(f"{key}:{_text(value)}" for key, value in item.items()))
    elif isinstance(item, list):
        text = f"[{' '.join(_text(value) for value in item)}]"
    else:
        text = _text(item)
    return f"({index}:{text.replace('(', '').replace(')', '')})"


def _text(item: Any) -> str:
    return item if isinstance(item, str) else orjson.dumps(item, option=orjson.OPT_SORT_KEYS).decode()
