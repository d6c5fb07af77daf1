"""Durations (`500ms 10s 5m 24h 7d`) and sizes (`256KiB 4GiB`) as text and as numbers. Pure; any thread."""

from __future__ import annotations

import re

_DURATION = re.compile(r"([0-9]{1,15})(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,18})(B|KiB|MiB|GiB|TiB)")
_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

DURATION_PATTERN = rf"^{_DURATION.pattern}$"
SIZE_PATTERN = rf"^{_SIZE.pattern}$"


def parse_duration(text: str) -> float | None:
    """Seconds, exact to the millisecond; None if `text` is not a duration (a unit is required)."""
    match = _DURATION.fullmatch(text)
    return None if match is None else int(match[1]) * _MILLISECONDS[match[2]] / 1000


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as the same number of milliseconds."""
    return _largest_unit(round(seconds * 1000), _MILLISECONDS, "s")


def parse_size(text: str) -> int | None:
    """Bytes; None if `text` is not a size (a unit is required, powers of 1024 only)."""
    match = _SIZE.fullmatch(text)
    return None if match is None else int(match[1]) * _BYTES[match[2]]


def format_size(size_bytes: int) -> str:
    """The shortest text that `parse_size` reads as the same number."""
    return _largest_unit(size_bytes, _BYTES, "B")


def _largest_unit(amount: int, units: dict[str, int], zero_unit: str) -> str:
    if amount == 0:
        return f"0{zero_unit}"
    unit = max((name for name in units if amount % units[name] == 0), key=lambda name: units[name])
    return f"{amount // units[unit]}{unit}"
