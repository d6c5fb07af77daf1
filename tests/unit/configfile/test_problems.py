"""Promises of problems: one line each, in the order of the files, none twice."""

from bridge.configfile.nodes import quote
from bridge.configfile.problems import Code, Position, Problems


def test_lines_are_in_the_order_of_the_files():
    """By file, line and column as numbers; a warning says so; a variable has no line."""
    problems = Problems()
    problems.error(Position("b.yaml", 1, 1), Code.BAD_VALUE, "third")
    problems.error(Position("a.yaml", 10, 1), Code.BAD_VALUE, "second")
    problems.warning(Position("a.yaml", 9, 20), Code.NO_FILES, "first")
    problems.error(Position("environment X"), "own-code", "last")
    problems.error(Position("environment X"), "own-code", "last")
    assert [problem.render() for problem in problems.in_order()] == [
        "a.yaml:9:20: warning: no-files: first",
        "a.yaml:10:1: bad-value: second",
        "b.yaml:1:1: bad-value: third",
        "environment X: own-code: last",
    ]


def test_warnings_are_no_errors():
    """Only errors refuse a configuration."""
    problems = Problems()
    problems.warning(Position("a"), Code.NO_FILES, "x")
    assert not problems.has_errors
    problems.error(Position("a"), Code.NO_FILES, "x")
    assert problems.has_errors


def test_a_quoted_text_stays_one_short_line():
    """Whatever stands in a file cannot forge lines or colour them."""
    assert quote("a\nb\x1b[1m") == r'"a\nb\x1b[1m"'
    assert quote("ü") == '"ü"'
    assert len(quote("x" * 500)) == 82
