"""Mappings with rules over time, from readings to rows: redeliveries, failing commits, a full spool, outages."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import orjson
import pytest
from pipeline_fakes import FakeDelivery, IngestBench

from bridge.configfile.problems import Problems
from bridge.configfile.source import SourceFile, read_bytes
from bridge.core.errors import PermanentError, SpoolError
from bridge.core.model import Message, MessageProperties
from bridge.mapping.compiler import compile_mappings
from bridge.mapping.definition import read_definitions
from bridge.mapping.definition_checks import MappingContext, check_definitions
from bridge.mapping.mapping_set import MappingSet
from bridge.mapping.ruled import RuledMapping
from bridge.spool.options import SpoolOptions
from bridge.spool.records import Finished, Outcome

_PACKETS = count(1)


def compiled(*lines: str) -> MappingSet:
    """The mapping "hot" of the topics ``sensors/DEVICE``, with further keys."""
    keys = "".join(f"    {line}\n" for line in lines)
    text = (
        f"mappings:\n  - name: hot\n    topic: sensors/{{device}}\n{keys}"
        "    workflow: {template: inspect, parameters: {n: '${key} ${now.getSeconds()}'}}\n"
    )
    problems = Problems()
    source = SourceFile(Path("m.yaml"), read_bytes(text.encode(), "m.yaml", problems))
    context = MappingContext("argo/workflows", frozenset({"plant"}), ("factory",))
    definitions = check_definitions(read_definitions([source], problems), context, problems)
    made, found = compile_mappings(definitions, lambda name, _: {"spec": {"workflowTemplateRef": {"name": name}}})
    assert [problem.render() for problem in (*problems.found, *found)] == []
    return made


def reading(value: float, *, device: str = "a", dup: bool = False, packet_id: int = 0, name: str = "") -> Message:
    """A reading of a device at QoS 1; `name` is an id from its sender (AMQP)."""
    payload, properties = orjson.dumps({"value": value}), MessageProperties(message_id=name)
    number = packet_id or next(_PACKETS)
    return Message("plant", f"sensors/{device}", payload, 1, dup=dup, packet_id=number, properties=properties)


def bench_of(folder: Path, *lines: str) -> IngestBench:
    """A bench with that mapping, whose link is up."""
    bench = IngestBench(folder, compiled=compiled(*lines))
    bench.ruled.link_up("plant")
    bench.ruled._round()
    return bench


def let_pass(bench: IngestBench, seconds: float, step_s: float = 1.0) -> None:
    """Let time pass, with the thread looking after what is due."""
    for _ in range(round(seconds / step_s)):
        bench.clock.advance(step_s)
        bench.ruled._round()


def fired(bench: IngestBench) -> int:
    """How many events wait."""
    return len(bench.waiting())


@pytest.mark.parametrize("name", ["", "id-of-its-sender"])
def test_a_redelivery_counts_once(tmp_path: Path, name: str) -> None:
    """What was committed with its state is not counted again."""
    bench = bench_of(tmp_path, "count: {at-least: 2, within: 1h}")
    bench.receive(reading(1, packet_id=7, name=name))
    bench.receive(reading(1, dup=True, packet_id=7, name=name))
    assert fired(bench) == 0
    bench.receive(reading(1, packet_id=8))
    assert fired(bench) == 1


def test_what_is_not_committed_has_not_happened(tmp_path: Path) -> None:
    """The same batch again leads to what it would have led to: one event, and a state that is behind it."""
    bench = bench_of(tmp_path, "when: payload.value > 90", "trigger: rising")
    batch = [FakeDelivery(reading(95)), FakeDelivery(reading(96))]
    bench.spool.failing = {"commit"}
    for _ in range(2):
        with pytest.raises(SpoolError):
            bench.ingest.receive(batch)
    bench.spool.failing = set()
    bench.ingest.receive(batch)
    bench.receive(reading(97))
    assert fired(bench) == 1
    assert [one.acks for one in batch] == [1, 1]


def test_nothing_of_a_mapping_passes_what_has_no_room(tmp_path: Path) -> None:
    """Later readings wait behind the event that has no room, and in the end all of it is as it came."""
    bench = bench_of(tmp_path, "when: payload.value > 90", "trigger: rising")
    bench.spool.real._limits = SpoolOptions(max_rows=4)
    for number in range(5):
        bench.receive(reading(95, device=f"d{number}"))
    stored = fired(bench)
    batch = [FakeDelivery(reading(95)), FakeDelivery(reading(50)), FakeDelivery(reading(96))]
    left = list(bench.ingest.receive(batch).no_room)
    assert left == batch
    later = [FakeDelivery(reading(10, device="d0"))]
    assert list(bench.ingest.receive(later, left).no_room) == later
    bench.spool.real._limits = SpoolOptions()
    assert bench.ingest.receive([*left, *later]).no_room == []
    assert fired(bench) == stored + 2
    bench.receive(reading(95, device="d0"))
    assert fired(bench) == stored + 3


def test_time_that_nobody_saw_is_not_counted(tmp_path: Path) -> None:
    """A condition holds no longer, and a device is no longer silent, for an outage of the link."""
    bench = bench_of(tmp_path, "when: payload.value > 90", "trigger: rising", "for: 10s")
    bench.receive(reading(95))
    let_pass(bench, 8)
    bench.ruled.link_down("plant")
    let_pass(bench, 100)
    assert fired(bench) == 0
    bench.ruled.link_up("plant")
    let_pass(bench, 1)
    assert fired(bench) == 0
    let_pass(bench, 2)
    assert fired(bench) == 1


def test_a_silence_is_reported_once_and_again_after_a_reading(tmp_path: Path) -> None:
    """Each device for itself."""
    bench = bench_of(tmp_path, "trigger: silent", "for: 10s", "key: topic.device")
    bench.receive(reading(1), reading(1, device="b"))
    let_pass(bench, 8)
    bench.receive(reading(1, device="b"))
    let_pass(bench, 4)
    assert [row.event.order.parameters["n"].split()[0] for row in bench.waiting()] == ["a"]
    let_pass(bench, 60)
    assert fired(bench) == 2
    bench.receive(reading(1))
    let_pass(bench, 12)
    assert fired(bench) == 3


def test_a_key_that_cannot_be_handled_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report is written, and it is tried again a minute later."""
    bench = bench_of(tmp_path, "trigger: silent", "for: 10s", "key: topic.device")
    bench.receive(reading(1), reading(1, device="b"))
    real = RuledMapping.tick

    def tick(self: RuledMapping, key: str, state: object, now: object) -> object:
        if key == "a":
            raise ValueError("defect")
        return real(self, key, state, now)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(RuledMapping, "tick", tick)
    let_pass(bench, 12)
    assert fired(bench) == 1
    assert len(list(tmp_path.glob("report-*-rules.json"))) == 1
    monkeypatch.undo()
    let_pass(bench, 62)
    assert fired(bench) == 2


