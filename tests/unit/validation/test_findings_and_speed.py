"""Findings as data, their documentation, and what the hot path may cost."""

from pathlib import Path

import pytest
from valid_workflows import LIBRARY, NEWEST, container, workflow

from bridge.validation import library
from bridge.validation.finding import Finding, FindingCode, describe, in_order, listed
from bridge.validation.library import schema_folder
from tests.support.work import lines_run

ROOT = Path(__file__).resolve().parents[3]


def test_every_code_is_documented():
    """A code that people cannot look up tells them nothing."""
    text = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
    assert [code for code in sorted(FindingCode) if f"| `{code}` |" not in text] == []


def test_equal_findings_are_told_once_and_numbers_sort_as_numbers():
    """Two rules may find the same; 10 comes after 9."""
    twice = Finding(("a", 10), "bad-value", "x")
    assert [one.pointer for one in in_order([twice, Finding(("a", 9), "bad-value", "x"), twice])] == ["/a/9", "/a/10"]


def test_a_finding_at_the_root_has_an_empty_pointer():
    """RFC 6901; people are shown a slash."""
    root = Finding((), "bad-value", "wrong")
    assert (root.pointer, root.text, root.detail()["pointer"]) == ("", "wrong (at /)", "")


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "null"), (True, "true"), (3, "the number 3"), ("a", '"a"'), ([1], "a list"), ({}, "a map")],
)
def test_a_value_is_described_in_words(value, words):
    """Replies never echo whole payloads."""
    assert describe(value) == words
    assert len(describe("x" * 1000)) <= 62


def test_lists_read_like_sentences():
    """a, b or c."""
    assert (listed(["a"]), listed(["a", "b"]), listed(("a", "b", "c"), "and")) == ("a", "a or b", "a, b and c")


def test_the_shipped_schemas_are_found_in_a_checkout_and_in_a_wheel(tmp_path, monkeypatch):
    """An installed bridge has no checkout around it."""
    assert schema_folder() == ROOT / "schemas" / "argo"
    package = tmp_path / "site-packages" / "bridge"
    (package / "_schemas" / "argo").mkdir(parents=True)
    monkeypatch.setattr(library, "_PACKAGE", package)
    assert schema_folder() == package / "_schemas" / "argo"


def test_a_valid_workflow_costs_what_the_hot_path_can_bear():
    """Compiled once, a check is some lines of Python for a small one, and grows with the templates alone."""
    validator = LIBRARY.validator(NEWEST)
    tasks = [{"name": f"a{index}", "template": f"t{index}"} for index in range(100)]
    templates = [{"name": "main", "dag": {"tasks": tasks}}, *(container(f"t{index}") for index in range(100))]
    small, large = workflow(container()), workflow(*templates)
    assert validator.check(small) is None
    assert validator.check(large) is None
    assert lines_run(lambda: validator.check(small)) < 500
    assert lines_run(lambda: validator.check(large)) < 20_000
