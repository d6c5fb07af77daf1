"""Log lines read well for people, parse for machines, and cannot be forged."""

import io
import json
import logging
import sys

import pytest

from bridge.core import log


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_line_has_its_sentence_and_its_keys(form: str) -> None:
    """The sentence and the fixed keys are on one line in both formats."""
    stream = io.StringIO()
    log.configure(form, "info", stream)
    log.logger("bridge.test").info("stored %d events", 3, extra=log.fields(action="store", mapping="m"))
    line = stream.getvalue()
    assert line.count("\n") == 1
    if form == "json":
        assert json.loads(line) | {"message": "stored 3 events", "action": "store", "mapping": "m"} == json.loads(line)
    else:
        assert "stored 3 events" in line
        assert "action=store  mapping=m" in line


def test_a_topic_cannot_forge_a_line() -> None:
    """Control characters in a value are escaped."""
    stream = io.StringIO()
    log.configure("console", "info", stream)
    log.logger("bridge.test").warning("refused", extra=log.fields(topic="a\n00:00 ERROR forged"))
    assert stream.getvalue().count("\n") == 1


def test_no_value_loses_a_line() -> None:
    """Text that UTF-8 cannot hold, or an endless integer, is written all the same."""
    stream = io.StringIO()
    log.configure("json", "info", stream)
    log.logger("bridge.test").info("odd", extra=log.fields(topic="a/\ud800", attempt=2**70))
    line = json.loads(stream.getvalue())
    assert (line["topic"], line["attempt"]) == ("a/\ud800", 2**70)


def test_levels_hold_back() -> None:
    """A line below the level is not written."""
    stream = io.StringIO()
    log.configure("console", "warning", stream)
    log.logger("bridge.test").info("quiet")
    assert stream.getvalue() == ""


def test_throttle_lets_one_through_a_period_and_counts_the_rest() -> None:
    """The first line of a minute is logged, and the next one says how many were held back."""
    throttle = log.Throttle(period_s=60)
    assert throttle.allow("k", 0) == (True, 0)
    assert throttle.allow("k", 1) == (False, 1)
    assert throttle.allow("k", 2) == (False, 2)
    assert throttle.allow("other", 2) == (True, 0)
    assert throttle.allow("k", 61) == (True, 2)


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_line_is_long_whatever_it_tells_of(form: str) -> None:
    """A topic, a sentence and an exception of 60 KB each, control characters too, make a line of a few KB."""
    stream = io.StringIO()
    log.configure(form, "info", stream)
    long = "t\n" * 30_000
    try:
        raise ValueError(long)
    except ValueError:
        log.logger("bridge.test").warning("refused %s", long, exc_info=True, extra=log.fields(topic=long, other=[long]))
    line = stream.getvalue()
    assert len(line) < log.MAX_TEXT * 6 + log.MAX_VALUE * 12 + log.MAX_TRACEBACK * 2 + 1000
    assert "refused t" in line
    assert "ValueError" in line


def test_a_flood_from_one_place_is_bounded_and_told() -> None:
    """A place and code get their lines a minute; the next line says how many there were not; others go on."""
    now_s = 0.0
    budget = log.LineBudget(lambda: now_s)

    def record(line: int, code: str = "a") -> logging.LogRecord:
        made = logging.LogRecord("bridge.test", logging.WARNING, "place.py", line, "text", (), None)
        made.code = code
        return made

    def written(count: int) -> int:
        return sum(budget.filter(record(1)) for _ in range(count))

    assert written(log.LINES_A_MINUTE + 700) == log.LINES_A_MINUTE
    assert budget.filter(record(2))
    assert budget.filter(record(1, "b"))
    now_s = 60.0
    first = record(1)
    assert budget.filter(first)
    assert first.lines_held_back == 700
    assert written(log.LINES_A_MINUTE) == log.LINES_A_MINUTE - 1


def test_the_log_of_the_bridge_has_the_budget() -> None:
    """`configure` bounds every line of the program."""
    stream = io.StringIO()
    log.configure("console", "info", stream)
    for number in range(log.LINES_A_MINUTE * 3):
        log.logger("bridge.test").warning("topic %d", number)
    assert stream.getvalue().count("\n") == log.LINES_A_MINUTE


def test_a_throttle_keeps_no_key() -> None:
    """Keys of 60 KB without end cost a number each, and so many of them; the last ones are known."""
    throttle = log.Throttle(max_keys=100)
    for number in range(1000):
        assert throttle.allow(f"{number}" * 20_000, 1.0) == (True, 0)
    kept = sys.getsizeof(throttle._seen) + sum(sys.getsizeof(key) for key in throttle._seen)
    assert kept < 20_000
    assert throttle.allow("999" * 20_000, 2.0) == (False, 1)
    assert throttle.allow("900" * 20_000, 2.0) == (False, 1)


def test_a_seldom_line_tells_how_many_it_stands_for(caplog: pytest.LogCaptureFixture) -> None:
    """One a minute for each key, under its caller's name; the next says how many were held back."""
    now_s = 0.0
    seldom = log.SeldomLog(log.logger("bridge.test"), lambda: now_s)
    assert [seldom.warning("a", "of %s", "a", code="c") for _ in range(3)] == [True, False, False]
    assert seldom.warning("b", "of b")
    now_s = 61.0
    assert seldom.warning("a", "of %s", "a", code="c")
    assert [line.getMessage() for line in caplog.records] == ["of a", "of b", "of a"]
    assert [vars(line).get("held_back") for line in caplog.records] == [None, None, 2]
    assert {line.pathname for line in caplog.records} == {__file__}
    assert vars(caplog.records[-1])["code"] == "c"
