"""The retained report of each namespace, for reporting tools.

It has the numbers of workflows by phase and mapping, and figures for the last hour and day. Counts follow the tracker;
ends are counted once per run. After a restart, the ends that Argo still lists are counted again, by their finishedAt.
Memory is limited by the followed workflows and the slices of the windows.

Thread: the status thread owns it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

import orjson

from bridge.core.clock import Clock, rfc3339
from bridge.core.model import Phase, WorkflowRef
from bridge.interface.topics import Topics
from bridge.status.decided.registry import Tracked
from bridge.status.decided.transitions import Observed, Statement, digest_of
from bridge.status.decided.windows import Window
from bridge.status.shown.publisher import Publisher

HOUR_S = 3600.0
DAY_S = 86_400.0
EVERY_S = 5.0
"""Minimum time between publishes of a changed report."""
SLIDE_S = 60.0
"""Reports are recomputed at least this often, because ends leave the windows."""
MAX_MAPPINGS = 200

_PHASES = tuple(phase for phase in Phase if phase is not Phase.ABSENT)


class _Namespace:
    """The counts of one namespace."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[Phase, str]] = Counter()
        self.hour = Window(HOUR_S)
        self.day = Window(DAY_S)
        self.due_s = 0.0
        self.published_s = float("-inf")
        self.digest = b""


class Reports:
    """The reports of the followed `namespaces`; each has one once it was listed."""

    def __init__(
        self, clock: Clock, topics: Topics, publisher: Publisher, bridge_id: str, namespaces: Iterable[str]
    ) -> None:
        self._clock = clock
        self._topics = topics
        self._publisher = publisher
        self._bridge_id = bridge_id
        self._waiting = {namespace: _Namespace() for namespace in namespaces}
        self._places: dict[str, _Namespace] = {}
        self._next_s = float("inf")

    def begin(self, namespace: str) -> None:
        """Note that a namespace was listed for the first time: from now on its report is correct."""
        place = self._waiting.pop(namespace, None)
        if place is not None:
            self._places[namespace] = place
            self._changed(place)

    def count(self, record: Tracked, seen: Observed) -> None:
        """Count a workflow under its current phase, and its end once per run."""
        place = self._place(record.ref.namespace)
        if place is None:
            return
        phase = seen.shown_phase
        if record.counted != (phase, seen.mapping):
            self._uncount(place, record)
            record.counted = (phase, seen.mapping)
            place.counts[record.counted] += 1
            self._changed(place)
        if phase.ended and record.counted_run != seen.started_at:
            record.counted_run = seen.started_at
            self._count_end(place, seen)

    def forget(self, record: Tracked) -> None:
        """Forget a deleted workflow; its end stays in the windows."""
        place = self._place(record.ref.namespace)
        if place is not None and record.counted is not None:
            self._uncount(place, record)
            self._changed(place)

    def next_due_s(self) -> float:
        """Return the seconds until `tick` has work; infinity for never."""
        return max(0.0, self._next_s - self._clock.monotonic_s())

    def tick(self) -> None:
        """Publish the reports that are due and have changed."""
        now = self._clock.monotonic_s()
        if now < self._next_s:
            return
        for namespace, place in self._places.items():
            if place.due_s <= now:
                self._publish(namespace, place, now)
        self._next_s = min((place.due_s for place in self._places.values()), default=float("inf"))

    def _place(self, namespace: str) -> _Namespace | None:
        return self._places.get(namespace) or self._waiting.get(namespace)

    def _changed(self, place: _Namespace) -> None:
        place.due_s = min(place.due_s, place.published_s + EVERY_S)
        self._next_s = min(self._next_s, place.due_s)

    def _uncount(self, place: _Namespace, record: Tracked) -> None:
        if record.counted is not None:
            place.counts[record.counted] -= 1
            if not place.counts[record.counted]:
                del place.counts[record.counted]

    def _count_end(self, place: _Namespace, seen: Observed) -> None:
        now = self._clock.monotonic_s()
        begun, ended = _time(seen.started_at), _time(seen.finished_at)
        # Argo's clock against this machine's, which may be in 1970 after a start: never in the future, then.
        at_s = now if ended is None else now - max(0.0, self._clock.wall_s() - ended)
        duration_s = None if begun is None or ended is None else max(0.0, ended - begun)
        for window in (place.hour, place.day):
            window.add(at_s, now, succeeded=seen.phase is Phase.SUCCEEDED, duration_s=duration_s)

    def _publish(self, namespace: str, place: _Namespace, now: float) -> None:
        place.due_s = now + SLIDE_S
        said = self._said(namespace, place, now)
        digest = digest_of(orjson.dumps(said))
        if digest == place.digest:
            return
        place.digest, place.published_s = digest, now
        document = orjson.dumps({**said, "time": rfc3339(self._clock.wall_s())})
        ref = WorkflowRef(namespace, "", "")
        statement = Statement(ref, document, len(document), digest_of(document))
        self._publisher.show(statement, [self._topics.report_of(namespace)], initial=False)

    def _said(self, namespace: str, place: _Namespace, now: float) -> dict[str, object]:
        phases: Counter[Phase] = Counter()
        mappings: dict[str, dict[str, int]] = {}
        for (phase, mapping), count in sorted(place.counts.items(), key=lambda item: item[0][1]):
            phases[phase] += count
            if mapping and (mapping in mappings or len(mappings) < MAX_MAPPINGS):
                mappings.setdefault(mapping, {})[phase.value] = count
        return {
            "namespace": namespace,
            "bridge": self._bridge_id,
            "workflows": {phase.value: phases[phase] for phase in _PHASES},
            "mappings": mappings,
            "lastHour": place.hour.summary(now),
            "lastDay": place.day.summary(now),
        }


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