def test_the_states_used_least_recently_are_dropped(tmp_path: Path) -> None:
    """What is left is within the limit, and the mapping is counted."""
    bench = bench_of(tmp_path, "when: payload.value > 90", "trigger: rising")
    bench.spool.real._limits = SpoolOptions(max_keys=3)
    for number in range(6):
        bench.receive(reading(95, device=f"d{number}"))
        let_pass(bench, 3600, 3600)
    bench.ruled._sweep()
    assert bench.metrics.value("rule_states_dropped_total", mapping="hot") == 3
    bench.receive(reading(95, device="d0"), reading(95, device="d5"))
    assert fired(bench) == 6 + 1


def test_an_event_that_cannot_be_made_is_a_dead_letter(tmp_path: Path) -> None:
    """Its rule has fired all the same: the next reading of the same stretch makes none."""
    bench = bench_of(tmp_path, "when: payload.value > 90", "trigger: rising", "event-id: payload.id")
    bench.receive(reading(95), reading(96))
    assert bench.reasons() == ["expression-error"]
    assert fired(bench) == 0


@pytest.mark.parametrize("ends", ["dead", "gone-before-the-start"])
def test_a_workflow_that_never_ends_by_itself_frees_its_place(tmp_path: Path, ends: str) -> None:
    """One that could not be created, and one that Argo does not have when the bridge starts."""
    bench = bench_of(tmp_path, "concurrency: {max: 1}", "key: topic.device")
    bench.receive(reading(1), reading(2))
    (row,) = bench.waiting()
    if ends == "dead":
        bench.ruled.workflow_ended(row.event.id)
        bench.ruled._round()
        assert fired(bench) == 2
        return
    bench.spool.real.settle([Finished(row.seq, Outcome.DONE)])
    again = IngestBench(tmp_path, compiled=bench.mappings, spool=bench.spool)  # type: ignore[arg-type]  # it is one
    again.ruled._round()
    assert fired(again) == 0
    again.ruled.listed()
    again.ruled._round()
    assert fired(again) == 1


