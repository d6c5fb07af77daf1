"""Validates the schedules of CronWorkflows: five fields, or a descriptor such as `@daily`.

Reports errors in the words of Argo's cron library; it computes no times, because simulated CronWorkflows do not fire by
themselves. Pure; run on the simulator's loop thread. Source: robfig/cron v3 parser.go; texts as recorded.
"""

from __future__ import annotations

import re
from itertools import starmap

_DESCRIPTORS = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
_EVERY = re.compile(r"^@every (\d+(\.\d+)?(ns|us|ms|s|m|h))+$")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_Bounds = tuple[int, int, dict[str, int]]

_BOUNDS: tuple[_Bounds, ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(_DAYS)}),
)


class _BadFieldError(Exception):
    """A field cannot be parsed."""


def fault_in(schedule: str) -> str:
    """Return what is wrong with a schedule; empty if it is valid.

    Args:
        schedule: E.g. `0 6 * * mon-fri`; may begin with `TZ=ZONE `.
    """
    text = schedule
    if text.startswith(("TZ=", "CRON_TZ=")):
        text = text.partition(" ")[2]
    if not text.strip():
        return "empty spec string"
    if text.startswith("@"):
        known = text in _DESCRIPTORS or _EVERY.match(text)
        return "" if known else f"unrecognized descriptor: {text}"
    fields = text.split()
    if len(fields) != len(_BOUNDS):
        return f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]"
    try:
        list(starmap(_check_field, zip(fields, _BOUNDS, strict=True)))
    except _BadFieldError as error:
        return str(error)
    return ""


def _check_field(field: str, bounds: _Bounds) -> None:
    for part in field.split(","):
        span, slash, step = part.partition("/")
        if slash and _number(step, {}) == 0:
            raise _BadFieldError(f"step of range should be a positive number: {part}")
        if span not in ("*", "?"):
            _check_span(span, part, bounds)


def _check_span(span: str, part: str, bounds: _Bounds) -> None:
    low, high, names = bounds
    ends = span.split("-")
    if len(ends) > 2:
        raise _BadFieldError(f"too many hyphens: {part}")
    first, last = _number(ends[0], names), _number(ends[-1], names)
    if first < low:
        raise _BadFieldError(f"beginning of range ({first}) below minimum ({low}): {part}")
    if last > high:
        raise _BadFieldError(f"end of range ({last}) above maximum ({high}): {part}")
    if first > last:
        raise _BadFieldError(f"beginning of range ({first}) beyond end of range ({last}): {part}")


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not (text.isascii() and text.isdigit()):
        raise _BadFieldError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text[:9])
