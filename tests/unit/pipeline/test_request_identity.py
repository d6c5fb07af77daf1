"""A request's event id names what it asks for: a repetition is answered with the first outcome, all else is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline_fakes import TOPICS, IngestBench, end, request

from bridge.core.model import Message
from bridge.spool.records import Outcome

NOWHERE = Path(os.devnull)  # no report is written
STOP = "argo/workflows/stop/factory"


def by_event_id(body: dict[str, Any], **changes: Any) -> Message:
    """Named in the body."""
    return request(body | {"eventId": "order-1"}, **changes)


def by_message_id(body: dict[str, Any], **changes: Any) -> Message:
    """Named by AMQP."""
    return request(body, properties={"message_id": "order-1"} | changes.pop("properties", {}), **changes)


def by_binary_event(body: dict[str, Any], **changes: Any) -> Message:
    """Named by CloudEvents in binary mode."""
    user = (("specversion", "1.0"), ("source", "erp"), ("id", "order-1"))
    return request(body, properties={"user": user} | changes.pop("properties", {}), **changes)


def by_structured_event(body: dict[str, Any], **changes: Any) -> Message:
    """Named by CloudEvents in structured mode; what is about the event and not in it differs with the request's id."""
    envelope = {
        "specversion": "1.0",
        "source": "erp",
        "id": "order-1",
        "time": str(body.get("requestId")),
        "data": body,
    }
    properties = {"content_type": "application/cloudevents+json"} | changes.pop("properties", {})
    return request(envelope, properties=properties, **changes)


NAMED = (by_event_id, by_message_id, by_binary_event, by_structured_event)
NAMES = pytest.mark.parametrize("named", NAMED, ids=lambda named: named.__name__)
A, B = {"submit": {"template": "a"}}, {"submit": {"template": "b"}}


def answers(bench: IngestBench) -> list[tuple[bytes, str]]:
    """Correlation Data and code of every reply."""
    replies = [one for one in bench.sent() if one.topic != TOPICS.dead_letter]
    return [(one.correlation_data, dict(one.user)["code"]) for one in replies]


@NAMES
@pytest.mark.parametrize("topic", ["argo/workflows/trigger/factory", STOP])
def test_another_request_under_a_known_id_is_refused(named: Any, topic: str) -> None:
    """While the first waits and after it ended: 409, a dead letter with its payload, and no part in the outcome."""
    bench = IngestBench(NOWHERE)
    first, other = (A, B) if topic != STOP else ({"workflowId": "w-1"}, {"workflowId": "w-2"})
    bench.receive(named(first, topic=topic, properties={"correlation_data": b"first"}))
    late = named(other, topic=topic, properties={"correlation_data": b"other"})
    bench.receive(late)
    (row,) = bench.waiting()
    assert [address.correlation_data for address in row.replies] == [b"first"]
    assert answers(bench) == [(b"other", "409")]
    end(bench, Outcome.DONE)
    bench.receive(late)
    assert answers(bench)[1:] == [(b"other", "409")]
    assert bench.reasons() == ["event-id-reused"] * 2
    assert bench.spool.real.dead_letters()[0].letter.payload == late.payload
    assert bench.count("event_id_reused_total", mapping="") == 2
    assert bench.count("events_duplicate_total", mapping="") == 0


@NAMES
def test_a_retry_is_a_repetition_whatever_its_request_id(named: Any) -> None:
    """With another requestId, Correlation Data and order of keys it gets the first outcome, at once or later."""
    bench = IngestBench(NOWHERE)
    body = {"namespace": "factory", "submit": {"template": "a", "parameters": {"x": 1, "y": 2**80}}}
    turned = {"submit": {"parameters": {"y": 2**80, "x": 1}, "template": "a"}, "namespace": "factory"}
    bench.receive(named(body | {"requestId": 1}, properties={"correlation_data": b"1"}))
    bench.receive(named(turned | {"requestId": 2}, properties={"correlation_data": b"2"}))
    (row,) = bench.waiting()
    assert [address.correlation_data for address in row.replies] == [b"1", b"2"]
    end(bench, Outcome.DONE)
    bench.receive(named(turned | {"requestId": 3}, properties={"correlation_data": b"3"}))
    assert answers(bench) == [(b"3", "200")]
    assert bench.reasons() == []


@NAMES
def test_a_redelivery_is_the_same_event(named: Any) -> None:
    """The same bytes, marked as sent before or not."""
    bench = IngestBench(NOWHERE)
    first = named(A | {"requestId": 1})
    bench.receive(first, named(A | {"requestId": 1}, dup=True), named(A | {"requestId": 1}))
    assert len(bench.waiting()) == 1
    assert bench.reasons() == []


CONTENT = st.sampled_from([A, B, A | {"namespace": "factory"}, {"submit": {"template": "a", "parameters": {"n": 1}}}])


@given(st.sampled_from(NAMED), st.lists(st.lists(CONTENT, min_size=1, max_size=4), min_size=1, max_size=4))
def test_whatever_comes_under_one_id_the_first_is_done_and_each_has_its_answer(
    named: Any, batches: list[list[dict[str, Any]]]
) -> None:
    """In one batch or several: repetitions of the first share its outcome, and each other request is refused once."""
    bench = IngestBench(NOWHERE)
    first, number = batches[0][0], 0
    alike, others = [], []
    for batch in batches:
        messages = []
        for content in batch:
            number += 1
            (alike if content == first else others).append(str(number).encode())
            properties = {"correlation_data": str(number).encode()}
            messages.append(named(content | {"requestId": number}, properties=properties, packet_id=number))
        bench.receive(*messages)
    (row,) = bench.waiting()
    assert orjson.loads(row.event.order.manifest)["spec"]["workflowTemplateRef"]["name"] == first["submit"]["template"]
    assert [address.correlation_data for address in row.replies] == alike
    assert answers(bench) == [(data, "409") for data in others]
    assert bench.reasons() == ["event-id-reused"] * len(others)
