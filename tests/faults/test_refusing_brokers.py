"""Brokers that end the connection on a message of the bridge: it is set aside, and nothing else suffers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from bridge.core.clock import SystemClock
from bridge.core.model import OutgoingMessage
from bridge.spool.options import SPOOL_FILE
from bridge.spool.records import NewRows, OutboxMessage
from bridge.spool.store import Spool
from tests.support.mosquitto import Mosquitto, MosquittoOptions
from tests.support.plain_client import PlainClient
from tests.support.scripted_broker import text
from tests.support.spine import DEAD_LETTER, RESPONSE, TRIGGER, Spine, mapping, submit
from tests.support.tcp_proxy import TcpProxy
from tests.support.transport_ends import wait_until

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])
WATCHED = mapping("watched", "sensors/{device}", "event-id: payload.n", "status: {topic: 'wf/{device}'}")
WITHIN_S = 60.0


def set_aside(spine: Spine) -> set[str]:
    """The topics that are told as set aside on the dead-letter topic."""
    bodies = [orjson.loads(message.payload) for message in spine.on(DEAD_LETTER)]
    return {body["topic"] for body in bodies if body["reason"] == "set-aside"}


def has_ended(spine: Spine, topic: str) -> bool:
    """Whether the end of a workflow was told on its mapping's own topic."""
    return any(orjson.loads(message.payload)["status"] == "Succeeded" for message in spine.on(topic))


def dead_topics(spine: Spine) -> set[str]:
    """The topics of the dead letters that are kept as set aside."""
    kept = spine.bridge.service._spool.dead_letters()
    return {one.letter.topic for one in kept if one.letter.reason == "set-aside"}


def await_end(spine: Spine, topic: str) -> None:
    """Wait for it."""
    wait_until(lambda: has_ended(spine, topic), f"{topic}; {spine.bridge.service.readiness()}", WITHIN_S)


@pytest.mark.timeout(240)
@VERSIONS
def test_a_status_topic_that_the_broker_cuts_on_harms_no_other(
    tmp_path: Path, mosquitto: Mosquitto, version: str
) -> None:
    """The other devices hear of their workflows; the topic is dead-lettered; no other client is blamed."""
    with (
        TcpProxy(mosquitto.port, (text("wf/secret"),)) as proxy,
        Spine(tmp_path, mosquitto, WATCHED, version, broker_url=proxy.url) as spine,
    ):
        spine.publish("sensors/secret", {"n": 1})
        for number in range(2, 8):
            spine.publish(f"sensors/{number}", {"n": number})
        for number in range(2, 8):
            await_end(spine, f"wf/{number}")
        wait_until(lambda: set_aside(spine) == {"wf/secret"}, "the dead letter", WITHIN_S)
        cuts = proxy.cuts
        assert spine.bridge.count("disconnects_total", connection="plant", reason="taken-over") == 0
        spine.restart(lambda: None)
        spine.publish("sensors/8", {"n": 8})
        await_end(spine, "wf/8")
        wait_until(lambda: spine.bridge.service.readiness() == [], "ready", WITHIN_S)
        assert cuts < 12


@pytest.mark.timeout(240)
@VERSIONS
def test_a_bridge_that_may_say_nothing_of_itself_works(tmp_path: Path, mosquitto: Mosquitto, version: str) -> None:
    """Each publish and subscription under argo/bridge ends the connection: events, replies and status go on."""
    own = tuple(text(f"argo/bridge/under-test/{level}") for level in ("state", "probe", "+"))
    with (
        TcpProxy(mosquitto.port, own) as proxy,
        Spine(tmp_path, mosquitto, WATCHED, version, broker_url=proxy.url) as spine,
    ):
        spine.publish("sensors/1", {"n": 1})
        await_end(spine, "wf/1")
        spine.publish(TRIGGER, submit(requestId="r1"))
        wait_until(lambda: spine.on(RESPONSE), "a reply", WITHIN_S)
        wait_until(lambda: set_aside(spine) == {"argo/bridge/under-test/state"}, "the dead letter", WITHIN_S)
        spine.restart(lambda: None)
        spine.publish("sensors/2", {"n": 2})
        await_end(spine, "wf/2")
        wait_until(lambda: spine.bridge.service.readiness() == [], "ready", WITHIN_S)
        assert proxy.cuts < 16


@pytest.mark.timeout(240)
def test_a_reply_above_the_brokers_packet_limit_is_set_aside(
    tmp_path: Path, start_mosquitto: Callable[[MosquittoOptions], Mosquitto]
) -> None:
    """3.1.1 names no limit: the broker cuts. Smaller replies arrive, and so they do after restarts of both."""
    broker = start_mosquitto(MosquittoOptions(persistence=True, config=("max_packet_size 700",)))
    with Spine(tmp_path, broker, WATCHED, "3.1.1") as spine:
        steps = [{"name": f"s{number}", "tmplate": "x"} for number in range(20)]
        broken = {"workflow": {"metadata": {"name": "a"}, "spec": {"entrypoint": "main", "templates": steps[:9]}}}
        assert len(orjson.dumps(broken)) < 600
        spine.publish(TRIGGER, broken)
        spine.publish(TRIGGER, submit(requestId="r1"))
        wait_until(lambda: any(b"r1" in one.payload for one in spine.on(RESPONSE)), "the small reply", WITHIN_S)
        wait_until(lambda: RESPONSE in dead_topics(spine), "the dead letter", WITHIN_S)
        spine.restart(broker.restart)
        with PlainClient(broker.port, "second") as second:
            second.subscribe(RESPONSE)
            second.publish(TRIGGER, orjson.dumps(submit(requestId="r2")))
            wait_until(lambda: any(b"r2" in payload for payload in second.payloads), "the next reply", WITHIN_S)


@pytest.mark.timeout(240)
@VERSIONS
def test_rows_that_no_broker_takes_do_not_outlive_a_restart(tmp_path: Path, mosquitto: Mosquitto, version: str) -> None:
    """A bridge that starts with them in its outbox finds them out within seconds, whatever order they have."""
    deep = [f"{number}/" + "a/" * 250 for number in range(4)]
    with Spine(tmp_path, mosquitto, WATCHED, version) as spine:

        def leave_behind() -> None:
            topics = [deep[0], "x/1", *deep[1:3], "x/2", deep[3]]
            rows = [OutboxMessage("plant", OutgoingMessage(topic, b'{"status": "late"}')) for topic in topics]
            with Spool.open(spine.files.data_dir / SPOOL_FILE, clock=SystemClock()) as spool:
                spool.commit(NewRows(outbox=list(rows)))

        spine.restart(leave_behind)
        wait_until(lambda: spine.on("x/1") and spine.on("x/2"), "the others", WITHIN_S)
        wait_until(lambda: dead_topics(spine) >= set(deep), "the dead letters", WITHIN_S)
        spine.restart(mosquitto.restart)
        left = {row.message.topic for _, row in spine.bridge.service._spool.outbox("plant", 0, 100)}
        assert not left & set(deep)
        assert spine.bridge.count("disconnects_total", connection="plant", reason="taken-over") == 0
