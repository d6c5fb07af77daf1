"""Asks Argo what the status thread must not wait for: single workflows by GET, and periodic lists.

Answers go through the inbox; it decides nothing. A question stays until it is answered, over any outage.

Thread: ``status-lookups`` runs `run`; `propose` may be called from any thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from bridge.core import log
from bridge.core.backoff import JITTER, Backoff
from bridge.core.clock import Clock
from bridge.core.errors import BridgeError, PermanentError
from bridge.core.model import WorkflowRef
from bridge.core.report import ErrorReports
from bridge.core.worker import Worker
from bridge.status.seen.argo_reader import ArgoReader
from bridge.status.seen.events import Listed, LookedUp
from bridge.status.seen.inbox import Inbox

_LOG = log.logger(__name__)
RELIST_S = 300.0
REFUSED_PAUSE_S = 60.0
TOKEN_LOOK_S = 1.0
PAUSE_SHARE = 9
MAX_PAUSE_S = 2.0
"""While creates wait for permits, each GET is followed by a pause nine times as long as its answer took. Where requests
queue in the Argo Server, as behind ``--kube-api-qps``, looking up gets a tenth of its rate, and creates the rest."""
_SPREAD = 0.2


class Lookups(Worker):
    """The questions to Argo that are open; each of `namespaces` is listed every 5 minutes or so."""

    def __init__(
        self,
        namespaces: Sequence[str],
        selector: str,
        *,
        argo: ArgoReader,
        creates_wait: Callable[[], bool],
        clock: Clock,
        reports: ErrorReports,
        inbox: Inbox,
        stop: threading.Event,
    ) -> None:
        super().__init__("status-lookups", stop)
        self._argo = argo
        self._creates_wait = creates_wait
        self._selector = selector
        self._clock = clock
        self._reports = reports
        self._inbox = inbox
        self._backoff = Backoff(initial_s=0.5, cap_s=5.0)
        self._changed = threading.Condition()
        self._open: dict[WorkflowRef, bool] = {}
        self._refused: dict[WorkflowRef, float] = {}
        self._lists = {namespace: self._clock.monotonic_s() + self._period_s() for namespace in namespaces}
        self._failures = 0
        self._renewals = 0

    def propose(self, ref: WorkflowRef, nodes: bool) -> None:
        """Ask for a GET of one workflow; asking again before it is answered is one GET. Thread: any."""
        with self._changed:
            self._open[ref] = self._open.get(ref, False) or nodes
            self._changed.notify_all()

    def _interrupt(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def run(self) -> None:
        """Answer questions until the stop event is set."""
        while not self._stop.is_set():
            try:
                self._step()
            except BridgeError as error:
                self._pause(error)
            except Exception as error:  # noqa: BLE001 - one bad answer never ends the thread
                self._failures += 1
                self._reports.unexpected("status-lookups", error)
                self._stop.wait(self._backoff.delay_s(self._failures))
            else:
                self._failures = 0

    def _pause(self, error: BridgeError) -> None:
        if self._stop.is_set():
            return
        self._failures += 1
        delay_s = self._backoff.delay_s(self._failures)
        extra = log.fields(action="status-lookup", code=error.code, attempt=self._failures, delay_s=round(delay_s, 1))
        level = logging.WARNING if self._failures == 1 else logging.DEBUG
        _LOG.log(level, "cannot look up workflows: %s", error, extra=extra)
        self._stop.wait(delay_s)

    def _step(self) -> None:
        question = self._next_question()
        if question is not None:
            asked_s = self._clock.monotonic_s()
            self._look_up(*question)
            if self._creates_wait():
                self._stop.wait(min(MAX_PAUSE_S, PAUSE_SHARE * (self._clock.monotonic_s() - asked_s)))
            return
        now = self._clock.monotonic_s()
        namespace = next((namespace for namespace, at_s in self._lists.items() if at_s <= now), None)
        if namespace is not None:
            self._list(namespace)

    def _next_question(self) -> tuple[WorkflowRef, bool] | None:
        with self._changed:
            now = self._clock.monotonic_s()
            renewals = self._argo.token_renewals
            if renewals != self._renewals:
                self._renewals = renewals
                self._refused.clear()
            for ref in [ref for ref, at_s in self._refused.items() if at_s <= now]:
                del self._refused[ref]
            free = next((ref for ref in self._open if ref not in self._refused), None)
            if free is not None:
                return free, self._open[free]
            if not self._stop.is_set():
                times = [*self._refused.values(), *self._lists.values()]
                wait_s = min(times, default=now + RELIST_S) - now
                self._changed.wait(max(0.0, min(wait_s, TOKEN_LOOK_S) if self._refused else wait_s))
            return None

    def _look_up(self, ref: WorkflowRef, nodes: bool) -> None:
        try:
            workflow = self._argo.get(ref, nodes=nodes)
        except PermanentError as error:
            # Others are not held up by one that Argo refuses.
            with self._changed:
                self._refused[ref] = self._clock.monotonic_s() + REFUSED_PAUSE_S
            extra = log.fields(workflow=ref.name, code=error.code, delay_s=REFUSED_PAUSE_S)
            _LOG.warning("cannot look up a workflow: %s", error, extra=extra)
            return
        with self._changed:
            if nodes or not self._open.get(ref, False):
                self._open.pop(ref, None)
        self._inbox.put(LookedUp(ref, workflow, nodes))

    def _period_s(self) -> float:
        return RELIST_S * (1 + _SPREAD * (JITTER.random() - 0.5))

    def _list(self, namespace: str) -> None:
        # Set before asking: a failed one is the watcher's to report, the next one comes all the same.
        self._lists[namespace] = self._clock.monotonic_s() + self._period_s()
        listing = self._argo.list(namespace, self._selector)
        self._inbox.put(Listed(namespace, listing.items, starts_watch=False))
