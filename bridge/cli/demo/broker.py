"""An MQTT 3.1.1 broker inside this process, for the demo and for tests without Mosquitto.

It stores nothing on disk and handles about 3,000 messages a second: never use it in production or for a benchmark.
amqtt runs on an asyncio loop in its own thread; nothing else in the bridge uses asyncio.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from functools import partial

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType

from bridge.core.log import logger

_log = logger(__name__)

START_WITHIN_S = 10.0
_HOST = "127.0.0.1"  # keeps others out
_TURNS_TO_ARRIVE = 5
"""Turns of the event loop until the last accepted connection has reached `_take_client`; else it stays open."""


class EmbeddedBroker:
    """A broker that runs, in its own thread, while the context is entered; anonymous clients have all rights."""

    def __init__(self, port: int = 0) -> None:
        """Create it; port 0 is a free one."""
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._clients: set[asyncio.Future[None]] = set()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="embedded-broker")

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"mqtt://{_HOST}:{self._port}"

    def __enter__(self) -> EmbeddedBroker:
        """Start it, and return once it accepts connections.

        Raises:
            OSError: the port is in use, or the address is not this machine's.
            TimeoutError: it did not start within 10 s.
        """
        self._thread.start()
        if not self._started.wait(START_WITHIN_S):
            self._request_stop()
            raise TimeoutError("start embedded broker: not ready within 10 s")
        if self._failure is not None:
            self._thread.join()
            raise OSError(f"start embedded broker: {self._failure}") from self._failure
        return self

    def __exit__(self, *_: object) -> None:
        """Disconnect all clients and stop."""
        self._request_stop()
        self._thread.join()

    def _request_stop(self) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)

    def _run(self) -> None:
        # amqtt logs each packet; on its error level also for clients that leave without DISCONNECT.
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        logging.getLogger("transitions").setLevel(logging.CRITICAL)
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001  (handed to whoever entered the context)
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        # amqtt does not listen by itself: it does not report a port chosen by the system, and leaves sockets open at
        # its end.
        listeners = {"default": ListenerConfig(type=ListenerType.EXTERNAL)}
        plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        broker = Broker(BrokerConfig(listeners=listeners, plugins=plugins))
        server = await asyncio.start_server(partial(self._take_client, broker), _HOST, self._port)
        self._port = server.sockets[0].getsockname()[1]
        try:
            await broker.start()
            self._started.set()
            await self._stop.wait()
        finally:
            server.close()
            for _ in range(_TURNS_TO_ARRIVE):
                await asyncio.sleep(0)
            await broker.shutdown()
            for client in list(self._clients):
                client.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)

    def _take_client(self, broker: Broker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = asyncio.ensure_future(self._serve_client(broker, reader, writer))
        self._clients.add(client)
        client.add_done_callback(partial(self._client_left, writer))

    def _client_left(self, writer: asyncio.StreamWriter, client: asyncio.Future[None]) -> None:
        self._clients.discard(client)
        writer.close()  # once more if it was cancelled before its first step and never reached its own end

    async def _serve_client(self, broker: Broker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await broker.stream_connected(reader, writer, "default")
        except Exception as error:  # noqa: BLE001  (a client that sends nonsense must not end the demo)
            _log.debug("a client's connection failed: %s", error)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
