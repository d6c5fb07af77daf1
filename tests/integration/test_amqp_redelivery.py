"""What RabbitMQ delivers again is the same event, over cuts and restarts, although AMQP does not say which it is."""

from __future__ import annotations

import pytest

from bridge.transports.amqp.link import AmqpLink
from tests.support.amqp_spine import AmqpSpine
from tests.support.spine import TRIGGER, mapping, submit
from tests.support.tcp_proxy import TcpProxy
from tests.support.transport_ends import wait_until

MAPPINGS = mapping("plain", "sensors/{device}/plain") + mapping(
    "named", "sensors/{device}/named", "event-id: payload.n"
)
DUPLICATES = "events_duplicate_total"


@pytest.fixture
def proxy(rabbitmq):
    """The way to the broker."""
    with TcpProxy(rabbitmq.port) as one:
        yield one


@pytest.fixture
def spine(tmp_path, rabbitmq, proxy):
    """A bridge that connects through the proxy."""
    with AmqpSpine(tmp_path, rabbitmq, MAPPINGS, broker_url=proxy.url.replace("mqtt", "amqp")) as one:
        yield one


def withhold_acknowledgements(monkeypatch):
    """Acknowledgements are lost on their way from now on."""
    monkeypatch.setattr(AmqpLink, "ack", lambda *_, **__: None)


def published(spine):
    """Two events that are alike to the last byte, one that is named, and a request; none of them has a message id."""
    for _ in range(2):
        spine.publish("sensors/a/plain", {"n": 1})
    spine.publish("sensors/a/named", {"n": 2})
    spine.publish(TRIGGER, submit(requestId="asked"))
    wait_until(lambda: len(spine.simulator.created) == 4, "four workflows")


def test_a_cut_before_the_acknowledgement_doubles_nothing(spine, proxy, monkeypatch):
    """Stored, submitted, and not acknowledged when the connection broke: each message comes again and is known."""
    with monkeypatch.context() as patched:
        withhold_acknowledgements(patched)
        published(spine)
        proxy.cut()
    wait_until(lambda: spine.bridge.count("messages_received_total", connection="plant") >= 8, "all of it again")
    spine.fence()
    assert sorted(spine.numbers) == [1, 1, 2]
    assert len(spine.simulator.created) == 5  # the fence's own
    assert spine.bridge.count(DUPLICATES, mapping="plain") == 2


def test_a_restart_before_the_acknowledgement_doubles_nothing(spine, monkeypatch):
    """The same over a restart of the bridge: what it had stored is known to the next process."""
    with monkeypatch.context() as patched:
        withhold_acknowledgements(patched)
        published(spine)
        spine.restart(lambda: None)
    wait_until(lambda: spine.bridge.count(DUPLICATES, mapping="plain") == 2, "both unnamed events again")
    spine.fence()
    assert sorted(spine.numbers) == [1, 1, 2]


def test_an_equal_message_of_later_is_an_event_of_its_own(spine, proxy):
    """Once the broker has taken an acknowledgement, an equal message that comes as a redelivery is a new event."""
    spine.publish("sensors/a/plain", {"n": 3})
    spine.await_numbers(3)
    store = spine.bridge.service._spool
    wait_until(lambda: not store.deliveries("plant"), "the delivery to be forgotten")
    headers = {"x-death": [{"queue": spine.queue("events"), "reason": "delivery_limit"}]}
    spine.publish("sensors/a/plain", {"n": 3}, headers=headers)
    spine.fence()
    assert spine.numbers == [3, 3]


def test_a_full_spool_leaves_messages_at_the_broker_and_loses_none(tmp_path, rabbitmq):
    """Only what fits is stored; the rest waits at the broker, a prefetch of it unacknowledged; all runs in the end."""
    numbers = range(100, 150)
    with AmqpSpine(tmp_path, rabbitmq, MAPPINGS, amqp="prefetch: 10", more="spool: {max-rows: 3}") as spine:
        spine.take_argo_away()
        spine.client.publish_many("sensors/a/plain", [b'{"n": %d}' % number for number in numbers])
        wait_until(lambda: "spool-full" in [reason.code for reason in spine.bridge.service.readiness()], "a full spool")
        assert spine.client.depth(spine.queue("events")) >= 20  # what is stored and a prefetch are not there
        assert spine.bridge.service._spool.figures().waiting <= 10
        spine.simulator.start_serving()
        wait_until(lambda: len(spine.numbers) >= len(numbers), "all events", 60)
        spine.fence()
        assert sorted(spine.numbers) == list(numbers)
