"""Each way a connection fails is a sentence that names the broker, the reason and what to do."""

from __future__ import annotations

import pytest

from bridge.transports.broker import MQTT_PORTS, parse_broker
from bridge.transports.mqtt.options import MqttOptions, MqttVersion
from bridge.transports.mqtt.problems import (
    closed_by_peer,
    connect_refused,
    disconnected_by_broker,
    reason_name,
)

OPTIONS = MqttOptions(url="mqtt://broker", client_id="bridge-1", username="worker")
BROKER = parse_broker(OPTIONS.url, MQTT_PORTS)


@pytest.mark.parametrize(
    ("code", "problem", "parts"),
    [
        (0x86, "not-authorized", ["bad user name or password", '"worker"', "password-file"]),
        (0x87, "not-authorized", ["not authorized", "bridge-1"]),
        (0x84, "bad-protocol-version", ["set version: 3.1.1"]),
        (0x85, "bad-client-id", ["client-id", "bridge-1"]),
        (0x88, "refused", ["server unavailable"]),
        (0xEE, "refused", ["unknown reason (0xEE)"]),
    ],
)
def test_a_refused_connect_names_reason_and_remedy(code: int, problem: str, parts: list[str]) -> None:
    """CONNACK's reason is in words, with the key to change."""
    found = connect_refused(code, OPTIONS, BROKER)
    assert found.code == problem
    assert "broker:1883" in found.message
    assert all(part in found.message for part in parts)


def test_a_bridge_on_3_1_1_is_told_to_try_5() -> None:
    """The hint names the other version, not the one in use."""
    options = MqttOptions(url="mqtt://broker", client_id="bridge-1", version=MqttVersion.V311)
    assert "set version: 5" in connect_refused(0x84, options, BROKER).message


def test_a_session_taken_over_names_the_client_id() -> None:
    """DISCONNECT 0x8E names the client id that another client uses."""
    found = disconnected_by_broker(0x8E, OPTIONS, BROKER).problem
    assert found.code == "taken-over"
    assert "another client uses client id bridge-1" in found.message


@pytest.mark.parametrize(
    ("code", "problem", "is_suspicious"),
    [
        (0x87, "not-authorized", True),
        (0x8B, "disconnected", False),
        (0x8D, "disconnected", False),
        (0x8E, "taken-over", False),
        (0x95, "disconnected", True),
        (0x98, "disconnected", False),
        (0x9A, "disconnected", True),
    ],
)
def test_a_disconnect_from_the_broker_says_why(code: int, problem: str, is_suspicious: bool) -> None:
    """The reason is in the sentence, and only a reason that may lie in what we sent casts suspicion on it."""
    lost = disconnected_by_broker(code, OPTIONS, BROKER)
    assert (lost.problem.code, lost.is_suspicious) == (problem, is_suspicious)
    assert code == 0x8E or reason_name(code) in lost.problem.message


def test_a_close_before_connack_hints_at_the_version() -> None:
    """Brokers that do not know 5.0 often just close; afterwards it is a lost connection."""
    assert "set version: 3.1.1" in closed_by_peer(OPTIONS, BROKER, is_accepted=False).message
    assert closed_by_peer(OPTIONS, BROKER, is_accepted=True).code == "connection-lost"
