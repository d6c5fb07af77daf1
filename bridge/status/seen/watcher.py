"""Follows one namespace: list, then watch from there, over every kind of end.

It hands on what it reads and decides nothing about workflows. Source: docs/design/argo-server.md, Watch.

Thread: one ``status-watch-NAMESPACE`` each runs `run`; `problem` may be read from any thread.
"""

from __future__ import annotations

import logging
import threading

from bridge.core import log
from bridge.core.backoff import Backoff
from bridge.core.clock import Clock
from bridge.core.errors import BridgeError
from bridge.core.model import HealthProblem
from bridge.core.report import ErrorReports
from bridge.core.worker import Worker
from bridge.status.seen.argo_reader import ArgoReader
from bridge.status.seen.events import Listed
from bridge.status.seen.inbox import Inbox

_LOG = log.logger(__name__)
AUTH_PAUSE_S = 30.0
TOKEN_LOOK_S = 1.0
GAP_LIMIT_S = 60.0
"""A watch that was cut for longer than this lists again: kube keeps its history for minutes only."""

_CHANGES = frozenset({"ADDED", "MODIFIED", "DELETED"})
_DENIED = frozenset({"not-authenticated", "not-permitted", "token-unreadable"})


class Watcher(Worker):
    """List and watch of one namespace, by a label selector ("" for all workflows).

    A full inbox slows the watch down.
    """

    def __init__(
        self,
        namespace: str,
        selector: str,
        *,
        argo: ArgoReader,
        clock: Clock,
        reports: ErrorReports,
        inbox: Inbox,
        stop: threading.Event,
    ) -> None:
        super().__init__(f"status-watch-{namespace}", stop)
        self.namespace = namespace
        self._selector = selector
        self._argo = argo
        self._clock = clock
        self._reports = reports
        self._inbox = inbox
        self._backoff = Backoff(initial_s=0.2, cap_s=5.0)
        self._failures = 0
        self._expirations = 0
        self._version = ""
        self._heard_at_s = 0.0
        self._renewals = 0
        self.problem: HealthProblem | None = HealthProblem(
            "status-not-listed", f'namespace "{namespace}" has not been listed yet', namespace
        )

    def run(self) -> None:
        """Follow the namespace until the stop event is set."""
        while not self._stop.is_set():
            self._renewals = self._argo.token_renewals
            try:
                if not self._version:
                    self._list()
                self._watch()
            except BridgeError as error:
                if error.code == "watch-expired":
                    self._list_again()
                else:
                    self._pause(error)
            except Exception as error:  # noqa: BLE001 - one bad frame never ends the thread
                self._version = ""
                self._report(error)

    def _list(self) -> None:
        listing = self._argo.list(self.namespace, self._selector)
        if not self._inbox.put(Listed(self.namespace, listing.items, starts_watch=True)):
            return
        self._version = listing.resource_version
        self._heard()

    def _watch(self) -> None:
        for frame in self._argo.watch(self.namespace, self._selector, self._version):
            self._heard()
            self._expirations = 0
            if frame is None:
                continue
            if frame.type in _CHANGES and not self._inbox.put(frame, frame.size_bytes):
                return
            self._version = frame.resource_version or self._version
        # An orderly end comes every half hour or so; a server that ends every watch at once must not be hammered.
        self._stop.wait(self._backoff.delay_s(1))

    def _list_again(self) -> None:
        self._version = ""
        self._expirations += 1
        if self._expirations > 1:
            # Lists whose own version is too old for a watch: a mirror that stands still. No hammering.
            self._stop.wait(self._backoff.delay_s(self._expirations - 1))

    def _heard(self) -> None:
        self._failures = 0
        self._heard_at_s = self._clock.monotonic_s()
        self.problem = None

    def _pause(self, error: BridgeError) -> None:
        if self._stop.is_set():
            return
        self._failures += 1
        is_denied = error.code in _DENIED
        delay_s = AUTH_PAUSE_S if is_denied else self._backoff.delay_s(self._failures)
        self.problem = HealthProblem(error.code, f'cannot follow namespace "{self.namespace}": {error}', self.namespace)
        extra = log.fields(action="status-watch", code=error.code, attempt=self._failures, delay_s=round(delay_s, 1))
        level = logging.WARNING if self._failures == 1 or is_denied else logging.DEBUG
        _LOG.log(level, "cannot follow namespace %s: %s", self.namespace, error, extra=extra)
        if is_denied:
            self._await_token(delay_s)
        else:
            self._stop.wait(delay_s)
        if self._clock.monotonic_s() - self._heard_at_s > GAP_LIMIT_S:
            self._version = ""

    def _await_token(self, delay_s: float) -> None:
        """Wait until the token is another one, but not for longer."""
        until_s = self._clock.monotonic_s() + delay_s
        while (left_s := until_s - self._clock.monotonic_s()) > 0 and self._argo.token_renewals == self._renewals:
            if self._stop.wait(min(left_s, TOKEN_LOOK_S)):
                return

    def _report(self, error: Exception) -> None:
        self._failures += 1
        self._reports.unexpected("status-watch", error, namespace=self.namespace)
        self._stop.wait(self._backoff.delay_s(self._failures))
