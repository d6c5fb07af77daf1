"""One network connection to an MQTT broker, from the TCP connection to its end. Runs on the transport's thread.

paho writes and reads everything except PUBLISH and PUBACK. Each connection has its own paho client, so that it
cannot keep and resend messages of an earlier one (their owners publish them again). It decides nothing about sessions,
subscriptions or messages: it notes what arrived, and the transport acts on it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections import deque
from typing import Any, NamedTuple

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from bridge.core.errors import cut
from bridge.core.model import HealthProblem, OutgoingMessage
from bridge.transports.broker import Broker, unreachable
from bridge.transports.mqtt.buffered_socket import BufferedSocket
from bridge.transports.mqtt.dial import Dialler
from bridge.transports.mqtt.options import MqttOptions, MqttVersion
from bridge.transports.mqtt.packet_reader import PacketReader
from bridge.transports.mqtt.paho_client import PahoClient, connect_properties
from bridge.transports.mqtt.problems import (
    LinkLost,
    closed_by_peer,
    connect_refused,
    disconnected_by_broker,
)
from bridge.transports.mqtt.publish_packet import encode_publish, parse_puback
from bridge.transports.mqtt.subscriptions import WantedFilter
from bridge.transports.password_file import read_password

_CONNACK = 0x20
_PUBACK = 0x40
_DISCONNECT = b"\xe0\x00"
_CLOSE_WITHIN_S = 1.0
_READ_TURN_BYTES = 2 * 1024 * 1024


class Connack(NamedTuple):
    """The content of the broker's CONNACK.

    Attributes:
        session_present: whether it kept the session of our last connection.
        receive_maximum: QoS 1 messages that we may have unconfirmed.
        maximum_packet_bytes: the largest packet it accepts; None = no limit announced.
        keepalive_s: the effective keep alive, ours or the broker's own.
    """

    session_present: bool
    receive_maximum: int
    maximum_packet_bytes: int | None
    keepalive_s: int


class Suback(NamedTuple):
    """The broker's response to one SUBSCRIBE (`codes`: one per filter) or UNSUBSCRIBE (`codes` None)."""

    packet_id: int
    codes: tuple[int, ...] | None


class Puback(NamedTuple):
    """The broker's response to one PUBLISH; a `code` of 0x80 or more means that it refused the message."""

    packet_id: int
    code: int


