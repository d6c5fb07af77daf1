"""Connects the parts of a simulator on one event loop, and wakes the controller when something is due.

Everything here runs on the loop's thread; `Simulator` moves calls from other threads onto it. It opens no socket
itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from random import Random

from bridge.simulator.api.control import PREFIX, Control
from bridge.simulator.api.router import Api
from bridge.simulator.controller.behaviour import WallClock
from bridge.simulator.controller.controller import Controller, ControllerOptions
from bridge.simulator.faults import Faults, InjectedFault
from bridge.simulator.http.access import Access
from bridge.simulator.http.faulty import FaultyApi
from bridge.simulator.http.log_streams import LogStreams
from bridge.simulator.http.watch import WatchHub
from bridge.simulator.http.wire import Exchange, HttpServer
from bridge.simulator.objects.archive import Archive
from bridge.simulator.objects.manifests import ManifestDecoder
from bridge.simulator.objects.objects import ObjectFactory
from bridge.simulator.objects.store import Store
from bridge.simulator.objects.validation import Validator
from bridge.simulator.objects.versions import find_release
from bridge.simulator.objects.world import World
from bridge.simulator.options import SimulatorOptions

_BATCH = 200


class Engine:
    """One simulated Argo Server, without a socket.

    Args:
        options: See `SimulatorOptions`.
        faults: The active faults.
        loop: The running loop for everything.

    Attributes:
        store: Its etcd.
        controller: Its workflow controller.
        hub: Its watches.
        api: Its endpoints.
        http: Its connections.
        control: Its endpoints for tests.
        world: The state the endpoints work on.
        stirred: Called after each change, for those who wait.
    """

    def __init__(self, options: SimulatorOptions, faults: Faults, loop: asyncio.AbstractEventLoop) -> None:
        release = find_release(options.argo_version)
        random, wall = Random(options.seed), WallClock(time.time)  # noqa: S311  # names and uids, no secrets
        archive = Archive() if options.archive else None
        controller_options = ControllerOptions(
            release, options.container_s, options.reaction_s, options.retention, archive, options.archive_delay_s
        )
        self._loop = loop
        self._faults = faults
        self._timer: asyncio.TimerHandle | None = None
        self._rate_limit = options.rate_limit
        self.store = Store(options.event_window, options.list_lag_s, loop.time)
        self.controller = Controller(self.store, controller_options, loop.time, wall, random)
        self.hub = WatchHub(self.store, loop, options.keepalive_s, options.bookmark_s)
        world = World(
            release=release,
            namespaces=options.namespaces,
            store=self.store,
            controller=self.controller,
            factory=ObjectFactory(release, wall, random),
            decoder=ManifestDecoder(release.minor),
            validator=Validator(),
            access=Access(options, release),
            wall=wall,
            archive=archive,
        )
        self.world = world
        self._logs = LogStreams(self.store, loop, options.keepalive_s)
        self.api = Api(world, self.hub, self._logs)
        self._served = FaultyApi(self.api, loop)
        self.control = Control(self.api, self.store, self.hub, faults, self.controller)
        self.http = HttpServer(self._handle, self._common_headers)
        self.controller.on_unexpected = self.api.unexpected.append
        self.stirred: Callable[[], None] = lambda: None
        self.store.on_change = self._changed

    def _handle(self, exchange: Exchange) -> None:
        request = exchange.request
        path = request.raw_path
        if path.startswith(PREFIX):
            exchange.reply(self.control.answer(request))
        else:
            fault = self._faults.pick(request.method, request.path, request.body) if path.startswith("/api/") else None
            self._serve_safely(exchange, fault)
        self._arm()

    def _serve_safely(self, exchange: Exchange, fault: InjectedFault | None) -> None:
        try:
            self._served.serve(exchange, fault)
        except Exception as error:  # noqa: BLE001  # one request must not stop all others
            self.api.unexpected.append(error)
            exchange.cut()

    def _common_headers(self) -> tuple[tuple[str, str], ...]:
        reset = str((int(time.time()) + 1) * 1_000_000_000)
        return (
            ("Date", formatdate(usegmt=True)),
            ("X-Ratelimit-Limit", str(self._rate_limit)),
            ("X-Ratelimit-Remaining", str(max(0, self._rate_limit - 1))),
            ("X-Ratelimit-Reset", reset),
        )

    def _changed(self) -> None:
        self.hub.changed()
        self._logs.changed()
        self.stirred()

    # -- the controller's clock ------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Check again what is due (after the controller came back)."""
        self._arm()

    def _arm(self) -> None:
        due_s = self.controller.next_due_s
        if due_s is None:
            return
        if self._timer is not None:
            if self._timer.when() <= due_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.controller.run_due(_BATCH)
        self._arm()

    def close(self) -> None:
        """Stop the clock and all watches and connections."""
        if self._timer is not None:
            self._timer.cancel()
        for watcher in list(self.hub.watchers):
            watcher.close()
        for opened in list(self._logs.following):
            opened.close()
        self.http.abort_all()
