"""Acknowledged means stored; one bad message harms no other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from pipeline_fakes import ORDER, QUIET, TOPICS, FakeDelivery, FakeMapping, IngestBench, end, request, sensor

from bridge.core.errors import SpoolError
from bridge.core.model import Message
from bridge.interface.operations import Operation
from bridge.interface.replies import Refusal
from bridge.mapping.compiled import Fired
from bridge.pipeline.intake.ingest import MAX_READING_S, STANDS_STILL_S
from bridge.spool.records import NewRows, Outcome


@pytest.fixture
def bench(tmp_path: Path) -> IngestBench:
    """A bench with one mapping that always fires."""
    return IngestBench(tmp_path, FakeMapping("m"))


def boom(_message: Message) -> Fired:
    """A mapping's worst day."""
    raise RuntimeError("boom")


def test_a_batch_is_one_commit(bench: IngestBench) -> None:
    """Events, refusals and their replies of one batch are stored in a single commit, then acknowledged."""
    deliveries = bench.receive(sensor(), request(), request(b"no json"), sensor(b"96"))
    assert bench.spool.calls.count("commit") == 1
    assert [delivery.acks for delivery in deliveries] == [1, 1, 1, 1]
    assert [row.event.lane for row in bench.waiting()] == ["m", "trigger:factory", "m"]
    assert bench.reasons() == ["invalid-json"]
    assert bench.stored == [frozenset({"m", "trigger:factory"})]
    assert bench.outbox_calls == 1


def test_acknowledgements_follow_the_commit(bench: IngestBench) -> None:
    """While the commit runs nothing is acknowledged."""
    deliveries = [FakeDelivery(sensor()), FakeDelivery(request(b"x"))]

    def look(_batch: NewRows) -> None:
        assert [delivery.acks for delivery in deliveries] == [0, 0]

    bench.spool.refuses = look
    bench.ingest.receive(deliveries)
    assert [delivery.acks for delivery in deliveries] == [1, 1]


def test_what_leads_to_nothing_needs_no_commit(tmp_path: Path) -> None:
    """A quiet mapping, an unknown topic, a retained message and the bridge's own topics are acknowledged at once."""
    bench = IngestBench(tmp_path, FakeMapping("m", QUIET))
    status = sensor(topic="argo/workflows/status/ns/w")
    quiet = [
        sensor(),
        sensor(topic="elsewhere"),
        sensor(retain=True),
        replace(status, retain=True),
        status,
        sensor(topic="argo/bridge/other/state"),
    ]
    assert [delivery.acks for delivery in bench.receive(*quiet)] == [1] * 6
    assert "commit" not in bench.spool.calls
    assert bench.retained == [("plant", status.topic, status.payload)]
    causes = {"when-false": 1, "no-mapping": 1, "retained": 2, "interface": 2}
    assert {cause: bench.count("messages_skipped_total", cause=cause) for cause in causes} == causes


INTERFACE_TOPICS = [
    *(f"argo/workflows/{operation.value}{level}" for operation in Operation for level in ("", "/factory")),
    TOPICS.status_stream,
]


@pytest.mark.parametrize("topic", [*INTERFACE_TOPICS, "sensors/a"])
def test_a_retained_message_is_never_an_event(bench: IngestBench, topic: str) -> None:
    """What the broker remembers is carried out on no topic: a subscription delivers it anew each time."""
    bodies = [b'{"submit": {"template": "t"}}', b'{"workflowId": "w", "status": "Running"}', b"no json", b""]
    deliveries = bench.receive(*(sensor(body, topic=topic, retain=True) for body in bodies))
    assert [delivery.acks for delivery in deliveries] == [1] * len(bodies)
    assert "commit" not in bench.spool.calls
    assert bench.reads.asked == []
    assert bench.count("messages_skipped_total", cause="retained") == len(bodies)


@pytest.mark.parametrize("topic", INTERFACE_TOPICS)
def test_no_payload_is_no_request(bench: IngestBench, topic: str) -> None:
    """Clearing what was retained on a topic of the interface starts nothing; it may be a request, so it is answered."""
    bench.receive(sensor(b"", topic=topic))
    assert bench.waiting() == []
    assert bench.reads.asked == []
    assert bench.reasons() == ["invalid-status-update" if topic == TOPICS.status_stream else "invalid-json"]
    assert ["error" in reply for reply in bench.replies()] == [True]


