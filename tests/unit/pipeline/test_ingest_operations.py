"""Operations on their way in: what changes something is stored, what reads is handed on with its acknowledgement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pipeline_fakes import FakeDelivery, FakeMapping, IngestBench, request, sensor

from bridge.core.errors import SpoolError
from bridge.core.model import Flaw
from bridge.spool.records import Finished, Outcome

GET = "argo/workflows/get"
STOP = "argo/workflows/stop"
ASKED = {"workflowId": "w", "requestId": 7}


@pytest.fixture
def bench(tmp_path: Path) -> IngestBench:
    """A bench with one mapping that always fires."""
    return IngestBench(tmp_path, FakeMapping("m"))


def test_an_operation_is_stored_before_it_is_acknowledged(bench: IngestBench) -> None:
    """As a row that says what is asked and where it is answered; its delivery is remembered with it."""
    (delivery,) = bench.receive(request(ASKED, topic=STOP))
    (row,) = bench.waiting()
    assert delivery.acks == 1
    assert row.event.asked is not None
    assert row.event.asked.operation == "stop"
    assert [address.topic for address in row.replies] == ["argo/workflows/response/stop"]
    (again,) = bench.receive(request(ASKED, topic=STOP, dup=True))
    assert (again.acks, len(bench.waiting())) == (1, 1)


def test_a_known_operation_is_answered_with_its_own_words(bench: IngestBench) -> None:
    """The first one's outcome, in the reply of that operation."""
    bench.receive(request(ASKED | {"eventId": "e"}, topic=STOP))
    (row,) = bench.waiting()
    bench.spool.real.settle([Finished(row.seq, Outcome.DONE)])
    bench.receive(request(ASKED | {"eventId": "e", "requestId": 8}, topic=STOP))
    assert bench.replies() == [{"status": "Workflow stopped successfully", "workflowId": "w", "requestId": 8}]


def test_a_read_is_handed_on_and_not_acknowledged(bench: IngestBench) -> None:
    """Its acknowledgement goes with it; what came beside it is acknowledged at once; nothing of it is stored."""
    before, read, behind = bench.receive(sensor(), request(ASKED, topic=GET), sensor(b"96"))
    assert [delivery.acks for delivery in (before, read, behind)] == [1, 0, 1]
    ((asked, ack),) = bench.reads.asked
    assert (asked.name, asked.address.request_id) == ("w", "7")
    ack()
    assert read.acks == 1
    assert len(bench.waiting()) == 2


def test_a_read_without_a_place_is_refused_as_busy(bench: IngestBench) -> None:
    """An error reply with code 503, in the commit of its batch, and no dead letter."""
    bench.reads.room = 1
    first, second = bench.receive(request(ASKED, topic=GET), request(ASKED, topic=GET))
    assert (first.acks, second.acks) == (0, 1)
    assert len(bench.reads.asked) == 1
    assert "try again" in bench.replies()[0]["error"]
    assert [dict(message.user)["code"] for message in bench.sent() if message.user] == ["503"]
    assert bench.reasons() == []


def test_a_batch_that_cannot_be_stored_keeps_no_place(bench: IngestBench) -> None:
    """Handed in again, its read is handed on once; the places of a batch that failed are free."""
    batch = [FakeDelivery(request(ASKED, topic=GET)), FakeDelivery(sensor())]
    bench.spool.failing.add("commit")
    for _ in range(3):
        with pytest.raises(SpoolError):
            bench.ingest.receive(batch)
    assert (bench.reads.room, bench.reads.asked) == (16, [])
    bench.spool.failing.clear()
    bench.ingest.receive(batch)
    assert (bench.reads.room, len(bench.reads.asked)) == (15, 1)
    assert [delivery.acks for delivery in batch] == [0, 1]


def test_a_read_that_is_not_well_formed_is_refused_like_any_request(bench: IngestBench) -> None:
    """By name, with a proposal; it takes no place."""
    (delivery,) = bench.receive(request({"workflwId": "w"}, topic=GET))
    assert 'did you mean "workflowId"?' in bench.replies()[0]["error"]
    assert (delivery.acks, bench.reads.room, bench.reasons()) == (1, 16, ["unknown-key"])


@pytest.mark.parametrize("topic", [STOP, GET, "argo/workflows/status", "sensors/a"])
def test_what_its_transport_could_not_read_is_refused(bench: IngestBench, topic: str) -> None:
    """Whatever it would have been: a dead letter with the transport's words, and a reply where somebody asked."""
    flawed = replace(request(ASKED, topic=topic), flaw=Flaw("bad-header", "a header cannot be read"))
    (delivery,) = bench.receive(flawed)
    is_asked = topic != "sensors/a"
    assert [body["error"] for body in bench.replies()] == ["a header cannot be read"] * is_asked
    assert (delivery.acks, bench.reasons(), bench.waiting(), bench.reads.asked) == (1, ["bad-header"], [], [])
