"""A mapping that fires gives an event that is complete; one that does not is counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pipeline_fakes import ORDER, FakeMapping, IngestBench, sensor

from bridge.core.model import MessageProperties
from bridge.mapping.compiled import Fired, Quiet
from bridge.pipeline.intake import identity

DAY_S = 86_400.0


def bench_of(folder: Path, outcome: object) -> IngestBench:
    """A bench with one mapping."""
    return IngestBench(folder, FakeMapping("m", outcome))  # type: ignore[arg-type]  # Quiet or Fired


def test_an_event_has_all_that_its_mapping_says(tmp_path: Path) -> None:
    """Identity from event-id, order key, status topic, and a name made of base and identity."""
    fired = Fired(replace(ORDER, parameters={"v": "95"}), "17", "m:boiler", "sensors/a/workflow", 60.0)
    bench = bench_of(tmp_path, fired)
    bench.receive(sensor())
    (row,) = bench.waiting()
    stored = row.event
    assert stored.id == identity.mapped_event("plant-1", "m", "sensors/a", "17")
    assert (stored.lane, stored.mapping, stored.order_key) == ("m", "m", "m:boiler")
    assert (stored.status_topic, stored.max_age_s, stored.reply) == ("sensors/a/workflow", 60.0, None)
    assert stored.order.name.startswith("t-")
    assert len(stored.order.name) == 2 + 16
    assert stored.order.parameters == {"v": "95"}


def test_a_given_name_is_kept(tmp_path: Path) -> None:
    """metadata.name as the mapping renders it."""
    bench = bench_of(tmp_path, Fired(replace(ORDER, name="given")))
    bench.receive(sensor())
    assert bench.waiting()[0].event.order.name == "given"


def test_an_event_id_tells_events_apart_within_mapping_and_topic(tmp_path: Path) -> None:
    """The same id in another mapping or on another topic is another event; sent twice it is one."""
    fired = Fired(ORDER, "17")
    mappings = [FakeMapping("m", fired), FakeMapping("n", fired), FakeMapping("m", fired, topic="sensors/b")]
    bench = IngestBench(tmp_path, *mappings)
    bench.receive(sensor(b"1"), sensor(b"2"), sensor(topic="sensors/b"))
    assert len(bench.waiting()) == 3
    assert bench.count("event_id_reused_total", mapping="m") == 1
    assert bench.count("event_id_reused_total", mapping="n") == 1


@pytest.mark.parametrize(
    ("own_s", "expiry_s", "max_age_s"),
    [(None, None, 7 * DAY_S), (60.0, None, 60.0), (None, 5.0, 5.0), (60.0, 5.0, 5.0), (5.0, 60.0, 5.0)],
)
def test_the_shorter_of_max_age_and_message_expiry_counts(
    tmp_path: Path, own_s: float | None, expiry_s: float | None, max_age_s: float
) -> None:
    """Message Expiry is that event's max-age; the default is seven days."""
    bench = bench_of(tmp_path, Fired(ORDER, max_age_s=own_s))
    bench.receive(sensor(properties=MessageProperties(message_expiry_s=expiry_s)))
    assert bench.waiting()[0].event.max_age_s == max_age_s


def test_an_error_in_when_is_counted_and_told_once_a_minute(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It does not trigger and is no dead letter; a thousand in a minute are one line."""
    bench = bench_of(tmp_path, Quiet("when-error", "evaluate when: no such key"))
    bench.receive(*(sensor(str(number).encode()) for number in range(1000)))
    assert bench.count("expression_errors_total", mapping="m") == 1000
    assert bench.count("messages_skipped_total", cause="when-error") == 1000
    assert [record.getMessage() for record in caplog.records] == ["did not trigger: evaluate when: no such key"]
    bench.clock.advance(61)
    bench.receive(sensor())
    assert len(caplog.records) == 2
    assert bench.reasons() == []


def test_an_unreadable_payload_that_is_skipped_is_counted_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Under its own cause, as no error of an expression, and not as a dead letter."""
    bench = bench_of(tmp_path, Quiet("unreadable", "decode payload: not JSON"))
    bench.receive(*(sensor(str(number).encode()) for number in range(1000)))
    assert bench.count("messages_skipped_total", cause="unreadable") == 1000
    assert bench.count("expression_errors_total", mapping="m") == 0
    assert [record.getMessage() for record in caplog.records] == ["did not trigger: decode payload: not JSON"]
    assert bench.reasons() == []


def test_a_payload_over_the_bound_is_refused_unread(tmp_path: Path) -> None:
    """No mapping sees it; the dead letter tells its length and digest."""
    bench = bench_of(tmp_path, Fired(ORDER))
    bench.receive(sensor(b"x" * 262_145), sensor(b"x" * 262_144))
    assert len(bench.waiting()) == 1
    (letter,) = bench.spool.real.dead_letters()
    assert letter.letter.reason == "payload-too-large"
    assert letter.letter.payload_bytes == 262_145
