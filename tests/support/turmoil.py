"""Everything that can fail fails, one thing after the other by chance, while events flow; then it is counted.

The bridge reaches the broker and the Argo Server through proxies that can be cut and stalled. What the broker itself
may lose, as its publishers' confirmations came after its last save, is kept apart (docs/continuity.md).
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType

from tests.support.accounting import Account, account
from tests.support.bridge_child import POINTS
from tests.support.bridge_files import BridgeFiles
from tests.support.bridge_inside import LeftBehind
from tests.support.bridge_process import BridgeProcess
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.publisher import MAPPINGS, PARKED, Publisher
from tests.support.simulator_process import SimulatorProcess
from tests.support.tcp_proxy import TcpProxy
from tests.support.transport_ends import wait_until

CHILD = ("-m", "tests.support.bridge_child")
KILLED, ENDED, INTERRUPTED = -9, 0, 130
READY_S = 60.0

FAULTS = [
    {"kind": "status", "status": 500, "probability": 0.1},
    {"kind": "status", "status": 503, "probability": 0.1},
    {"kind": "status", "status": 504, "accept": True, "method": "POST", "probability": 0.15, "delay_s": 0.1},
    {"kind": "rate-limit-text", "probability": 0.05, "retry_after": "0"},
    {"kind": "rate-limit-json", "probability": 0.05},
    {"kind": "cut", "method": "POST", "probability": 0.1},
    {"kind": "cut", "accept": True, "method": "POST", "probability": 0.15},
    {"kind": "hang", "accept": True, "method": "POST", "probability": 0.05, "delay_s": 1.0},
    {"kind": "garbage", "accept": True, "method": "POST", "probability": 0.05},
    {"kind": "html", "method": "POST", "probability": 0.05},
    {"kind": "delay", "probability": 0.2, "delay_s": 0.2},
    {"kind": "status", "status": 500, "probability": 1.0, "count": 40},
    {"kind": "watch-cut", "probability": 0.3, "delay_s": 0.1},
]
"""What the Argo Server does to requests; a few of these at a time."""


@dataclass
class Figures:
    """What was done, and what of it the broker may have lost.

    counts: how often each thing was done.
    at_risk: events that were confirmed and perhaps not saved when the broker was killed.
    repeated: events that were not confirmed when the broker ended, so that their publisher sends them again.
    """

    counts: Counter[str] = field(default_factory=Counter)
    at_risk: set[int] = field(default_factory=set)
    repeated: set[int] = field(default_factory=set)


class Turmoil:
    """All parts run while the context is entered.

    figures: see `Figures`.
    """

    def __init__(self, folder: Path, broker: Mosquitto, argo: SimulatorProcess, version: str, chance: Random) -> None:
        self._broker = broker
        self._argo = argo
        self._chance = chance
        self._pause = threading.Event()
        self._broker_link = TcpProxy(broker.port)
        self._argo_link = TcpProxy(int(argo.url.rpartition(":")[2]))
        self.files = BridgeFiles(
            folder,
            self._broker_link.url,
            f"http://127.0.0.1:{self._argo_link.port}",
            version,
            MAPPINGS + PARKED,
            web_port=free_port(),
        )
        self.figures = Figures()
        self.bridge = BridgeProcess(self.files)
        self.bridge.program = CHILD
        self.publisher = Publisher(broker.port, 50.0, is_varied=True)

    def __enter__(self) -> Turmoil:
        self.files.write()
        self._broker_link.__enter__()
        self._argo_link.__enter__()
        # Ready before the first event: a broker keeps nothing for a session that it does not know yet.
        self.bridge.start_ready()
        self.publisher.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.publisher.__exit__(kind, error, trace)
        self.bridge.close()
        self._argo_link.__exit__(kind, error, trace)
        self._broker_link.__exit__(kind, error, trace)

    def rage(self, for_s: float) -> None:
        """Do one thing after the other until the time is over, and each of them at least once."""
        things = self._things()
        until_s = time.monotonic() + for_s
        while things or time.monotonic() < until_s:
            things = things or self._things()
            things.pop()()
            self._wait(0.1, 0.6)

    def _things(self) -> list[Callable[[], None]]:
        """Each thing once, those that matter most more often, in an order of chance."""
        things = [self._kill] * 4 + [self._die_at_a_point] * 3 + [self._terminate] * 2 + [self._interrupt]
        things += [self._cut_the_broker] * 2 + [self._cut_argo] * 2 + [self._stall_argo, self._fill_the_disk]
        things += [self._set_faults] * 3 + [self._restart_the_broker, self._kill_the_broker]
        self._chance.shuffle(things)
        return things

    def settle(self) -> None:
        """Take all faults away, publish no more, and return once nothing more can come of what was published."""
        self.figures.counts["faults of Argo"] += self._argo.clear_faults()
        self._ready()
        self.publisher.finish(60)
        publisher = self.publisher
        ends = {number for number in publisher.sent if not (publisher.waits(number) or publisher.dies(number))}
        with contextlib.suppress(AssertionError):  # what is missing is told by the count
            self._argo.await_all(ends - self.figures.at_risk, 120)
        wait_until(self._spool_holds_what_waits, "no more than what has to wait", 60, every_s=0.5)
        assert self.bridge.terminate() == ENDED

    def _spool_holds_what_waits(self) -> bool:
        waiting = int(self.bridge.figure("spool_waiting"))
        known = {number for number in self.publisher.sent if self.publisher.waits(number)}
        return len(known - self.figures.at_risk) <= waiting <= len(known)

    def account(self, *, is_whole: bool = False) -> Account:
        """Count what was published; `is_whole`: with what the broker may have lost."""
        sent = self.publisher.sent
        wanted = sent if is_whole else sent - self.figures.at_risk
        return account(wanted, self._argo.created, sent, LeftBehind(self.files).kept)

    # What is done.

    def _count(self, *names: str) -> None:
        self.figures.counts.update(names)

    def _wait(self, least_s: float, most_s: float) -> None:
        self._pause.wait(self._chance.uniform(least_s, most_s))  # the random point in everybody's work

    def _ready(self) -> None:
        self.bridge.await_ready(READY_S)

    def _restart(self) -> None:
        self._count("restarts")
        self.bridge.start()
        while self._chance.random() < 0.2:
            self._wait(0.1, 0.9)
            self.bridge.kill()
            self._count("kills", "restarts")
            self.bridge.start()
        self._ready()

    def _kill(self) -> None:
        self.bridge.kill()
        self._count("kills")
        self._restart()

    def _die_at_a_point(self) -> None:
        self.bridge.kill()
        point = self._chance.choice(list(POINTS))
        self.bridge.program = (*CHILD, "--dies-at", point, "--nth", str(self._chance.randint(1, 6)))
        self.bridge.start()
        # Some points need an Argo Server that works, which there may not be just now.
        code = self.bridge.ends_within(3.0)
        if code is None:
            self.bridge.kill()
        else:
            assert code == KILLED, f"exit code {code}\n{self.bridge.log[-4000:]}"
        self.bridge.program = CHILD
        self._count("kills", "kills", "restarts")
        self._restart()

    def _terminate(self) -> None:
        code = self.bridge.terminate()
        assert code == ENDED, f"exit code {code}\n{self.bridge.log[-4000:]}"
        self._count("stops")
        self._restart()

    def _interrupt(self) -> None:
        self.bridge.signal(signal.SIGTERM)
        self._wait(0.0, 0.05)
        self.bridge.signal(signal.SIGTERM)
        code = self.bridge.wait()
        assert code in (INTERRUPTED, ENDED), f"exit code {code}\n{self.bridge.log[-4000:]}"
        self._count("stops")
        self._restart()

    def _fill_the_disk(self) -> None:
        self.bridge.signal(signal.SIGUSR1)
        self._wait(0.5, 2.0)
        self.bridge.signal(signal.SIGUSR2)
        self._count("full disks")
        self._ready()

    def _cut_the_broker(self) -> None:
        self._broker_link.cut()
        self._count("cuts")

    def _cut_argo(self) -> None:
        self._argo_link.cut()
        self._count("cuts")

    def _stall_argo(self) -> None:
        self._argo_link.stall()
        self._wait(0.3, 1.5)
        self._argo_link.cut()
        self._argo_link.resume()
        self._count("cuts")

    def _set_faults(self) -> None:
        self._count("changes of faults")
        self.figures.counts["faults of Argo"] += self._argo.clear_faults()
        self._argo.add_faults(*self._chance.sample(FAULTS, 3))

    def _restart_the_broker(self) -> None:
        self._broker.stop()
        self.figures.repeated |= self.publisher.sent - self.publisher.confirmed
        self._count("restarts of the broker")
        self._wait(0.1, 0.5)
        self._broker.start()
        self._ready()

    def _kill_the_broker(self) -> None:
        saved = self.publisher.confirmed
        self._broker.await_saved()
        self._wait(0.0, 2.0)  # for something that is not saved
        self._broker.kill()
        if self._chance.random() < 0.5:
            self.bridge.kill()
            self.bridge.start()
            self._count("kills", "restarts")
        self._wait(0.1, 0.5)
        self.figures.at_risk |= self.publisher.confirmed - saved
        self.figures.repeated |= self.publisher.sent - self.publisher.confirmed
        self._count("kills of the broker")
        self._broker.start()
        self._ready()
