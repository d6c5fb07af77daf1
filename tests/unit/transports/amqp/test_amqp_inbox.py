"""What waits between the link's thread and the transport's is bounded in bytes, and nothing is lost or out of order."""

from __future__ import annotations

import threading

import pytest

from bridge.transports.amqp import events as amqp_events
from bridge.transports.amqp.events import Began, EventInbox, Over
from bridge.transports.amqp.messages import Arrival, Origin
from bridge.transports.amqp.options import QueueKind


def arrival(tag: int, size: int = 10) -> Arrival:
    """One delivery of so many bytes."""
    return Arrival(1, Origin(QueueKind.EVENTS, "x", "t"), tag, False, b"", b"x" * size)


def tags(item: object) -> list[int]:
    """The deliveries of a batch."""
    assert isinstance(item, list)
    return [one.tag for one in item]


def test_events_and_messages_stay_in_order() -> None:
    """A batch ends before an event, at the limit, and once it is large."""
    inbox = EventInbox()
    large = amqp_events.BATCH_BYTES // 2
    for item in (Began(1), arrival(1), arrival(2), Over(1), arrival(3, large), arrival(4, large), arrival(5)):
        inbox.put(item)
    assert inbox.take(10, 0) == Began(1)
    assert tags(inbox.take(1, 0)) == [1]
    assert tags(inbox.take(10, 0)) == [2]
    assert inbox.take(10, 0) == Over(1)
    assert tags(inbox.take(10, 0)) == [3, 4]
    assert tags(inbox.take(10, 0)) == [5]
    assert inbox.take(10, 0) is None


def test_the_broker_is_not_read_on_while_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message waits until others were taken; events pass; the end of the transport lets it in."""
    monkeypatch.setattr(amqp_events, "PATIENCE_S", 60.0)
    inbox = EventInbox()
    inbox.put(arrival(1, amqp_events.MAX_WAITING_BYTES))
    for tag in (2, 3):
        waiting = threading.Thread(target=inbox.put, args=(arrival(tag, amqp_events.MAX_WAITING_BYTES),))
        waiting.start()
        inbox.put(Over(tag))
        assert tags(inbox.take(10, 0)) == [tag - 1]
        waiting.join(30)
        assert inbox.take(10, 0) == Over(tag)
    last = threading.Thread(target=inbox.put, args=(arrival(4),))
    last.start()
    assert inbox._bytes == amqp_events.MAX_WAITING_BYTES
    inbox.close()
    last.join(30)
    assert not last.is_alive()
    assert tags(inbox.take(1, 0)) == [3]
    assert tags(inbox.take(1, 0)) == [4]


def test_it_waits_no_longer_than_the_link_may_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody takes anything for long, the message is let in: the link must go on."""
    monkeypatch.setattr(amqp_events, "PATIENCE_S", 0.01)
    inbox = EventInbox()
    inbox.put(arrival(1, amqp_events.MAX_WAITING_BYTES))
    inbox.put(arrival(2))
    assert tags(inbox.take(1, 0)) == [1]
    assert tags(inbox.take(1, 0)) == [2]
