"""Sensor events, from the device's PUBLISH to exactly one workflow a mapping."""

from __future__ import annotations

import threading

import pytest

from bridge.pipeline.intake.ingest import Ingest
from bridge.simulator import FaultKind
from tests.support.mosquitto import MosquittoOptions
from tests.support.plain_client import PlainClient
from tests.support.spine import TRIGGER, Spine, mapping, submit
from tests.support.tcp_proxy import TcpProxy
from tests.support.transport_ends import wait_until

both_versions = pytest.mark.parametrize("version", ["5", "3.1.1"])

TEMPERATURE = """\
  - name: too-hot
    topic: sensors/{site}/boiler/{device}/temperature
    when: payload.value > 90.0
    workflow:
      namespace: factory
      template: inspect
      labels:
        kind: boiler
      parameters:
        device: ${topic.device}
        value: ${payload.value}
        place: ${payload.place}
"""
ALL = "sensors/{site}/{device}"


@both_versions
def test_an_event_becomes_a_workflow_with_its_parameters(version, tmp_path, mosquitto):
    """Captures and payload values arrive as text, JSON values as JSON text; what the bridge adds says whence."""
    with Spine(tmp_path, mosquitto, TEMPERATURE, version) as spine:
        spine.publish("sensors/a/boiler/7/temperature", b'{"value": 95.50, "place": {"hall": 3}}')
        spine.publish("sensors/a/boiler/8/temperature", {"value": 89, "place": {}})
        spine.fence()
        (created,) = _mapped(spine)
        assert created.parameters == {"device": "7", "value": "95.5", "place": '{"hall":3}'}
        assert created.labels["kind"] == "boiler"
        assert created.labels["argo-bridge/bridge"] == "under-test"
        assert created.annotations["argo-bridge/mapping"] == "too-hot"
        assert created.annotations["argo-bridge/topic"] == "sensors/a/boiler/7/temperature"
        assert created.annotations["argo-bridge/connection"] == "plant"
        assert created.name.startswith("inspect-")
        assert spine.bridge.count("messages_skipped_total", cause="when-false") == 1


@both_versions
def test_a_named_event_published_twice_runs_once(version, tmp_path, mosquitto):
    """The same event-id on the same topic is one event; on another topic, or by another mapping, it is another."""
    mappings = mapping("one", ALL, "event-id: payload.n") + mapping("two", "sensors/b/+", "event-id: payload.n")
    with Spine(tmp_path, mosquitto, mappings, version) as spine:
        for topic in ("sensors/a/1", "sensors/a/1", "sensors/a/2", "sensors/b/1", "sensors/b/1"):
            spine.publish(topic, {"n": 5, "sent": topic})
        spine.fence()
        spine.await_numbers(5, 5, 5, 5)
        assert spine.bridge.count("events_duplicate_total", mapping="one") == 2
        assert spine.bridge.count("events_duplicate_total", mapping="two") == 1
        assert spine.bridge.count("event_id_reused_total", mapping="one") == 0
        spine.publish("sensors/a/1", {"n": 5, "sent": "other"})
        spine.fence()
        assert spine.bridge.count("event_id_reused_total", mapping="one") == 1
        assert len(spine.numbers) == 4


@both_versions
def test_what_the_broker_retains_starts_nothing(version, tmp_path, mosquitto):
    """Neither at the first subscription nor at a later one; the live publish of a retained message is an event."""
    with PlainClient(mosquitto.port) as device:
        device.publish("sensors/a/1", b'{"n": 1}', retain=True)
    with Spine(tmp_path, mosquitto, mapping("all", ALL), version) as spine:
        spine.publish("sensors/a/2", {"n": 2}, retain=True)
        spine.await_numbers(2)
        spine.restart(lambda: None)
        spine.bridge.await_session("resumed")
        spine.publish("sensors/a/3", {"n": 3})
        spine.fence()
        spine.await_numbers(2, 3)
        if version == "3.1.1":  # which cannot say that it wants none
            assert spine.bridge.count("messages_skipped_total", cause="retained") >= 2


