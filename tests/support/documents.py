"""Reads the Markdown documents of the repository: blocks of code, links, anchors, command lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its document, language, line, and text."""

    document: str
    language: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[Path]:
    """Every Markdown document that users and contributors read."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def name_of(path: Path) -> str:
    """The document's path as people say it."""
    return str(path.relative_to(ROOT))


def blocks(language: str) -> list[Block]:
    """Every fenced block in one language."""
    found = []
    for path in documents():
        text = path.read_text(encoding="utf-8")
        for match in _FENCE.finditer(text):
            if match[1] == language:
                found.append(Block(name_of(path), match[1], text.count("\n", 0, match.start()) + 1, match[2]))
    return found


def prose(path: Path) -> str:
    """A document without its fenced blocks."""
    return _FENCE.sub("", path.read_text(encoding="utf-8"))


def links(path: Path) -> list[str]:
    """Where a document's links lead to."""
    return _LINK.findall(prose(path))


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in _HEADING.findall(prose(path))}


def command_lines(path: Path) -> list[str]:
    """The lines of a document's indented blocks, continued lines joined."""
    lines = re.findall(r"^    (\S.*)$", prose(path).replace("\\\n", " "), re.MULTILINE)
    return [line.strip() for line in lines]
