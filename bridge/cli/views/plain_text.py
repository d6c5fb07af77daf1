"""Formats text for a terminal: tables, times, durations, progress bars. Makes text from outside harmless. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

WIDEST = 40


def printable(text: str) -> str:
    """Return `text` with control characters written as escapes, so that a terminal does not obey them."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def short(text: str, widest: int = WIDEST) -> str:
    """Return `text` made printable and cut to `widest` characters."""
    plain = printable(text)
    return plain if len(plain) <= widest else plain[: widest - 1] + "…"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table with columns as wide as their widest cell; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, e.g. ``1 error`` and ``2 errors``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def progress_bar(percent: int, cells: int = 20) -> str:
    """Return a bar of `cells` characters for 0 to 100 percent, e.g. ``━━━━━╺╺╺``."""
    full = percent * cells // 100
    return "━" * full + "╺" * (cells - full)


def shown_time(text: object) -> str:
    """Return an RFC 3339 time in readable form, in UTC, or "-"."""
    moment = _moment(text)
    return moment.strftime("%Y-%m-%d %H:%M:%SZ") if moment else "-"


def shown_duration(begun: object, ended: object) -> str:
    """Return the time between two RFC 3339 times, e.g. ``1h02m`` or ``5s``, or "-" if one is missing."""
    first, last = _moment(begun), _moment(ended)
    if first is None or last is None:
        return "-"
    seconds = max(0, round((last - first).total_seconds()))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02}m"


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
