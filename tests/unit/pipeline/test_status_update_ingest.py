"""Status updates of other systems on their way in: answered, stored in the commit that precedes the acknowledgement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from pipeline_fakes import TOPICS, IngestBench, sensor

from bridge.core.errors import SpoolError
from bridge.core.model import Message, MessageProperties

STREAM = TOPICS.status_stream
UPDATE = {"namespace": "factory", "workflowId": "boil-1", "status": "Running", "progress": "50%", "message": "half"}


@pytest.fixture
def bench(tmp_path: Path) -> IngestBench:
    return IngestBench(tmp_path)


def update(body: object = None, **changes: Any) -> Message:
    """A message on PREFIX/status; `properties` as keyword arguments of MessageProperties."""
    properties = MessageProperties(**changes.pop("properties", {}))
    payload = body if isinstance(body, bytes) else orjson.dumps(UPDATE if body is None else body)
    return sensor(payload, topic=STREAM, properties=properties, **changes)


def test_an_update_is_stored_and_answered(bench: IngestBench) -> None:
    """The seed's success goes to PREFIX/response/status with the request's own id, and status is told."""
    (delivery,) = bench.receive(update(UPDATE | {"requestId": 7}))
    (row,) = bench.spool.real.external()
    assert (row.namespace, row.name) == ("factory", "boil-1")
    assert orjson.loads(row.body) == {"status": "Running", "progress": "50%", "message": "half", "details": {}}
    assert bench.replies() == [{"status": "Status update received successfully", "requestId": 7}]
    assert bench.sent()[0].topic == "argo/workflows/response/status"
    assert bench.sent()[0].user == (("code", "200"),)
    assert (delivery.acks, bench.update_calls, bench.outbox_calls) == (1, 1, 1)


def test_a_request_of_mqtt_5_is_answered_where_it_wants(bench: IngestBench) -> None:
    """Response Topic and Correlation Data are used; one that leads back to the bridge is not."""
    bench.receive(update(properties={"response_topic": "replies/me", "correlation_data": b"c"}))
    bench.receive(update(properties={"response_topic": "office/x"}))
    reply, other = bench.sent()
    assert (reply.topic, reply.correlation_data) == ("replies/me", b"c")
    assert (other.topic, [name for name, _ in other.user]) == (
        TOPICS.status_response,
        ["code", "reply-address-refused"],
    )
    assert len(bench.spool.real.external()) == 1


@pytest.mark.parametrize(
    ("body", "reason", "error", "code"),
    [
        (b"{", "invalid-status-update", "Invalid status update format", "400"),
        (b"[]", "invalid-status-update", "Invalid status update format", "400"),
        ({"workflowId": "a"}, "invalid-status-update", "Invalid status update format", "400"),
        (UPDATE | {"details": {"n": 2**70}}, "invalid-status-update", "Invalid status update format", "400"),
        (UPDATE | {"namespace": "other"}, "forbidden-namespace", 'namespace "other" is not allowed here', "403"),
    ],
)
def test_what_is_not_well_formed_is_refused_with_details(
    bench: IngestBench, body: Any, reason: str, error: str, code: str
) -> None:
    """The seed's error, its findings as details, a dead letter; nothing is stored for status."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    (delivery,) = bench.receive(update(payload))
    (reply,) = bench.replies()
    assert reply["error"] == error
    assert bench.reasons() == [reason]
    assert reason != "invalid-status-update" or reply["details"][0]["message"]
    assert bench.spool.real.external() == ()
    assert next(one for one in bench.sent() if one.topic == TOPICS.status_response).user == (("code", code),)
    assert delivery.acks == 1


def test_a_refusal_has_the_request_id_where_it_could_be_read(bench: IngestBench) -> None:
    """An object with a requestId is answered with it, whatever else is wrong."""
    bench.receive(update({"requestId": "r-1", "status": 5}))
    assert bench.replies()[0]["requestId"] == "r-1"


def test_what_a_bridge_says_is_no_update(bench: IngestBench) -> None:
    """Our own stream comes back, and another bridge's: nothing is stored or answered, no letter, one count each."""
    bench.receive(*(update(UPDATE | {"details": {"bridge": name}}) for name in ("plant-1", "plant-2")))
    assert bench.sent() == []
    assert bench.reasons() == []
    assert bench.spool.real.external() == ()
    assert bench.count("messages_skipped_total", cause="bridge-status") == 2


def test_a_retained_message_on_the_stream_is_skipped(bench: IngestBench) -> None:
    """It is the broker's memory, as everywhere."""
    bench.receive(update(retain=True))
    assert bench.spool.real.external() == ()
    assert bench.count("messages_skipped_total", cause="retained") == 1


def test_a_payload_that_is_too_large_is_refused(bench: IngestBench) -> None:
    """interface.max-payload holds here too."""
    bench.receive(update(UPDATE | {"message": "x" * 300_000}))
    assert bench.reasons() == ["payload-too-large"]
    assert bench.spool.real.external() == ()


def test_nothing_is_acknowledged_before_it_is_stored(bench: IngestBench) -> None:
    """A spool that fails leaves the delivery open; handed in again it is stored once."""
    message = update()
    bench.spool.failing = {"commit"}
    with pytest.raises(SpoolError):
        bench.receive(message)
    assert bench.update_calls == 0
    bench.spool.failing = set()
    (delivery,) = bench.receive(message)
    assert delivery.acks == 1
    assert len(bench.spool.real.external()) == 1
    assert len(bench.replies()) == 1


def test_a_live_status_is_shown_to_status(bench: IngestBench) -> None:
    """What anybody publishes on PREFIX/status/NAMESPACE/NAME is handed on, and is no reading of any mapping."""
    topic = TOPICS.status_of("factory", "boil-1")
    bench.receive(sensor(b"{}", topic=topic))
    assert bench.live == [("plant", topic, b"{}")]
    assert bench.retained == []
