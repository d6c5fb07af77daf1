"""Writes the table of keys into docs/configuration.md, from the declared keys: `python -m tests.docs.key_table`."""

from __future__ import annotations

from pathlib import Path

from bridge.configfile.fields import Section
from bridge.configfile.reference import key_table
from bridge.settings.model import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
BEGIN, END = "<!-- keys: begin -->\n", "<!-- keys: end -->\n"


def with_table(page: str) -> str:
    """The page with the table as it must be."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + key_table(Section(Settings)) + END + after


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
