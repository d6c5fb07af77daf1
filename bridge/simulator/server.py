"""A simulated Argo Server in its own thread, for tests, the demo and `argo-bridge simulate`.

`Simulator` owns the thread and moves calls from others onto it; results are never changed afterwards. It persists
nothing: the state lives as long as the object. Thread: any may call its methods.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from random import Random
from typing import Any, Self, TypeVar

import orjson

from bridge.simulator.engine import Engine
from bridge.simulator.faults import Faults
from bridge.simulator.http.answers import not_found
from bridge.simulator.objects.admission import Created
from bridge.simulator.objects.store import Object
from bridge.simulator.options import SimulatorOptions

T = TypeVar("T")

_POLL_S = 0.1
_JOIN_S = 10.0


class Simulator:
    """A simulated Argo Server.

    Use it as a context manager, or call `start` and `stop`. The port is given or chosen at `start`, and kept.

    Args:
        options: None means all defaults.

    Attributes:
        options: As given.
        faults: The active faults; add to it at any time.
    """

    def __init__(self, options: SimulatorOptions | None = None) -> None:
        self.options = options if options is not None else SimulatorOptions()
        self.faults = Faults(Random(self.options.seed))  # noqa: S311  # decides about faults, no secrets
        self._ssl = _tls_of(self.options)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: Engine | None = None
        self._server: asyncio.Server | None = None
        self._port = self.options.port
        self._changed = threading.Event()
        self._waiting = 0
        self._revival: asyncio.TimerHandle | None = None
        self._reviving: asyncio.Task[None] | None = None

    # -- life ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the thread and listen.

        Raises:
            OSError: The address cannot be used.
        """
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="argo-simulator")
        self._thread.start()
        started.result()
        try:
            self.start_serving()
        except OSError:
            self.stop()
            raise

    def _run(self, started: Future[None]) -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self._loop = loop

        async def prepare() -> None:
            self._engine = Engine(self.options, self.faults, loop)
            self._engine.stirred = self._stir
            self._engine.api.streams.crashed = self._crash

        try:
            loop.run_until_complete(prepare())
            started.set_result(None)
            loop.run_forever()
            loop.run_until_complete(self._release())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    async def _release(self) -> None:
        """Let closed transports be released; a client that was being accepted meanwhile is one of them."""
        accepting = asyncio.all_tasks() - {asyncio.current_task()}
        if accepting:
            await asyncio.wait(accepting, timeout=1.0)
        while self._engine is not None and self._engine.http.connections:
            await asyncio.sleep(0)

    def stop(self) -> None:
        """Close everything and join the thread. No effect if it is not running.

        Raises:
            RuntimeError: The thread did not end in time.
        """
        thread, loop = self._thread, self._loop
        if thread is None or loop is None:
            return
        if thread.is_alive():
            self.stop_serving()
            self._call(lambda engine: engine.close())
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_JOIN_S)
            if thread.is_alive():
                raise RuntimeError("the simulator's thread did not end within 10 s")
        self._thread = None

    def start_serving(self) -> None:
        """Listen, on the same port as before.

        Raises:
            OSError: The address cannot be used.
        """
        self._await(self._listen)

    async def _listen(self, engine: Engine) -> None:
        if self._server is None:
            loop = asyncio.get_running_loop()
            engine.http.listening = True
            self._server = await loop.create_server(
                engine.http.protocol, self.options.host, self._port, ssl=self._ssl, backlog=4096
            )
            self._port = self._server.sockets[0].getsockname()[1]

    def stop_serving(self) -> None:
        """Stop listening and cut all connections; the state stays and workflows go on (etcd outlives a server)."""

        async def close(engine: Engine) -> None:
            if self._revival is not None:
                self._revival.cancel()
            if self._close(engine):
                await asyncio.sleep(0)

        self._await(close)

    def _close(self, engine: Engine) -> bool:
        """Stop listening and cut all connections, on the loop's thread; False if it did not listen."""
        server, self._server = self._server, None
        if server is None:
            return False
        loop = server.get_loop()
        for listener in server.sockets:
            loop.remove_reader(listener.fileno())
        engine.http.abort_all()
        # Later: a client that was accepted in this turn of the loop has yet to attach itself to the server, and would
        # leak if that were closed (CPython's `Server._attach`).
        loop.call_soon(server.close)
        return True

    def _crash(self) -> None:
        """Go away for a while, like a restarting pod; on the loop's thread."""
        engine, loop = self._engine, self._loop
        if self.options.crash_s > 0 and engine is not None and loop is not None and self._close(engine):

            def revive() -> None:
                self._reviving = loop.create_task(self._listen(engine))

            self._revival = loop.call_later(self.options.crash_s, revive)

    # -- bringing calls onto the loop ------------------------------------------------------------------------------

    def _call(self, work: Callable[[Engine], T]) -> T:
        async def run(engine: Engine) -> T:
            return work(engine)

        return self._await(run)

    def _await(self, work: Callable[[Engine], Coroutine[Any, Any, T]]) -> T:
        engine, loop = self._engine, self._loop
        if engine is None or loop is None or loop.is_closed():
            raise RuntimeError("the simulator is not running")
        return asyncio.run_coroutine_threadsafe(work(engine), loop).result()

    def _stir(self) -> None:
        if self._waiting:
            self._changed.set()

    # -- looking ---------------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._port

    @property
    def url(self) -> str:
        """Its base URL, without a trailing slash."""
        scheme = "http" if self._ssl is None else "https"
        return f"{scheme}://{self.options.host}:{self._port}"

    @property
    def created(self) -> list[Created]:
        """Every workflow accepted so far, from all endpoints, in order."""
        return self._call(lambda engine: list(engine.api.admission.created))

    @property
    def unexpected(self) -> list[BaseException]:
        """Exceptions inside the simulator; empty unless it has a bug."""
        return self._call(lambda engine: list(engine.api.unexpected))

    def stats(self) -> dict[str, Any]:
        """Return the counts of `GET /simulator/stats`."""
        return self._call(lambda engine: engine.control.stats())

    def workflows(self, namespace: str = "") -> list[Object]:
        """Return the current workflows, without the lag of lists; an empty namespace means all."""
        return self._call(
            lambda engine: [
                workflow for (where, _), workflow in engine.store.workflows.items() if namespace in ("", where)
            ]
        )

    def workflow(self, namespace: str, name: str) -> Object | None:
        """One workflow, or None."""
        return self._call(lambda engine: engine.store.get(namespace, name))

    def wait_for(self, predicate: Callable[[Simulator], Any], timeout_s: float = 30.0) -> Any:
        """Wait until a condition holds.

        Args:
            predicate: Called after each change; its first true value is returned.
            timeout_s: Maximum time to wait.

        Raises:
            TimeoutError: It did not hold in time.
        """
        deadline_s = time.monotonic() + timeout_s
        self._waiting += 1
        try:
            while True:
                self._changed.clear()
                value = predicate(self)
                if value:
                    return value
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError(f"did not hold within {timeout_s} s")
                self._changed.wait(min(left_s, _POLL_S))
        finally:
            self._waiting -= 1

    # -- doing -----------------------------------------------------------------------------------------------------

    def put_template(self, namespace: str, manifest: Object) -> Object:
        """Store a WorkflowTemplate, replacing one with the same name.

        Args:
            namespace: Empty stores a ClusterWorkflowTemplate.
            manifest: As in YAML.

        Raises:
            ApiError: The manifest is invalid, as in the API.
        """

        def put(engine: Engine) -> Object:
            kind = "WorkflowTemplate" if namespace else "ClusterWorkflowTemplate"
            body = orjson.dumps({"template": manifest})
            decoded = engine.world.decoder.decode_request(body, f"{kind}CreateRequest")
            name = manifest.get("metadata", {}).get("name", "")
            engine.store.remove_template(namespace, name)
            return engine.api.templates[not namespace].add(decoded["template"], namespace)

        return self._call(put)

    def delete(self, namespace: str, name: str) -> None:
        """Delete a workflow.

        Raises:
            ApiError: 404 if it does not exist.
        """

        def remove(engine: Engine) -> None:
            workflow = engine.store.get(namespace, name)
            if workflow is None:
                raise not_found("workflows", name)
            engine.api.workflows.remove(workflow)

        self._call(remove)

    def end_watches(self, how: str = "eof") -> int:
        """End every open watch: `eof` (a 429 frame), `too-old` (a 400 frame) or `cut` (no frame).

        Returns their number.
        """
        return self._call(lambda engine: engine.hub.end_all(how))

    def compact(self) -> None:
        """Discard the history, so that every resource version up to now is `too old`."""
        self._call(lambda engine: engine.store.compact())

    def set_controller_away(self, away: bool) -> None:
        """Take the workflow controller away, or bring it back: creates are accepted, but nothing runs."""

        def change(engine: Engine) -> None:
            engine.controller.away = away
            engine.wake()

        self._call(change)


def _tls_of(options: SimulatorOptions) -> ssl.SSLContext | None:
    if options.certfile is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certfile, options.keyfile)
    return context