def test_a_spool_that_fails_acknowledges_nothing(bench: IngestBench) -> None:
    """SpoolError leaves everything at the broker, and the problem is told until the next success."""
    bench.spool.failing = {"commit"}
    deliveries = [FakeDelivery(sensor())]
    with pytest.raises(SpoolError):
        bench.ingest.receive(deliveries)
    assert deliveries[0].acks == 0
    assert bench.ingest.problem is not None
    assert bench.ingest.problem.code == "disk-full"
    bench.spool.failing = set()
    bench.ingest.receive(deliveries)
    assert deliveries[0].acks == 1
    assert bench.ingest.problem is None


def test_a_spool_that_cannot_be_read_is_no_fault_of_the_message(bench: IngestBench) -> None:
    """A failed look-up of a redelivery is a SpoolError, not an internal error that dead-letters it."""
    bench.spool.failing = {"delivery_id"}
    with pytest.raises(SpoolError):
        bench.receive(sensor(dup=True))
    assert bench.count("internal_errors_total", where="ingest") == 0
    assert bench.reasons() == []


def test_a_batch_handed_in_again_is_decided_once(bench: IngestBench) -> None:
    """The same objects after a SpoolError give the same events and count once, however often they come."""
    deliveries = [FakeDelivery(sensor()), FakeDelivery(request(b"x")), FakeDelivery(sensor(qos=0, packet_id=0))]
    bench.spool.failing = {"commit"}
    for _ in range(3):
        with pytest.raises(SpoolError):
            bench.ingest.receive(deliveries)
    bench.spool.failing = set()
    bench.ingest.receive(deliveries[:2])
    assert len(bench.waiting()) == 1
    assert bench.reasons() == ["invalid-json"]
    assert bench.count("dead_letters_total", reason="invalid-json") == 1


def test_what_was_stored_before_the_spool_failed_is_not_stored_again(bench: IngestBench) -> None:
    """A batch that went in by halves, and failed in the middle, makes no second event nor letter of the first half."""
    deliveries = [FakeDelivery(one) for one in (sensor(b"1"), request(b"bad"), sensor(b"3"), sensor(b"4"))]
    commits = 0

    def refuse(batch: NewRows) -> Exception | None:
        nonlocal commits
        commits += 1
        if len(batch.events) == 3:
            return RuntimeError("find out which")
        return SpoolError("disk full") if commits == 3 else None

    bench.spool.refuses = refuse
    with pytest.raises(SpoolError):
        bench.ingest.receive(deliveries)
    assert len(bench.waiting()) == 1
    bench.ingest.receive(deliveries)
    assert len(bench.waiting()) == 3
    assert bench.reasons() == ["invalid-json"]
    assert len(bench.replies()) == 1
    assert bench.count("events_stored_total", mapping="m") == 3


def test_alike_messages_are_events_of_their_own(bench: IngestBench) -> None:
    """Two readings of the same content, packet id included, are two events when DUP is 0."""
    bench.receive(sensor(), sensor())
    bench.receive(sensor())
    assert len({row.event.id for row in bench.waiting()}) == 3


@pytest.mark.parametrize("apart", [True, False], ids=["two batches", "one batch"])
def test_a_redelivery_is_the_same_event(bench: IngestBench, apart: bool) -> None:
    """DUP=1 with the packet id and content of a stored delivery makes no second event, in whichever batch."""
    again = sensor(dup=True)
    if apart:
        bench.receive(sensor())
        bench.receive(again)
    else:
        bench.receive(sensor(), again)
    assert len(bench.waiting()) == 1
    assert bench.count("events_stored_total", mapping="m") == 1
    assert bench.count("events_duplicate_total", mapping="m") == 1


REFUSED_MESSAGES = {
    "a request that is no JSON": request(b"x"),
    "a request for nothing": request({}),
    "a status update": request({"workflowId": 3}, topic=TOPICS.status_stream),
    "a reading that a mapping cannot use": sensor(topic="sensors/failed"),
    "a reading that a mapping breaks on": sensor(topic="sensors/boom"),
    "a reading that the spool cannot take": sensor(topic="sensors/odd"),
    "a reading that one of two mappings cannot use": sensor(topic="sensors/both"),
    "too large": sensor(bytes(300 * 1024)),
    "named by its sender": request(b"x", properties={"message_id": "m-1"}),
}