@both_versions
def test_overlapping_mappings_each_make_an_event_of_one_message(version, tmp_path, mosquitto):
    """Three filters match one message: one workflow a mapping, whatever the broker delivers how often."""
    mappings = mapping("exact", "sensors/a/1") + mapping("plus", ALL) + mapping("hash", "sensors/#")
    with Spine(tmp_path, mosquitto, mappings, version) as spine:
        spine.publish("sensors/a/1", {"n": 1})
        spine.publish("sensors/b/1", {"n": 2})
        spine.fence()
        spine.await_numbers(1, 1, 1, 2, 2)
        by_mapping = sorted((one.annotations["argo-bridge/mapping"], one.parameters.get("n")) for one in _mapped(spine))
        assert by_mapping == [("exact", "1"), ("hash", "1"), ("hash", "2"), ("plus", "1"), ("plus", "2")]


def _mapped(spine):
    return [created for created in spine.simulator.created if created.annotations.get("argo-bridge/mapping")]


def test_the_interface_never_feeds_a_mapping(tmp_path, mosquitto):
    """A mapping on every topic sees no reply, status or state of the bridge: workflows would start workflows."""
    with Spine(tmp_path, mosquitto, mapping("all", '"#"', 'when: "has(payload.n)"')) as spine:
        spine.publish("any/thing", {"n": 1})
        spine.publish("argo/workflows/status", {"n": 2})
        spine.publish("argo/bridge/other/state", {"n": 3})
        spine.publish(TRIGGER, submit(n=4), ResponseTopic="argo/workflows/response/mine/own")
        spine.fence()
        spine.await_numbers(1)


@both_versions
def test_order_by_keeps_the_order_of_a_key_and_holds_no_other(version, tmp_path, mosquitto):
    """The first event of a key fails for now: the next ones of the key wait for it, those of other keys do not."""
    with Spine(tmp_path, mosquitto, mapping("in-order", ALL, "order-by: topic.device"), version) as spine:
        spine.fail(FaultKind.STATUS, status=500, count=1)
        spine.publish("sensors/a/slow", {"n": 1})
        wait_until(lambda: spine.bridge.count("submit_failures_total", code="server-error") == 1, "the fault")
        for number in (2, 3):
            spine.publish("sensors/a/slow", {"n": number})
        for number in (11, 12, 13):
            spine.publish("sensors/a/quick", {"n": number})
        spine.await_numbers(1, 2, 3, 11, 12, 13)
        assert spine.numbers == [11, 12, 13, 1, 2, 3]


@pytest.fixture
def mosquitto(start_mosquitto):
    """A broker with the window of config/mosquitto.conf.

    Acknowledgements go out in order: those of the bridge's own status wait behind the held ones, and would fill 20.
    """
    return start_mosquitto(MosquittoOptions(config=("max_inflight_messages 1000",)))


class Held:
    """A delivery whose acknowledgement is kept for later."""

    def __init__(self, delivery, kept):
        self._delivery = delivery
        self._kept = kept

    @property
    def message(self):
        return self._delivery.message

    def ack(self):
        self._kept.append(self._delivery)


@pytest.fixture
def hold_acks(monkeypatch):
    """Switches acknowledgements off and on: what was committed meanwhile stays unacknowledged."""
    kept, is_on = [], threading.Event()
    receive = Ingest.receive

    def held(self, batch, waiting=()):
        # What the bridge publishes reaches it too; that is not what these tests count.
        counted = ("sensors/", TRIGGER)
        deliveries = [Held(d, kept) if is_on.is_set() and d.message.topic.startswith(counted) else d for d in batch]
        return receive(self, deliveries, waiting)

    monkeypatch.setattr(Ingest, "receive", held)
    return is_on, kept


