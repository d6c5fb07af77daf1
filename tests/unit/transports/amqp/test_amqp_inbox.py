"""What waits between the link's thread and the transport's is bounded in bytes, and nothing is lost or out of order."""

from __future__ import annotations

import functools
import threading

import pytest

from bridge.transports.amqp import inbox as amqp_inbox
from bridge.transports.amqp.inbox import Inbox
from bridge.transports.amqp.messages import Arrival, Origin
from bridge.transports.amqp.options import QueueKind


def arrival(tag: int, size: int = 10) -> Arrival:
    """One delivery of so many bytes."""
    return Arrival(1, Origin(QueueKind.EVENTS, "x", "t"), tag, False, b"", b"x" * size)


def tags(item: object) -> list[int]:
    """The deliveries of a batch."""
    assert isinstance(item, list)
    return [one.tag for one in item]


def test_calls_and_messages_stay_in_order() -> None:
    """A batch ends before a call, at the limit, and once it is large."""
    inbox = Inbox()
    large = amqp_inbox.BATCH_BYTES // 2
    began, over = functools.partial(print, "began"), functools.partial(print, "over")
    for item in (began, arrival(1), arrival(2), over, arrival(3, large), arrival(4, large), arrival(5)):
        inbox.put(item)
    assert inbox.take(10, 0) is began
    assert tags(inbox.take(1, 0)) == [1]
    assert tags(inbox.take(10, 0)) == [2]
    assert inbox.take(10, 0) is over
    assert tags(inbox.take(10, 0)) == [3, 4]
    assert tags(inbox.take(10, 0)) == [5]
    assert inbox.take(10, 0) is None


def test_the_broker_is_not_read_on_while_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message waits until others were taken; calls pass; the end of the transport lets it in."""
    monkeypatch.setattr(amqp_inbox, "PATIENCE_S", 60.0)
    inbox = Inbox()
    inbox.put(arrival(1, amqp_inbox.MAX_WAITING_BYTES))
    over = functools.partial(print, "over")
    for tag in (2, 3):
        waiting = threading.Thread(target=inbox.put, args=(arrival(tag, amqp_inbox.MAX_WAITING_BYTES),))
        waiting.start()
        inbox.put(over)
        assert tags(inbox.take(10, 0)) == [tag - 1]
        waiting.join(30)
        assert inbox.take(10, 0) is over
    last = threading.Thread(target=inbox.put, args=(arrival(4),))
    last.start()
    assert inbox._bytes == amqp_inbox.MAX_WAITING_BYTES
    inbox.close()
    last.join(30)
    assert not last.is_alive()
    assert tags(inbox.take(1, 0)) == [3]
    assert tags(inbox.take(1, 0)) == [4]


def test_it_waits_no_longer_than_the_link_may_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody takes anything for long, the message is let in: the link must go on."""
    monkeypatch.setattr(amqp_inbox, "PATIENCE_S", 0.01)
    inbox = Inbox()
    inbox.put(arrival(1, amqp_inbox.MAX_WAITING_BYTES))
    inbox.put(arrival(2))
    assert tags(inbox.take(1, 0)) == [1]
    assert tags(inbox.take(1, 0)) == [2]