@pytest.mark.parametrize("message", REFUSED_MESSAGES.values(), ids=REFUSED_MESSAGES)
def test_a_redelivery_is_dead_lettered_once(tmp_path: Path, message: Message) -> None:
    """DUP=1 of what was refused makes no second letter, notice or reply; the same bytes sent anew (DUP=0) do."""
    odd = Fired(replace(ORDER, parameters={"p": "\ud800"}))
    failed = Refusal("expression-error", "evaluate x: no such key")
    bench = IngestBench(
        tmp_path,
        FakeMapping("failed", failed, topic="sensors/failed"),
        FakeMapping("boom", boom, topic="sensors/boom"),
        FakeMapping("odd", odd, topic="sensors/odd"),
        FakeMapping("one", topic="sensors/both"),
        FakeMapping("other", failed, topic="sensors/both"),
    )
    bench.receive(message)
    first = len(bench.reasons()), len(bench.sent()), len(bench.waiting())
    assert first[0] == 1
    deliveries = bench.receive(replace(message, dup=True), replace(message, dup=True))
    assert [delivery.acks for delivery in deliveries] == [1, 1]
    assert (len(bench.reasons()), len(bench.sent()), len(bench.waiting())) == first
    bench.receive(message)
    assert len(bench.reasons()) == 2


def test_a_redelivery_of_what_was_never_stored_is_dead_lettered(bench: IngestBench) -> None:
    """DUP=1 alone proves nothing."""
    bench.receive(request(b"x", dup=True))
    assert bench.reasons() == ["invalid-json"]


def test_a_stored_event_is_not_refused_when_it_comes_again(bench: IngestBench) -> None:
    """Had the rules changed meanwhile, its sender would be told of a failure while the workflow runs."""
    bench.receive(request())
    bench.check = boom
    bench.receive(request(dup=True))
    assert bench.reasons() == []
    assert len(bench.waiting()) == 1


def test_dear_messages_do_not_hold_up_a_batch(tmp_path: Path) -> None:
    """When reading takes long, what was read is stored and acknowledged, and the others are left for the next turn."""
    clock_of: list[IngestBench] = []

    def dear(_message: Message) -> Fired:
        clock_of[0].clock.advance(MAX_READING_S * 0.6)
        return Fired(ORDER)

    bench = IngestBench(tmp_path, FakeMapping("m", dear))
    clock_of.append(bench)
    deliveries = [FakeDelivery(sensor(bytes([number]), packet_id=number)) for number in range(1, 6)]
    taken = []
    while deliveries:
        left = bench.ingest.receive(deliveries)
        count = len(deliveries) - len(left.no_time)
        assert [delivery.acks for delivery in deliveries] == [1] * count + [0] * (len(deliveries) - count)
        taken.append(count)
        deliveries = deliveries[count:]
    assert taken == [2, 2, 1]
    assert len(bench.waiting()) == 5


def test_a_batch_that_never_ends_is_told(tmp_path: Path) -> None:
    """Liveness looks at how long a batch is under way; one that ended, in whichever way, is forgotten."""
    seen: list[list[tuple[str, float]]] = []

    def stuck(_message: Message) -> Fired:
        seen.append(bench.ingest.standing_still())
        bench.clock.advance(STANDS_STILL_S + 1)
        seen.append(bench.ingest.standing_still())
        return Fired(ORDER)

    bench = IngestBench(tmp_path, FakeMapping("m", stuck))
    bench.receive(sensor())
    bench.spool.failing = {"commit"}
    with pytest.raises(SpoolError):
        bench.receive(sensor(b"2"))
    assert seen == [[], [("plant", STANDS_STILL_S + 1)]] * 2
    assert bench.ingest.standing_still() == []


@pytest.mark.parametrize("change", [{"packet_id": 8}, {"payload": b"96"}, {"connection": "office"}])
def test_a_redelivery_of_something_else_is_an_event(bench: IngestBench, change: dict[str, object]) -> None:
    """DUP=1 says nothing where packet id, content or connection differ."""
    bench.receive(sensor())
    bench.receive(replace(sensor(dup=True), **change))
    assert len(bench.waiting()) == 2


def test_a_new_session_forgets_packet_ids(bench: IngestBench) -> None:
    """After CONNACK says that there is no session, DUP=1 is about deliveries that we know nothing of."""
    bench.receive(sensor())
    bench.ingest.session_began("plant")
    bench.receive(sensor(dup=True))
    assert len(bench.waiting()) == 2


