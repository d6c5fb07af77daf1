"""What a full spool has no room for waits, unacknowledged and in order; everything else passes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pipeline_fakes import ORDER, FakeDelivery, FakeMapping, IngestBench, request, sensor

from bridge.core.errors import SpoolError
from bridge.core.model import Message
from bridge.mapping.compiled import Fired
from bridge.pipeline.intake import ingest
from bridge.spool.options import SpoolOptions
from bridge.spool.records import Finished, NewRows, Outcome

ASKED = {"workflowId": "w-1", "namespace": "factory"}


@pytest.fixture
def bench(tmp_path: Path) -> IngestBench:
    """A bench whose trigger lane has taken all that one lane may."""
    made = IngestBench(tmp_path, FakeMapping("m"))
    made.spool.real._limits = SpoolOptions(max_rows=12)
    made.receive(*(trigger(f"old-{number}") for number in range(12)))
    return made


def trigger(name: str) -> Message:
    """A trigger message that is told by its name."""
    return request({"submit": {"template": "t", "name": name}})


def asked(operation: str, **changes: object) -> Message:
    """A request for an operation on a workflow."""
    return request(ASKED, topic=f"argo/workflows/{operation}", **changes)


def hand_in(bench: IngestBench, *messages: Message, waiting: list[FakeDelivery] | None = None) -> list[FakeDelivery]:
    """Hand messages in; return what has no room."""
    batch = [FakeDelivery(message) for message in messages]
    left = list(bench.ingest.receive(batch, waiting or ()).no_room)
    assert [one.acks for one in batch if one in left] == [0] * len(left)
    assert all(one.acks == 1 for one in batch if one not in left and one.message.topic != "argo/workflows/get")
    return left


def end(bench: IngestBench, count: int = 100) -> list[str]:
    """End waiting rows; the names of their workflows."""
    rows = bench.waiting()[:count]
    bench.spool.real.settle([Finished(row.seq, Outcome.DONE) for row in rows])
    return [row.event.order.name for row in rows]


def test_what_has_room_passes_what_has_none(bench: IngestBench) -> None:
    """A device's event, a read, a stop and a refusal go on; the trigger waits, and is stored once there is room."""
    left = hand_in(bench, trigger("new"), sensor(), asked("get"), asked("stop"), request(b"no json"))
    assert [one.message for one in left] == [trigger("new")]
    assert sorted(row.event.lane for row in bench.waiting())[:2] == ["m", "operation:factory"]
    assert (len(bench.reads.asked), bench.reasons()) == (1, ["invalid-json"])
    assert bench.ingest.problem is not None
    assert bench.ingest.problem.code == "spool-full"
    assert bench.ingest.receive(left).no_room == left
    assert left[0].acks == 0
    end(bench)
    assert bench.ingest.receive(left).no_room == []
    assert left[0].acks == 1
    assert end(bench) == ["new"]
    assert bench.ingest.problem is None


def test_nothing_of_its_lane_passes_what_waits(bench: IngestBench) -> None:
    """Room that came meanwhile belongs to what came first, whatever arrives; the order of arrival stays."""
    first = hand_in(bench, trigger("first"))
    end(bench)
    second = hand_in(bench, trigger("second"), sensor(), waiting=first)
    assert [one.message for one in second] == [trigger("second")]
    assert bench.ingest.receive(first + second).no_room == []
    assert [row.event.order.name for row in bench.waiting() if row.event.order.name != "t-x"][-2:] == [
        "first",
        "second",
    ]


def test_what_is_urgent_passes_its_lane_but_not_its_order(bench: IngestBench, tmp_path: Path) -> None:
    """A stop goes before other workflows' operations; what was asked on one workflow is done in the order of asking."""
    end(bench)
    bench.spool.real._limits = SpoolOptions(max_rows=1)
    hand_in(bench, sensor(), trigger("any"))
    waiting = hand_in(bench, asked("retry"))
    assert len(waiting) == 1
    bench.spool.real._limits = SpoolOptions(max_rows=100)
    other = request({"workflowId": "w-2", "namespace": "factory"}, topic="argo/workflows/stop")
    left = hand_in(bench, asked("stop"), other, waiting=waiting)
    assert [one.message for one in left] == [asked("stop")]
    assert bench.ingest.receive(waiting + left).no_room == []
    assert bench.spool.real.figures().by_lane["operation:factory"] == 3
    ready = [row.event.asked for row in bench.waiting() if row.event.asked and row.event.asked.name == "w-1"]
    assert [one.operation for one in ready] == ["retry"], "the stop waits for its turn"


def test_what_waits_is_stored_once(bench: IngestBench) -> None:
    """However often it is handed in, and though the spool fails between: one event, of one identity."""
    left = hand_in(bench, sensor(), request(), request())
    assert len(left) == 2
    bench.spool.failing = {"commit"}
    with pytest.raises(SpoolError):
        bench.ingest.receive(left)
    bench.spool.failing = set()
    end(bench)
    commits: list[NewRows] = []
    bench.spool.refuses = commits.append  # type: ignore[assignment]  # it looks, and refuses nothing
    assert bench.ingest.receive(left).no_room == []
    assert [delivery.acks for delivery in left] == [1, 1]
    assert len(bench.waiting()) == 2
    assert len({event.id for batch in commits for event in batch.events}) == 2


def test_what_is_kept_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events made of large messages are not all kept while they wait; all are stored in the end."""
    monkeypatch.setattr(ingest, "KEPT_BYTES", 1_000_000)
    large = Fired(replace(ORDER, parameters={"value": "x" * 100_000}))
    bench = IngestBench(tmp_path, *(FakeMapping(f"m{number}", large) for number in range(4)))
    batch = [FakeDelivery(sensor(b"%d" % number)) for number in range(20)]
    bench.spool.failing = {"commit"}
    with pytest.raises(SpoolError):
        bench.ingest.receive(batch)
    kept = [draft for drafts in bench.ingest._kept.values() for draft in drafts]
    assert 0 < sum(draft.size_bytes for draft in kept) <= 1_000_000
    bench.spool.failing = set()
    assert bench.ingest.receive(batch).no_room == []
    assert bench.spool.real.figures().waiting == 80
    assert bench.ingest._kept.get("plant", []) == []


def test_what_is_not_kept_still_holds_its_place(bench: IngestBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what waits and is not kept nobody knows the lane: nothing passes it but what is urgent."""
    monkeypatch.setattr(ingest, "KEPT_BYTES", 10)
    first = hand_in(bench, trigger("first"))
    end(bench)
    assert len(hand_in(bench, trigger("second"), sensor(), asked("stop"), waiting=first)) == 2
