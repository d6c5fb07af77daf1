"""Prints dead letters. Text from senders is made harmless for a terminal: no control characters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridge.cli.views.plain_text import printable, short, table

COLUMNS = ("ID", "LAST", "COUNT", "REASON", "MAPPING", "TOPIC", "MESSAGE")


def show_list(letters: Sequence[Mapping[str, Any]]) -> None:
    """Print a table."""
    if not letters:
        print("no dead letters")
        return
    for line in table([COLUMNS, *(_row(letter) for letter in letters)]):
        print(line)


def _row(letter: Mapping[str, Any]) -> tuple[str, ...]:
    time = letter["lastTime"][:19].replace("T", " ") + "Z"
    texts = (short(letter[key]) for key in ("reason", "mapping", "topic"))
    return (str(letter["id"]), time, str(letter["count"]), *texts, printable(letter["message"]))


def show_letter(letter: Mapping[str, Any]) -> None:
    """Print one dead letter completely."""
    for key, value in letter.items():
        if key == "payload":
            _show_payload(value)
        elif key == "details":
            _show_each("details", value)
        elif key == "events":
            _show_each(f"events ({len(value)} of {letter['replayable']} that a replay submits)", value)
        else:
            print(f"{key}: {printable(value if isinstance(value, str) else json.dumps(value))}")


def _show_payload(payload: Mapping[str, str]) -> None:
    ((form, text),) = payload.items()
    print(f"payload ({form}):")
    # One line stays one line; other values are shown unchanged, because most are indented JSON.
    print("\n".join(f"  {printable(line)}" for line in text.split("\n")))


def _show_each(title: str, items: Iterable[Any]) -> None:
    print(f"{title}:")
    for item in items:
        print(f"  - {printable(json.dumps(item, ensure_ascii=False))}")
