"""paho's client on our own socket, and the properties that we send. The only code that uses paho's internals.

Runs on the transport's thread.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from paho.mqtt.client import Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bridge.interface.topics import OFFLINE
from bridge.transports.broker import Broker
from bridge.transports.mqtt.buffered_socket import BufferedSocket
from bridge.transports.mqtt.dial import Dialler
from bridge.transports.mqtt.options import MqttOptions, MqttVersion
from bridge.transports.mqtt.packet_reader import MAX_PACKET_BYTES
from bridge.transports.tls import client_context

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike  # paho defines it for type checkers only


class PahoClient(Client):
    """paho's client on our socket; overriding the last three methods is the only way to give it one.

    Attributes:
        network: the underlying TCP or TLS socket; None before `connect`.
    """

    def __init__(self, options: MqttOptions, broker: Broker, dialler: Dialler) -> None:
        is_v5 = options.version is MqttVersion.V5
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=options.client_id,
            protocol=MQTTv5 if is_v5 else MQTTv311,
            # 3.1.1 has no session expiry: a session is either cleared with its connection or kept forever.
            clean_session=None if is_v5 else options.session_expiry_s == 0,
            transport="websockets" if broker.is_websocket else "tcp",
            reconnect_on_failure=False,  # True would fall back to MQTT 3.1 by itself
        )
        self._dialler = dialler
        self._timeout_s = options.connect_timeout_s
        self.network: socket.socket | None = None
        if broker.is_websocket:
            self.ws_set_options(path=broker.websocket_path)
        if broker.has_tls:
            self.tls_set_context(client_context(options.tls))
        if options.topics is not None and options.will:
            properties = None
            if is_v5:
                properties = _properties(PacketTypes.WILLMESSAGE)
                properties.WillDelayInterval = 0
            self.will_set(options.topics.availability, OFFLINE, qos=1, retain=options.retain, properties=properties)

    def next_packet_id(self) -> int:
        """Return a packet id from the same row as those of SUBSCRIBE and UNSUBSCRIBE."""
        return self._mid_generate()

    def _create_socket_connection(self) -> socket.socket:
        self.network = self._dialler.connect(self.host, self.port, self._timeout_s)
        return self.network

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        # paho's own handshake leaks the socket when it fails; the standard library's closes it.
        context = self._ssl_context
        assert context is not None  # noqa: S101  (paho calls this only after tls_set_context)
        wrapped = context.wrap_socket(tcp_sock, server_hostname=self.host, do_handshake_on_connect=False)
        self.network = wrapped
        self._dialler.hold(wrapped)
        wrapped.do_handshake()
        return wrapped

    def _create_socket(self) -> SocketLike:
        try:
            inner = super()._create_socket()
            return BufferedSocket(inner, self.network)
        except BaseException:
            if self.network is not None:
                self.network.close()
            raise
        finally:
            self._dialler.release()


def _properties(packet_type: int) -> Properties:
    return Properties(packet_type)  # type: ignore[no-untyped-call]  # paho's Properties has no annotations


def connect_properties(options: MqttOptions) -> Properties:
    """Return the properties of a 5.0 CONNECT."""
    properties = _properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = int(options.session_expiry_s)
    properties.ReceiveMaximum = options.receive_maximum
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    return properties
