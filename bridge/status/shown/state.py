"""Publishes the state of the bridge on ``argo/bridge/ID/state``: retained JSON, on change and at least once a minute.

The service provides the state (a callable); here it is only compared and sent. Like every status it is a value, not a
queue: a connection that was away gets the newest one when it is back.

Thread: ``state`` runs `run`; the hooks may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from bridge.core.report import ErrorReports
from bridge.core.worker import Worker
from bridge.status.shown.availability import Availability
from bridge.status.shown.own_topic import OwnTopic

LOOK_S = 1.0
REPEAT_S = 60.0

State = Mapping[str, Any]


class StatePublisher(Worker):
    """The topic ``argo/bridge/ID/state``; it also ensures that ``online`` is published, and ``offline`` at the end.

    `read` returns the current state, JSON-ready. It is called at most once a second, on the thread ``state``, and must
    not block.
    """

    def __init__(
        self, own: OwnTopic, read: Callable[[], State], availability: Availability, reports: ErrorReports
    ) -> None:
        super().__init__("state")
        self._own = own
        self._read = read
        self._availability = availability
        self._reports = reports

    def stop(self, deadline_s: float) -> list[str]:
        """End the thread, then publish ``offline``; returns the thread's name if it is late."""
        late = super().stop(deadline_s / 2)
        self._availability.stop(deadline_s / 2)
        return late

    def run(self) -> None:
        """Run on the thread."""
        while not self._stop.is_set():
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - a state that cannot be read never ends the thread
                self._reports.unexpected("state", error)
            self._stop.wait(LOOK_S)

    def look(self) -> None:
        """Publish the state if it changed or was last sent a minute ago."""
        self._availability.retry()
        payload = orjson.dumps(dict(self._read()), default=str)
        for transport in self._own.ready():
            self._own.bring(transport.name, payload, REPEAT_S)
