"""Statuses from other systems, sent to PREFIX/status: what to do with those in the spool's table.

For a followed workflow that has not finished, progress and message are shown until Argo's next change; the phase always
comes from Argo. For a workflow that Argo does not know, the status is retained until it expires. Only GET can tell
whether Argo knows it, because another bridge may follow it. Handled statuses are deleted from the table; those that are
shown stay, and survive a restart.

Thread: the status thread owns it.
"""

from __future__ import annotations

import logging

import orjson

from bridge.core import log
from bridge.core.clock import Clock
from bridge.core.errors import SpoolError
from bridge.core.metrics import Metrics
from bridge.core.model import Phase, WorkflowRef
from bridge.interface.status import status_document
from bridge.interface.topics import Topics
from bridge.spool.records import ExternalStatus
from bridge.spool.store import Spool
from bridge.status.decided.registry import Registry
from bridge.status.decided.transitions import transition
from bridge.status.shown.publisher import Publisher

_LOG = log.logger(__name__)
MAX_EXTERNAL = 10_000
MAX_EXTERNAL_BYTES = 16 * 2**20
"""Limits of statuses for workflows that Argo does not know; beyond them, the first to expire is removed."""
RETRY_S = 2.0

Place = tuple[str, str]
"""Namespace and name of a workflow."""


