"""pika's connection, reading message headers as bytes, and the loop that runs it.

The only code that uses pika's internals. pika has no threads: whoever runs the loop owns every connection on it, and
other threads hand in work with `AmqpLoop.call`. It uses SelectConnection and not BlockingConnection, which waits for
each confirm and each declaration and serves nothing else meanwhile, and reports a block or a cancelled consumer only
when asked.

Thread: ``amqp-NAME-link``, one per connection; `call` any. It never runs the receiver, so a commit that hangs does not
delay heartbeats.
"""

from __future__ import annotations

import contextlib
import logging
import struct
from collections.abc import Callable
from typing import Any

import pika
from pika import frame
from pika.adapters.select_connection import IOLoop
from pika.adapters.utils.selector_ioloop_adapter import SelectorIOServicesAdapter

from bridge import __version__
from bridge.core.worker import Worker
from bridge.transports.amqp.options import AmqpLogin, AmqpOptions, virtual_host
from bridge.transports.broker import Broker
from bridge.transports.password_file import read_password
from bridge.transports.tls import client_context

_HEADER = 2
_FRAME_HEAD_BYTES = 7
_FRAME_END_BYTES = 1
_PROPERTIES_AT = 12


class RawConnection(pika.SelectConnection):  # type: ignore[misc]  # pika has no annotations that mypy may read
    """A connection whose messages have their properties as unparsed bytes (`amqp_properties` parses them)."""

    def _read_frame(self) -> tuple[int, Any]:
        data: bytes = self._frame_buffer
        if not data or data[0] != _HEADER or len(data) < _FRAME_HEAD_BYTES:
            return super()._read_frame()  # type: ignore[no-any-return]  # likewise
        _, channel, size = struct.unpack_from(">BHL", data)
        end = _FRAME_HEAD_BYTES + size + _FRAME_END_BYTES
        if len(data) < end:
            return 0, None
        (body_size,) = struct.unpack_from(">Q", data, _FRAME_HEAD_BYTES + 4)
        raw = data[_FRAME_HEAD_BYTES + _PROPERTIES_AT : end - _FRAME_END_BYTES]
        return end, frame.Header(channel, body_size, raw)

    def drop(self, error: Exception) -> None:
        """End the network connection at once, without notifying the broker; harmless if it has ended."""
        with contextlib.suppress(Exception):
            if not self.is_closed:
                self._terminate_stream(error)


def parameters(options: AmqpOptions, broker: Broker) -> pika.ConnectionParameters:
    """Return pika's connection parameters.

    Raises:
        OSError: the password or a certificate cannot be read; a retry helps only after somebody changed it.
    """
    tls = None
    if broker.has_tls:
        tls = pika.SSLOptions(client_context(options.tls), broker.host)
    if options.login is AmqpLogin.CERTIFICATE:
        credentials = pika.credentials.ExternalCredentials()
    else:
        password = "guest"  # noqa: S105 - RabbitMQ's own default
        if options.password_file:
            password = read_password(options.password_file)
        credentials = pika.PlainCredentials(options.username or "guest", password)
    return pika.ConnectionParameters(
        host=broker.host,
        port=broker.port,
        virtual_host=virtual_host(options.url),
        credentials=credentials,
        heartbeat=int(options.heartbeat_s),
        ssl_options=tls,
        socket_timeout=options.connect_timeout_s,
        stack_timeout=options.connect_timeout_s * 2,
        blocked_connection_timeout=None,
        client_properties={
            "connection_name": f"argo-bridge {options.bridge_id} {options.name}",
            "product": "argo-bridge",
            "version": __version__,
        },
    )


class AmqpLoop(Worker):
    """The thread that runs pika; `crashed` is called on it with an unhandled exception, and the loop continues."""

    def __init__(self, name: str, crashed: Callable[[Exception], None]) -> None:
        super().__init__(name)
        # pika's log is not used: the bridge reports problems itself.
        logging.getLogger("pika").setLevel(logging.CRITICAL + 1)
        self._loop = IOLoop()
        self.services = SelectorIOServicesAdapter(self._loop)
        self._crashed = crashed
        self._is_over = False

    def call(self, work: Callable[[], object]) -> None:
        """Run `work` on the thread soon. Thread: any."""
        self._loop.add_callback_threadsafe(work)

    def call_later(self, delay_s: float, work: Callable[[], None]) -> object:
        """Run `work` on the thread after a delay; returns a handle for `cancel`. Thread: the loop's."""
        handle: object = self._loop.call_later(delay_s, work)
        return handle

    def cancel(self, handle: object) -> None:
        """Cancel a `call_later`. Thread: the loop's."""
        self._loop.remove_timeout(handle)

    def _interrupt(self) -> None:
        if self._thread.ident is None:
            self._loop.close()
        elif self._thread.is_alive():
            self.call(self._end)

    def _end(self) -> None:
        self._is_over = True
        self._loop.stop()

    def run(self) -> None:
        """Run pika until it is stopped."""
        while not self._is_over:
            try:
                self._loop.start()
            except Exception as error:  # noqa: BLE001  (a fault ends the connections, never the thread)
                self._crashed(error)
        self._loop.close()