def test_a_clock_that_is_not_set_is_inside_the_hours_and_a_problem(tmp_path: Path) -> None:
    """A gateway boots in 1970: events are not lost, and `state` says why the hours are not kept."""
    bench = bench_of(tmp_path, 'active: {hours: "00:00-00:01", days: mon}')
    assert bench.ruled.problems == []
    bench.receive(reading(1))
    assert fired(bench) == 0
    bench.clock.jump_wall(-bench.clock.wall_s())
    assert [problem.code for problem in bench.ruled.problems] == ["clock-not-set"]
    bench.receive(reading(2))
    assert fired(bench) == 1


def test_what_was_due_before_the_start_is_not_forgotten_for_what_came_first_after_it(tmp_path: Path) -> None:
    """A reading that is committed before the thread has looked once has its own time, and hides no earlier one."""
    bench = bench_of(tmp_path, "when: payload.value > 90", "trigger: rising", "for: 100s")
    bench.receive(reading(95))
    let_pass(bench, 90)
    again = IngestBench(tmp_path, compiled=bench.mappings, spool=bench.spool)  # type: ignore[arg-type]  # it is one
    again.clock = bench.clock
    again.ruled._time = bench.ruled._time
    again.receive(reading(95, device="b"))
    let_pass(bench, 0)
    bench.clock.advance(12)
    again.ruled._round()
    assert fired(again) == 1


@pytest.mark.parametrize("by", ["time", "an-end"])
def test_an_event_that_cannot_be_stored_holds_up_no_other(tmp_path: Path, by: str) -> None:
    """What the spool will never take is reported, and the other keys go on, by time and by the end of workflows."""
    lines = ("collect: {quiet: 10s}",) if by == "time" else ("concurrency: {max: 1}",)
    bench = bench_of(tmp_path, *lines, "key: topic.device")
    bench.receive(reading(1), reading(1, device="b"))
    first = {row.event.topic: row.event.id for row in bench.waiting()}
    bench.receive(reading(2), reading(2, device="b"))
    before = fired(bench)
    bench.spool.refuses = lambda batch: (
        PermanentError("text that is not Unicode", code="not-storable")
        if any(event.topic == "sensors/a" for event in batch.events)
        else None
    )
    for event_id in first.values():
        bench.ruled.workflow_ended(event_id)
    let_pass(bench, 12)
    assert fired(bench) == before + 1
    assert bench.waiting()[-1].event.topic == "sensors/b"
    assert len(list(tmp_path.glob("report-*-rules.json"))) == 1


def test_a_request_to_stop_has_the_connection_of_what_waits(tmp_path: Path) -> None:
    """So that its dead letter, if the workflow cannot be stopped, is told of like any other."""
    bench = bench_of(tmp_path, "concurrency: {max: 1, when-busy: replace}", "key: topic.device")
    bench.receive(reading(1))
    (row,) = bench.waiting()
    bench.ruled.workflow_seen(row.event.id)
    bench.ruled._round()
    bench.receive(reading(2), reading(3))
    asked = [row.event for row in bench.waiting() if row.event.asked]
    assert [(one.topic, one.connection, one.order.name) for one in asked] == [
        ("sensors/a", "plant", row.event.order.name)
    ]