class Externals:
    """The unfinished statuses from other systems; `bridge_id` is for ``details.bridge``: who may clear them."""

    def __init__(
        self,
        *,
        store: Spool,
        clock: Clock,
        metrics: Metrics,
        topics: Topics,
        publisher: Publisher,
        registry: Registry,
        bridge_id: str,
    ) -> None:
        self._store = store
        self._clock = clock
        self._counted = metrics.external_statuses
        self._topics = topics
        self._publisher = publisher
        self._registry = registry
        self._bridge_id = bridge_id
        self._last_seq = 0
        self._rows: dict[Place, ExternalStatus] = {}
        self._bytes = 0
        self._shown: set[Place] = set()
        self._done: list[ExternalStatus] = []
        self._soonest_s = float("inf")
        self._retry_at_s = 0.0
        self._must_load = True
        self._seldom = log.SeldomLog(_LOG, self._clock.monotonic_s)

    def stored(self) -> None:
        """Note that there are new rows in the table."""
        self._must_load = True

    def load(self) -> list[ExternalStatus]:
        """Return some of the new rows, each to be decided (`open_in`, `absent`, ...).

        Rows that cannot be read now are read later.
        """
        if not self._must_load or self._clock.monotonic_s() < self._retry_at_s:
            return []
        try:
            found = self._store.external(self._last_seq)
        except SpoolError as error:
            self._pause("read", error)
            return []
        self._must_load = bool(found)
        for row in found:
            self._last_seq = row.seq
            place = (row.namespace, row.name)
            self._pop(place)
            self._rows[place] = row
            self._bytes += len(row.body)
            self._soonest_s = min(self._soonest_s, row.expires_at_s)
        self._bound()
        return [row for row in found if self._rows.get((row.namespace, row.name)) is row]

    def _bound(self) -> None:
        if len(self._rows) <= MAX_EXTERNAL and self._bytes <= MAX_EXTERNAL_BYTES:
            return
        for place in sorted(self._rows, key=lambda place: self._rows[place].expires_at_s):
            self._end(place, "dropped")
            if len(self._rows) <= MAX_EXTERNAL and self._bytes <= MAX_EXTERNAL_BYTES:
                break
        text = "statuses from other systems for unknown workflows exceed %d or %d bytes; some are removed early"
        self._seldom.warning("dropped", text, MAX_EXTERNAL, MAX_EXTERNAL_BYTES, action="external-status")

    def _pop(self, place: Place) -> ExternalStatus | None:
        row = self._rows.pop(place, None)
        self._bytes -= 0 if row is None else len(row.body)
        return row

    def open_in(self, namespace: str) -> list[WorkflowRef]:
        """Return the workflows of a namespace whose status waits for a decision."""
        return [_ref(place) for place in self._rows if place[0] == namespace and place not in self._shown]

    def has(self, namespace: str, name: str) -> bool:
        """Whether the retained topic of this name shows such a status, or may soon."""
        return (namespace, name) in self._rows

    def take(self, namespace: str, name: str) -> ExternalStatus | None:
        """Argo knows the workflow: return the status that waits for a decision about it, and finish it.

        None if there is nothing, or only a status shown before Argo knew the workflow, which ends now.
        """
        place = (namespace, name)
        row = self._pop(place)
        if row is None:
            return None
        self._done.append(row)
        was_shown = place in self._shown
        self._shown.discard(place)
        return None if was_shown else row

    def refuse(self, namespace: str, name: str) -> None:
        """The workflow is not followed here: drop its waiting status."""
        if self.has(namespace, name):
            self._end((namespace, name), "not-followed")

    def absent(self, namespace: str, name: str) -> None:
        """Argo does not know the workflow: retain the other system's status."""
        place = (namespace, name)
        row = self._rows.get(place)
        if row is None or self._store.age.now_s() >= row.expires_at_s:
            return
        document = orjson.loads(row.body)
        details = {**document["details"], "bridge": self._bridge_id, "source": "external"}
        phase, ref = Phase(document["status"]), _ref(place)
        said = status_document(ref, phase, document["progress"], document["message"], details)
        statement = transition(b"", ref, said)
        if statement is not None:
            self._shown.add(place)
            self._publisher.show(statement, [self._topics.status_of(*place)], initial=True)
            self._counted.labels("shown").inc()

    def count(self, outcome: str) -> None:
        """Count the outcome of a status returned by `take`."""
        self._counted.labels(outcome).inc()

    def phase_ignored(self, ref: WorkflowRef, said: Phase, is_so: Phase) -> None:
        """Count and log that another system reports a different phase than Argo."""
        self.count("phase-ignored")
        text = "another system reports a workflow as %s, but Argo as %s, which is shown"
        keys = log.fields(action="external-status", workflow=ref.name)
        self._seldom.warning(ref.namespace, text, said.value, is_so.value, level=logging.INFO, **keys)

    def next_due_s(self) -> float:
        """Return the seconds until `tick` has work; infinity for never."""
        now = self._clock.monotonic_s()
        wait_s = max(0.0, self._retry_at_s - now)
        if self._done or self._must_load:
            return wait_s
        return max(0.0, self._soonest_s - self._store.age.now_s())

    def tick(self) -> None:
        """End expired statuses, and delete finished ones from the table."""
        now_s = self._store.age.now_s()
        if now_s >= self._soonest_s:
            for place in [place for place, row in self._rows.items() if row.expires_at_s <= now_s]:
                self._end(place, "expired")
            self._soonest_s = min((row.expires_at_s for row in self._rows.values()), default=float("inf"))
        if not self._done or self._clock.monotonic_s() < self._retry_at_s:
            return
        try:
            self._store.forget_external(self._done)
        except SpoolError as error:
            self._pause("forget", error)
        else:
            self._done = []

    def _end(self, place: Place, outcome: str) -> None:
        row = self._pop(place)
        if row is not None:
            self._done.append(row)
        self._counted.labels(outcome).inc()
        self._shown.discard(place)
        if self._registry.named(_ref(place)) is None:
            # Including those left by an earlier process: while this one waited to be shown, nobody asked about it.
            self._publisher.clear(self._topics.status_of(*place))

    def _pause(self, verb: str, error: SpoolError) -> None:
        self._retry_at_s = self._clock.monotonic_s() + RETRY_S
        keys = log.fields(action="external-status", code=error.code, delay_s=RETRY_S)
        self._seldom.warning("spool", "cannot %s statuses from other systems: %s", verb, error, **keys)


def _ref(place: Place) -> WorkflowRef:
    return WorkflowRef(*place)
