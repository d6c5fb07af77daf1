"""Log lines read well for people, parse for machines, and cannot be forged."""

import io
import json

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