@both_versions
def test_a_redelivery_is_the_same_event(version, tmp_path, mosquitto, hold_acks):
    """Committed, the acknowledgement lost with the connection, sent again with DUP=1: one workflow without event-id."""
    is_on, kept = hold_acks
    with (
        TcpProxy(mosquitto.port) as proxy,
        Spine(tmp_path, mosquitto, mapping("all", ALL), version, broker_url=proxy.url) as spine,
    ):
        is_on.set()
        for number in (1, 2, 3):
            spine.publish("sensors/a/1", {"n": number})
        spine.publish(TRIGGER, submit(requestId=4))
        spine.await_numbers(1, 2, 3)
        wait_until(lambda: len(kept) == 4, "four deliveries")
        is_on.clear()
        proxy.cut()
        spine.bridge.await_count("events_duplicate_total", 3, mapping="all")
        spine.fence()
        spine.await_numbers(1, 2, 3)
        assert len(spine.simulator.created) == 5  # three events, the request, the fence
        assert spine.bridge.count("events_duplicate_total", mapping="") == 1


@both_versions
def test_a_redelivery_after_a_restart_is_the_same_event(version, tmp_path, mosquitto, hold_acks):
    """The same when the bridge itself was stopped before it could acknowledge."""
    is_on, kept = hold_acks
    with Spine(tmp_path, mosquitto, mapping("all", ALL), version) as spine:
        is_on.set()
        for number in (1, 2, 3):
            spine.publish("sensors/a/1", {"n": number})
        spine.await_numbers(1, 2, 3)
        wait_until(lambda: len(kept) == 3, "three deliveries")
        spine.restart(is_on.clear)
        spine.bridge.await_count("events_duplicate_total", 3, mapping="all")
        spine.fence()
        spine.await_numbers(1, 2, 3)


@both_versions
def test_a_late_acknowledgement_acknowledges_no_other_message(version, tmp_path, mosquitto, hold_acks):
    """Its packet id bears another message by then, which would be lost for good: it does nothing but count."""
    is_on, kept = hold_acks
    with (
        TcpProxy(mosquitto.port) as proxy,
        Spine(tmp_path, mosquitto, mapping("all", ALL), version, broker_url=proxy.url) as spine,
    ):
        is_on.set()
        spine.publish("sensors/a/1", {"n": 1})
        spine.await_numbers(1)
        wait_until(lambda: len(kept) == 1, "a delivery")
        is_on.clear()
        proxy.cut()
        spine.bridge.await_count("events_duplicate_total", 1, mapping="all")
        is_on.set()
        late = list(kept)
        kept.clear()
        for number in range(2, 12):
            spine.publish("sensors/a/1", {"n": number})
        spine.await_numbers(*range(1, 12))
        wait_until(lambda: len(kept) == 10, "ten deliveries")
        for delivery in late:
            delivery.ack()
        assert spine.bridge.count("late_acks_total", connection="plant") == 1
        is_on.clear()
        proxy.cut()
        # All ten come again: the late one has taken none of them from the broker.
        spine.bridge.await_count("events_duplicate_total", 11, mapping="all")
        spine.fence()
        spine.await_numbers(*range(1, 12))


@both_versions
def test_a_lost_session_takes_no_event_for_another(version, tmp_path, mosquitto, hold_acks):
    """The broker forgot the session: its packet ids begin anew, and equal messages after that are new events."""
    is_on, kept = hold_acks
    with Spine(tmp_path, mosquitto, mapping("all", ALL), version) as spine:
        is_on.set()
        spine.publish("sensors/a/1", {"n": 1})
        spine.await_numbers(1)
        wait_until(lambda: len(kept) == 1, "a delivery")
        is_on.clear()

        def broker_forgets():
            mosquitto.kill()  # without persistence it keeps nothing
            mosquitto.start()

        broker_forgets()
        spine.bridge.await_session("new")
        wait_until(lambda: spine.bridge.count("connects_total", connection="plant") == 2, "a second connection")
        spine.bridge.await_ready()
        with PlainClient(mosquitto.port, "device") as device:
            device.publish("sensors/a/1", b'{"n":1}')
        spine.await_numbers(1, 1)