def test_forgetting_a_session_is_made_up_for(bench: IngestBench) -> None:
    """If the spool fails at that moment, the next batch waits until it is forgotten."""
    bench.receive(sensor())
    bench.spool.failing = {"forget_inflight"}
    bench.ingest.session_began("plant")
    assert bench.ingest.problem is not None
    with pytest.raises(SpoolError):
        bench.receive(sensor(dup=True))
    bench.spool.failing = set()
    bench.receive(sensor(dup=True))
    assert len(bench.waiting()) == 2


def test_each_mapping_that_matches_makes_its_own_event(tmp_path: Path) -> None:
    """All in one commit; one that fails or breaks costs the others nothing."""
    failed = Refusal("expression-error", "evaluate x: no such key")
    bench = IngestBench(tmp_path, FakeMapping("a"), FakeMapping("b", failed), FakeMapping("c", boom), FakeMapping("d"))
    assert [one.acks for one in bench.receive(sensor())] == [1]
    assert [row.event.mapping for row in bench.waiting()] == ["a", "d"]
    assert len({row.event.id for row in bench.waiting()}) == 2
    assert sorted(bench.reasons()) == ["expression-error", "internal-error"]
    assert {letter.letter.mapping for letter in bench.spool.real.dead_letters()} == {"b", "c"}
    assert len(list(tmp_path.glob("report-*-ingest.json"))) == 1


def test_a_handler_that_raises_harms_no_other_message(tmp_path: Path) -> None:
    """The message is dead-lettered as internal-error with a report, is acknowledged, and work goes on."""
    bench = IngestBench(tmp_path, FakeMapping("m"), FakeMapping("bad", boom, topic="sensors/bad"))
    deliveries = bench.receive(sensor(), sensor(topic="sensors/bad"), sensor(b"2"))
    assert [delivery.acks for delivery in deliveries] == [1, 1, 1]
    assert len(bench.waiting()) == 2
    assert bench.reasons() == ["internal-error"]
    assert bench.count("internal_errors_total", where="ingest") == 1
    (report,) = tmp_path.glob("report-*-ingest.json")
    assert "RuntimeError: boom" in json.loads(report.read_text())["error"]
    assert "95" not in report.read_text()


def test_a_request_that_meets_a_bug_is_answered(bench: IngestBench) -> None:
    """An unexpected error is an answer with code 500, the request's own id and correlation data."""

    def broken(_workflow: object) -> None:
        raise RuntimeError("boom")

    bench.check = broken
    asked = request({"submit": {"template": "t"}, "requestId": 9}, properties={"correlation_data": b"c"})
    bench.receive(asked)
    (reply,) = bench.replies()
    assert reply["requestId"] == 9
    assert "unexpected error" in reply["error"]
    sent = bench.sent()[-1]
    assert (sent.correlation_data, sent.user) == (b"c", (("code", "500"),))


def test_text_that_cannot_be_stored_dead_letters_its_message_only(tmp_path: Path) -> None:
    """A value with a lone surrogate is refused as not-storable, without a report; the other 20 messages are stored."""
    fired = Fired(replace(ORDER, parameters={"p": "\ud800"}))
    bench = IngestBench(tmp_path, FakeMapping("m"), FakeMapping("odd", fired, topic="sensors/odd"))
    batch = [sensor(bytes([number])) for number in range(20)]
    batch.insert(13, sensor(topic="sensors/odd"))
    assert [delivery.acks for delivery in bench.receive(*batch)] == [1] * 21
    assert len(bench.waiting()) == 20
    assert bench.reasons() == ["not-storable"]
    assert list(tmp_path.iterdir()) == []
    assert bench.spool.calls.count("commit") < 15


def test_a_topic_that_cannot_be_stored_has_a_dead_letter_all_the_same(tmp_path: Path) -> None:
    """The letter, its notice and the log show the topic with the odd character written out."""
    bench = IngestBench(tmp_path, FakeMapping("m"), FakeMapping("odd", topic="sensors/\ud800"))
    deliveries = bench.receive(sensor(), sensor(topic="sensors/\ud800"))
    assert [delivery.acks for delivery in deliveries] == [1, 1]
    assert len(bench.waiting()) == 1
    assert bench.reasons() == ["not-storable"]
    assert bench.spool.real.dead_letters()[0].letter.topic == "sensors/\\ud800"
    assert json.loads(bench.sent()[0].payload)["topic"] == "sensors/\\ud800"


