"""Runs `argo-bridge` with a fault built in: killed at a named point of its work, or over a disk that takes nothing.

    python -m tests.support.bridge_child [--dies-at POINT] [--nth N] run --config FILE

The product knows nothing of this: the points are the names of its own transactions and methods, wrapped here before it
starts. While it runs, SIGUSR1 makes the spool refuse every write as `--disk` says, and SIGUSR2 lets it write again.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bridge.argo.exchanges import Exchanges
from bridge.cli.main import main
from bridge.pipeline.dispatch.dispatcher import Dispatcher
from bridge.pipeline.intake.ingest import Ingest
from bridge.pipeline.outbox import OutboxSender
from bridge.spool import files
from bridge.spool.database import Database
from bridge.transports.deliveries import BrokerDelivery, Deliveries
from bridge.transports.mqtt.link import Link

Die = Callable[[], None]
ROOM = "pragma max_page_count = 1073741823; pragma query_only = 0"
REFUSALS = {"full": "pragma max_page_count = 1", "read-only": "pragma query_only = 1"}
"""How SQLite is told to refuse; it takes no limit below the pages that there are."""


class Death:
    """SIGKILL of this process when a point is passed for the `nth` time."""

    def __init__(self, nth: int) -> None:
        self._left = nth
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def _commit(verb: str, *, is_after: bool) -> Callable[[Die], None]:
    """The point just before, or just after, the COMMIT of a transaction."""

    def install(die: Die) -> None:
        transaction = Database.transaction

        @contextmanager
        def deadly(self: Database, named: str) -> Iterator[Any]:
            with transaction(self, named) as commit:
                yield commit
                if named == verb and commit.is_wanted and not is_after:
                    die()
            if named == verb and is_after:
                die()

        Database.transaction = deadly  # type: ignore[method-assign]  # that is the point

    return install


def _call(owner: Any, name: str, *, is_after: bool, counts: Callable[..., bool] = lambda *_: True) -> Any:
    """The point before or after a call; `counts` gets the arguments and the result (None before)."""

    def install(die: Die) -> None:
        method = getattr(owner, name)

        def deadly(*arguments: Any, **named: Any) -> Any:
            if not is_after and counts(None, *arguments):
                die()
            result = method(*arguments, **named)
            if is_after and counts(result, *arguments):
                die()
            return result

        setattr(owner, name, deadly)

    return install


def _acknowledgements_sent(die: Die) -> None:
    """Acknowledgements were given to the operating system."""
    take, flush = Deliveries.take_acknowledged, Link.flush
    taken = threading.Event()

    def taking(self: Deliveries[Any]) -> list[BrokerDelivery[Any]]:
        acked = take(self)
        if acked:
            taken.set()
        return acked

    def flushing(self: Link) -> bool:
        result = flush(self)
        if taken.is_set():
            die()
        return result

    Deliveries.take_acknowledged = taking  # type: ignore[method-assign]  # that is the point
    Link.flush = flushing  # type: ignore[method-assign]  # that is the point


def _create_sent(die: Die) -> None:
    """A create left for the Argo Server, which takes its time (the test sees to that)."""
    start = Exchanges.start

    def starting(self: Exchanges, key: Any, request: Any, sink: Any = None) -> None:
        start(self, key, request, sink)
        if request.method == "POST":
            timer = threading.Timer(0.1, die)
            timer.daemon = True
            timer.start()

    Exchanges.start = starting  # type: ignore[method-assign]  # that is the point


def _is_row(_result: Any, _self: Dispatcher, key: Any, *_: Any) -> bool:
    return isinstance(key, int)


POINTS: dict[str, Callable[[Die], None]] = {
    "spool-made": _call(files, "_fsync", is_after=False),
    "setting-written": _commit("keep a setting", is_after=False),
    "handed-in": _call(Ingest, "receive", is_after=False),
    "batch-written": _commit("store events", is_after=False),
    "batch-committed": _commit("store events", is_after=True),
    "batch-acknowledged": _call(Ingest, "receive", is_after=True),
    "acknowledgements-taken": _call(
        Deliveries, "take_acknowledged", is_after=True, counts=lambda acked, *_: bool(acked)
    ),
    "acknowledgements-sent": _acknowledgements_sent,
    "create-sent": _create_sent,
    "create-answered": _call(Dispatcher, "_answered", is_after=False, counts=_is_row),
    "ends-written": _commit("settle events", is_after=False),
    "ends-committed": _commit("settle events", is_after=True),
    "reply-handed-over": _call(OutboxSender, "_publish", is_after=True),
    "reply-confirmed": _call(OutboxSender, "_done", is_after=False),
    "replies-written": _commit("delete sent messages", is_after=False),
    "replies-deleted": _commit("delete sent messages", is_after=True),
    "retained-noted": _commit("remember retained topics", is_after=True),
    "retained-cleared": _commit("forget retained topics", is_after=False),
}
"""Every point at which a crash leaves something different behind, in the order of a message's way."""


def _obey_signals(disk: str) -> None:
    databases: list[Database] = []
    made = Database.__init__

    def making(self: Database, *arguments: Any, **named: Any) -> None:
        made(self, *arguments, **named)
        databases.append(self)

    def tell(script: str) -> None:
        for database in databases:
            with database._lock:
                for statement in script.split(";"):
                    database._writer.execute(statement).fetchall()

    Database.__init__ = making  # type: ignore[method-assign]  # that is the point
    signal.signal(signal.SIGUSR1, lambda *_: tell(REFUSALS[disk]))
    signal.signal(signal.SIGUSR2, lambda *_: tell(ROOM))


def run() -> int:
    """Build the fault in, and be the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dies-at", choices=POINTS)
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--disk", choices=REFUSALS, default="full")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if options.dies_at:
        POINTS[options.dies_at](Death(options.nth))
    _obey_signals(options.disk)
    sys.argv[1:] = options.command
    return main()


if __name__ == "__main__":
    sys.exit(run())