class Link:
    """One network connection. Every method that uses it raises `LinkLost` when it could not be made, or has ended.

    Attributes:
        connack: None until the broker accepts the connection.
        packets: yields the unhandled packets that were read; `ProtocolError` if the bytes are not MQTT.
        answers: unhandled SUBACKs and PUBACKs, oldest first.
    """

    def __init__(self, options: MqttOptions, broker: Broker) -> None:
        self._options = options
        self._broker = broker
        self._is_v5 = options.version is MqttVersion.V5
        # Subscribed for other systems' messages there; our own retained messages must come back, to be compared.
        self._not_own = options.topics.status_stream if options.topics else ""
        self._client: PahoClient | None = None
        self._lost: LinkLost | None = None
        self._has_heard = False
        self._reader = PacketReader()
        self.packets = self._reader.packets
        self.connack: Connack | None = None
        self.answers: deque[Suback | Puback] = deque()

    def open(self, dialler: Dialler) -> None:
        """Connect and write CONNECT; the CONNACK must then be read."""
        options = self._options
        try:
            client = PahoClient(options, self._broker, dialler)
        except OSError as error:  # ssl.SSLError is one
            problem = HealthProblem("tls-failed", f"tls files of connection {options.name}: {cut(str(error))}")
            raise LinkLost(problem) from error
        self._client = client
        self._set_credentials(client)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        arguments: dict[str, Any] = {"properties": connect_properties(options), "clean_start": False}
        try:
            client.connect(
                self._broker.host, self._broker.port, int(options.keepalive_s), **(arguments if self._is_v5 else {})
            )
        except (OSError, ValueError) as error:
            # ValueError: a host name or a WebSocket response that cannot be decoded.
            raise LinkLost(unreachable(self._broker, error, cut(str(error)))) from error

    def _set_credentials(self, client: Client) -> None:
        options = self._options
        if not options.username:
            return
        password = None
        if options.password_file:
            try:
                password = read_password(options.password_file)
            except OSError as error:
                problem = HealthProblem(
                    "password-unreadable", f"password-file {options.password_file} cannot be read: {error}"
                )
                raise LinkLost(problem) from error
        client.username_pw_set(options.username, password)

    # paho's callbacks: they only take notes, and never raise.

    def _on_connect(
        self, _client: Client, _userdata: object, flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._lost = LinkLost(connect_refused(code.value, self._options, self._broker))
            return
        keepalive_s = getattr(properties, "ServerKeepAlive", int(self._options.keepalive_s))
        self.connack = Connack(
            flags.session_present,
            getattr(properties, "ReceiveMaximum", 65_535),
            getattr(properties, "MaximumPacketSize", None),
            keepalive_s,
        )

    def _on_disconnect(
        self, _client: Client, _userdata: object, flags: DisconnectFlags, code: ReasonCode, _properties: object
    ) -> None:
        if self._lost is None and flags.is_disconnect_packet_from_server:
            self._lost = disconnected_by_broker(code.value, self._options, self._broker)

    def _on_subscribe(
        self, _client: Client, _userdata: object, packet_id: int, codes: list[ReasonCode], _properties: object
    ) -> None:
        self.answers.append(Suback(packet_id, tuple(code.value for code in codes)))

    def _on_unsubscribe(
        self, _client: Client, _userdata: object, packet_id: int, _codes: list[ReasonCode], _properties: object
    ) -> None:
        self.answers.append(Suback(packet_id, None))

    # The network.

    @property
    def socket(self) -> BufferedSocket:
        """The connection's socket."""
        found = self._client.socket() if self._client is not None else None
        if not isinstance(found, BufferedSocket):
            raise self._lost or self.closed("")
        return found

    def read(self) -> bool:
        """Read available data, up to about 2 MiB; True if there was any."""
        sock = self.socket
        total = 0
        while total < _READ_TURN_BYTES:
            try:
                chunk = sock.read()
            except OSError as error:
                if total:
                    break  # a DISCONNECT with the reason may be among the data; the next read finds the end again
                raise self._broken(error) from error
            if chunk is None:
                break
            if not chunk:
                if total:
                    break
                raise self.closed("")
            if not self._has_heard and chunk[0] != _CONNACK:
                raise self.malformed("the first packet is not a CONNACK")
            self._has_heard = True
            self._reader.feed(chunk)
            total += len(chunk)
        return total > 0

    def control(self, packet: bytes) -> None:
        """Read one packet other than PUBLISH; see `connack` and `answers` for the result."""
        if packet[0] == _PUBACK:
            self.answers.append(Puback(*parse_puback(packet)))
            return
        client, sock = self._client, self.socket
        assert client is not None  # noqa: S101  (there is a socket)
        sock.offer(packet)
        try:
            code = client.loop_read()
        except Exception as error:
            raise self.malformed(f"{type(error).__name__}: {error}") from error
        if self._lost is not None:
            raise self._lost
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._unacceptable(packet, code)
        if client.want_write():
            client.loop_write()

    def _unacceptable(self, packet: bytes, code: MQTTErrorCode) -> LinkLost:
        if self.connack is None and packet[0] == _CONNACK and packet[3:4] == b"\x01":
            # Return code 1 of 3.1.1, for which paho has no callback if it may not fall back to 3.1.
            return LinkLost(connect_refused(0x84, self._options, self._broker))
        return self.malformed(f"packet type {packet[0] >> 4}: {code.name}")

    def malformed(self, detail: str) -> LinkLost:
        """Return the exception for bytes that are not MQTT."""
        return LinkLost(
            HealthProblem("protocol-error", f"broker {self._broker} sent something that is not MQTT: {cut(detail)}")
        )

    def closed(self, cause: str, *, is_silent: bool = False) -> LinkLost:
        """Return the exception for a connection that ended without a DISCONNECT; `is_silent`: we gave it up."""
        problem = closed_by_peer(self._options, self._broker, is_accepted=self.connack is not None, cause=cause)
        return LinkLost(problem, by_peer=True, is_suspicious=not is_silent)

    def _broken(self, error: OSError) -> LinkLost:
        if isinstance(error, ssl.SSLError) and self.connack is None:
            # TLS 1.3 brokers check the client's certificate after the client's handshake is over.
            return LinkLost(unreachable(self._broker, error, cut(str(error))))
        return self.closed(str(error))

    def flush(self) -> bool:
        """Send what was written, as far as the network accepts it; True if any byte was sent."""
        try:
            return self.socket.flush()
        except OSError as error:
            raise self._broken(error) from error

    # What is sent.

    def subscribe(self, wanted: list[WantedFilter]) -> int:
        """Write one SUBSCRIBE at QoS 1; returns its packet id."""
        client = self._connected_client()
        if self._is_v5:
            _, packet_id = client.subscribe(
                [
                    (
                        each.topic_filter,
                        # Retain As Published stays 0, so RETAIN=1 always means a stored retained message.
                        SubscribeOptions(
                            qos=1,
                            # Source: MQTT 5.0 section 3.8.3.1.
                            noLocal=each.topic_filter == self._not_own,
                            retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
                            if each.retained
                            else SubscribeOptions.RETAIN_DO_NOT_SEND,
                        ),
                    )
                    for each in wanted
                ]
            )
        else:
            _, packet_id = client.subscribe([(each.topic_filter, 1) for each in wanted])
        return packet_id or 0

    def unsubscribe(self, filters: list[str]) -> int:
        """Write one UNSUBSCRIBE; returns its packet id."""
        return self._connected_client().unsubscribe(filters)[1] or 0

    def publish(self, message: OutgoingMessage) -> int:
        """Write one PUBLISH; returns its packet id.

        Raises:
            ValueError: it cannot be a packet (`encode_publish`), or is larger than the broker takes.
        """
        packet_id = self._connected_client().next_packet_id()
        packet = encode_publish(message, packet_id, has_properties=self._is_v5)
        limit = self.connack.maximum_packet_bytes if self.connack else None
        if limit is not None and len(packet) > limit:
            # Sent to the broker it would end the connection, and again after each reconnect (docs/design/brokers.md).
            raise ValueError(f"it is larger than the broker's limit of {limit} bytes")
        self.socket.write(packet)
        return packet_id

    def _connected_client(self) -> PahoClient:
        if self._client is None:
            raise self.closed("")
        return self._client

    # The end.

    def disconnect(self, deadline_s: float) -> None:
        """Send DISCONNECT, so that the broker drops the will, and wait a second for its end (until `deadline_s`).

        Our end is closed last: closing while data from the broker is unread resets the connection, and the reset can
        overtake the DISCONNECT.
        """
        network = self._client.network if self._client is not None else None
        if network is None:
            return
        with contextlib.suppress(OSError, LinkLost):
            sock = self.socket
            sock.write(_DISCONNECT)
            network.settimeout(max(0.05, deadline_s - time.monotonic()))
            while sock.wants_write and time.monotonic() < deadline_s:
                sock.flush()
            network.shutdown(socket.SHUT_WR)
            deadline_s = min(deadline_s, time.monotonic() + _CLOSE_WITHIN_S)
            network.settimeout(max(0.05, deadline_s - time.monotonic()))
            while time.monotonic() < deadline_s and sock.read():
                pass

    def close(self) -> None:
        """Close the socket."""
        client, self._client = self._client, None
        if client is not None:
            for own in (client.socket(), client.network):
                with contextlib.suppress(OSError):
                    if own is not None:
                        own.close()