def test_not_even_a_refusal_that_cannot_be_stored_stops_the_others(bench: IngestBench) -> None:
    """What can be kept in no way is counted and reported, and acknowledged: it would come again for ever."""
    bad = sensor(b"bad")
    digest = hashlib.sha256(b"bad").digest()

    def refuse(batch: NewRows) -> Exception | None:
        is_there = any(row.payload_digest == digest for row in (*batch.events, *batch.dead_letters))
        return ValueError("no") if is_there else None

    bench.spool.refuses = refuse
    assert [delivery.acks for delivery in bench.receive(sensor(b"1"), bad, sensor(b"2"))] == [1, 1, 1]
    assert len(bench.waiting()) == 2
    assert bench.count("internal_errors_total", where="ingest") == 2


def test_a_known_request_is_answered_with_the_first_outcome(bench: IngestBench) -> None:
    """A second sender gets the first one's workflow, with its own correlation data and requestId."""
    asked = request({"submit": {"template": "t"}, "eventId": 5})
    bench.receive(asked)
    name = bench.waiting()[0].event.order.name
    end(bench, Outcome.DONE)
    again = request({"submit": {"template": "t"}, "eventId": 5, "requestId": 2}, properties={"correlation_data": b"2"})
    bench.receive(again)
    assert bench.replies() == [{"status": "Workflow triggered successfully", "workflowId": name, "requestId": 2}]
    assert bench.sent()[0].correlation_data == b"2"
    assert bench.count("replies_total", code="200") == 1
    assert bench.waiting() == []


def test_a_known_request_that_failed_is_answered_with_its_error(bench: IngestBench) -> None:
    """The sentence and the code are those that the first sender got."""
    bench.receive(request({"submit": {"template": "t"}, "eventId": 5}))
    end(bench, Outcome.DEAD, code="name-taken", error="a workflow exists")
    bench.receive(request({"submit": {"template": "t"}, "eventId": 5}))
    assert bench.replies() == [{"error": "a workflow exists"}]
    assert bench.sent()[0].user == (("code", "409"),)


def test_a_known_request_that_waits_adds_its_address(bench: IngestBench) -> None:
    """Its outcome will be sent to both; the very same request again adds nothing."""
    body = {"submit": {"template": "t"}, "eventId": 5}
    second = request(body, properties={"response_topic": "replies/b"})
    bench.receive(request(body, properties={"response_topic": "replies/a"}), second)
    bench.receive(second)
    (row,) = bench.waiting()
    assert [address.topic for address in row.replies] == ["replies/a", "replies/b"]
    assert bench.replies() == []


def test_an_answer_to_a_known_request_survives_a_failing_spool(bench: IngestBench) -> None:
    """If the commit of the answer fails, the batch comes again: the answer is sent once, the new event stored once."""
    known = {"submit": {"template": "t"}, "eventId": 5}
    bench.receive(request(known))
    end(bench, Outcome.DONE)
    deliveries = [FakeDelivery(request(known)), FakeDelivery(sensor())]
    bench.spool.refuses = lambda batch: SpoolError("disk full") if batch.outbox else None
    with pytest.raises(SpoolError):
        bench.ingest.receive(deliveries)
    bench.spool.refuses = lambda _batch: None
    bench.ingest.receive(deliveries)
    assert len(bench.replies()) == 1
    assert [row.event.mapping for row in bench.waiting()] == ["m"]
    assert [delivery.acks for delivery in deliveries] == [1, 1]


def test_a_reused_event_id_of_a_mapping_is_told(tmp_path: Path) -> None:
    """The operator says what an event is: another payload under its id is a repetition, counted as reused."""
    bench = IngestBench(tmp_path, FakeMapping("m", Fired(ORDER, event_id="5")))
    bench.receive(sensor(b"95"), sensor(b"96"))
    assert len(bench.waiting()) == 1
    assert bench.reasons() == []
    assert bench.count("event_id_reused_total", mapping="m") == 1
    assert bench.count("events_duplicate_total", mapping="m") == 1


def test_a_mapping_never_sees_the_interface(tmp_path: Path) -> None:
    """A mapping on every topic is not run by requests, status or another bridge's topics."""
    topics = ["argo/workflows/status/ns/w", "argo/workflows/x", "argo/bridge/b/state"]
    bench = IngestBench(tmp_path, *(FakeMapping(f"m{number}", topic=topic) for number, topic in enumerate(topics)))
    bench.receive(*(sensor(topic=topic) for topic in topics))
    assert bench.waiting() == []
