"""Describes problems of a connection in sentences that say what to do. Pure; runs anywhere."""

from __future__ import annotations

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from bridge.core.errors import cut
from bridge.core.model import HealthProblem
from bridge.transports.broker import Broker
from bridge.transports.mqtt.options import MqttOptions, MqttVersion

_TAKEN_OVER = 0x8E
# Of MQTT 5.0 section 2.4; paho translates the return codes of 3.1.1 (section 3.2.2.3) to these.
_REASON_NAMES = ReasonCode(PacketTypes.CONNACK).names
_NOT_AUTHORIZED = frozenset({0x86, 0x87, 0x8A, 0x8C})
_NO_RETAIN = 0x9A
_OVER_A_PACKET = frozenset({0x80, 0x81, 0x82, 0x83, 0x87, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B})
"""Reasons of a DISCONNECT that one of our packets may cause; all others come from the broker or another client."""


class LinkLost(Exception):  # noqa: N818  (an event of every connection's life, not a fault of the program)
    """A network connection could not be made, or has ended.

    `by_peer`: without a DISCONNECT. `is_suspicious`: the broker ended it, possibly because of something we sent.
    """

    def __init__(self, problem: HealthProblem, *, by_peer: bool = False, is_suspicious: bool = False) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.by_peer = by_peer
        self.is_suspicious = is_suspicious


def reason_name(code: int) -> str:
    """Return the name of an MQTT 5.0 reason code."""
    return f"{next(iter(_REASON_NAMES.get(code, ['unknown reason']))).lower()} (0x{code:02X})"


def connect_refused(code: int, options: MqttOptions, broker: Broker) -> HealthProblem:
    """Return the problem for a CONNACK with reason `code`."""
    text = f"broker {broker} refused the connection: {reason_name(code)}"
    if code in _NOT_AUTHORIZED:
        user = f'user "{options.username}"' if options.username else "no user name"
        return HealthProblem(
            "not-authorized", f"{text}; sent {user} and client id {options.client_id}: check username and password-file"
        )
    if code == 0x84:
        other = MqttVersion.V311 if options.version is MqttVersion.V5 else MqttVersion.V5
        return HealthProblem("bad-protocol-version", f"{text}; set version: {other.value}")
    if code == 0x85:
        return HealthProblem("bad-client-id", f"{text}; set another client-id than {options.client_id}")
    return HealthProblem("refused", text)


def disconnected_by_broker(code: int, options: MqttOptions, broker: Broker) -> LinkLost:
    """Return the exception for a DISCONNECT from the broker with reason `code`."""
    if code == _TAKEN_OVER:
        text = f"another client uses client id {options.client_id}; give each bridge its own id or client-id"
        return LinkLost(HealthProblem("taken-over", text))
    name, hint = "disconnected", "; set retain: false" if code == _NO_RETAIN else ""
    if code in _NOT_AUTHORIZED:
        name, hint = "not-authorized", "; check its access rules"
    text = f"broker {broker} closed the connection: {reason_name(code)}{hint}"
    return LinkLost(HealthProblem(name, text), is_suspicious=code in _OVER_A_PACKET)


def probably_taken_over(options: MqttOptions) -> HealthProblem:
    """Return the problem of a broker that soon closes every connection without a reason.

    Source: docs/design/brokers.md, on what makes Mosquitto close a connection.
    """
    text = (
        f"the broker closes every connection soon. Probably another client uses client id {options.client_id}: "
        "give each bridge its own id or client-id. Mosquitto with max_queued_messages 0 also does so when it denies a "
        "publish"
    )
    return HealthProblem("taken-over", text)


def packet_limit(broker: Broker, limit_bytes: int) -> HealthProblem:
    """Return the problem of a broker whose limit is too small for any message of the bridge."""
    text = (
        f"broker {broker} accepts no packet above {limit_bytes} bytes, which is too small for any message of the "
        "bridge; raise the limit"
    )
    return HealthProblem("packet-limit", text)


def closed_by_peer(options: MqttOptions, broker: Broker, *, is_accepted: bool, cause: str = "") -> HealthProblem:
    """Return the problem of a connection that ended without a DISCONNECT."""
    cause = f": {cut(cause)}" if cause else ""
    if is_accepted:
        return HealthProblem("connection-lost", f"the connection to broker {broker} was lost{cause}")
    hint = "; if it speaks MQTT 3.1.1 only, set version: 3.1.1" if options.version is MqttVersion.V5 else ""
    return HealthProblem(
        "refused", f"broker {broker} closed the connection before accepting it{cause}{hint}; see its log"
    )
