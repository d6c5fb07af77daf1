"""Links between documents lead somewhere, and what documents name is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from bridge.cli.main import build_parser
from tests.support.documents import ROOT, anchors, command_lines, documents, links

DOCUMENTS = pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)


@DOCUMENTS
def test_links_resolve(path: Path) -> None:
    """Each link within the repository leads to a file that is there, and to a heading of it."""
    broken = []
    for link in links(path):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name) if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_guide_is_linked_from_the_readme() -> None:
    """No guide is only found by accident."""
    linked = {link.partition("#")[0] for link in links(ROOT / "README.md")}
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")} <= linked


@pytest.mark.parametrize("document", ["docs/continuity.md", "SECURITY.md"])
def test_each_row_names_tests_that_there_are(document: str) -> None:
    """Each row of what survives what, and of who is kept from what, names tests that are there, or that it has none."""
    text = (ROOT / document).read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 15
    for row in rows:
        shown_by = row.rsplit("|", 2)[1]
        named = re.findall(r"`(tests/[^`]+)`", shown_by)
        assert named or "not tested" in shown_by, row
        assert [name for name in named if not _is_test(name)] == [], row


def _is_test(name: str) -> bool:
    """Whether a path, or a path and a function of it (``tests/x.py::test_y``), is there."""
    path, _, function = name.partition("::")
    if not (ROOT / path).exists():
        return False
    return not function or f"def {function}(" in (ROOT / path).read_text(encoding="utf-8")


@DOCUMENTS
def test_make_targets_exist(path: Path) -> None:
    """Each `make X` of a document is a target of the Makefile."""
    text = path.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"^    make ([a-z]+)", text, re.MULTILINE)) | set(re.findall(r"`make ([a-z]+)", text))
    assert named - targets == set()


@DOCUMENTS
def test_command_lines_are_understood(path: Path) -> None:
    """Each argo-bridge line of an indented block has options and arguments that the command takes."""
    for line in command_lines(path):
        words = line.split()
        if not words[0].endswith("argo-bridge") or re.search(r"\[|\bFILE\b|SOURCE", line):
            continue  # with placeholders it is a synopsis
        build_parser().parse_args(shlex.split(line)[1:])


@DOCUMENTS
def test_files_of_commands_exist(path: Path) -> None:
    """What a command line copies from the repository is there."""
    for line in command_lines(path):
        for name in re.findall(r"(?<!\S)((?:config|deploy)[\w./-]*)", line):
            assert (ROOT / name).exists(), line
