"""Nothing fails silently: a letter, a notice without payload, a reply, a log line and a counter."""

from __future__ import annotations

import json

import pytest
from pipeline_fakes import TOPICS, request, sensor

from bridge.core.metrics import Metrics
from bridge.core.model import ReplyAddress
from bridge.interface.replies import MAX_DETAILS, Refusal
from bridge.pipeline.refusals import Refusals
from tests.support.clock import FakeClock

ADDRESS = ReplyAddress("plant", "replies/me", b"c", "7")


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def metrics() -> Metrics:
    """Nothing counted."""
    return Metrics()


@pytest.fixture
def refusals(clock: FakeClock, metrics: Metrics) -> Refusals:
    """What is tested."""
    return Refusals(TOPICS, metrics, clock)


def test_a_notice_tells_all_but_the_payload(refusals: Refusals) -> None:
    """Reason, sentence, topic, connection, time, mapping, length and digest; no payload."""
    refused = refusals.of_message(sensor(b"secret"), Refusal("expression-error", "no such key"), mapping="m")
    (notice,) = refused.outbox
    assert (notice.connection, notice.message.topic) == ("plant", "argo/workflows/dead-letter")
    body = json.loads(notice.message.payload)
    assert body.pop("payloadSha256") == refused.dead_letters[0].payload_digest.hex()
    assert body == {
        "reason": "expression-error",
        "message": "no such key",
        "topic": "sensors/a",
        "connection": "plant",
        "time": "2025-06-15T15:06:40.000Z",
        "attempts": 0,
        "payloadBytes": 6,
        "mapping": "m",
    }
    assert refused.dead_letters[0].payload == b"secret"


def test_every_address_is_answered_and_counted(refusals: Refusals, metrics: Metrics) -> None:
    """Two senders have two replies."""
    letter = refusals.of_message(request(), Refusal("name-taken", "taken")).dead_letters[0]
    refused = refusals.of_letter(letter, (ADDRESS, ReplyAddress("office", "replies/b")))
    assert [(row.connection, row.message.topic) for row in refused.outbox[1:]] == [
        ("plant", "replies/me"),
        ("office", "replies/b"),
    ]
    assert json.loads(refused.outbox[1].message.payload) == {"error": "taken", "requestId": 7}
    assert metrics.value("replies_total", code="409") == 2
    assert metrics.value("dead_letters_total", reason="name-taken") == 2


def test_details_are_bounded_everywhere(refusals: Refusals) -> None:
    """Letter, notice and reply hold at most a hundred findings and a count of the rest."""
    details = [{"message": str(number)} for number in range(5000)]
    refused = refusals.of_message(request(), Refusal("invalid-workflow", "bad", details), reply=ADDRESS)
    bodies = [json.loads(row.message.payload)["details"] for row in refused.outbox]
    assert [len(one) for one in (refused.dead_letters[0].details, *bodies)] == [MAX_DETAILS + 1] * 3
    assert bodies[0][-1] == {"message": "4900 more findings are not shown"}


def test_a_flood_is_one_line_a_minute(
    refusals: Refusals, clock: FakeClock, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    """The same reason, mapping and topic within a minute is counted, not logged; the next line says how many."""
    for _ in range(100):
        refusals.of_message(sensor(), Refusal("expression-error", "x"), mapping="m")
    refusals.of_message(sensor(), Refusal("expression-error", "x"), mapping="other")
    assert len(caplog.records) == 2
    assert metrics.value("log_suppressed_total", action="dead-letter") == 99
    clock.advance(61)
    refusals.of_message(sensor(), Refusal("expression-error", "x"), mapping="m")
    assert vars(caplog.records[-1])["held_back"] == 99
    assert metrics.value("dead_letters_total", reason="expression-error") == 102


def test_each_device_has_its_line(refusals: Refusals, caplog: pytest.LogCaptureFixture) -> None:
    """One that chatters hides no other's line."""
    for number in range(19):
        for topic in (f"num/{number}", "num/loud"):
            refusals.of_message(sensor(topic=topic), Refusal("invalid-payload", "x"), mapping="m")
    said = [vars(record)["topic"] for record in caplog.records]
    assert sorted(said) == sorted(["num/loud", *(f"num/{number}" for number in range(19))])


def test_what_a_message_brings_makes_no_refusal_large(refusals: Refusals) -> None:
    """Findings and sentences that repeat its texts are cut: letter, notice and reply stay within some 100 KB."""
    long = "x" * 200_000
    details = [{"pointer": "/a", "message": "short"}, *({"pointer": f"/{long}", "message": long} for _ in range(50))]
    refused = refusals.of_message(request(), Refusal("invalid-workflow", long, details), reply=ADDRESS)
    assert refused.dead_letters[0].details == (details[0], {"message": "50 more findings are not shown"})
    assert max(len(row.message.payload) for row in refused.outbox) < 100_000


def test_what_made_a_message_unusable_does_not_spoil_its_letter(refusals: Refusals) -> None:
    """Text that is not Unicode is written out in the letter, the notice and the reply."""
    refused = refusals.of_message(sensor(topic="a/\ud800"), Refusal("not-storable", "bad \udfff text"), reply=ADDRESS)
    assert (refused.dead_letters[0].topic, refused.dead_letters[0].message) == ("a/\\ud800", "bad \\udfff text")
    assert json.loads(refused.outbox[0].message.payload)["topic"] == "a/\\ud800"
    assert json.loads(refused.outbox[1].message.payload)["error"] == "bad \\udfff text"
