"""Builds the health and metrics pages. Pure except for the callables it is given; no sockets.

Thread: the HTTP server's, one per request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem

JSON = "application/json"
METRICS = "text/plain; version=0.0.4; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


Check = Callable[[], Sequence[HealthProblem]]
"""Returns the problems; [] if there are none. Must not block."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    status: int
    content_type: str
    body: bytes


class HealthPages:
    """``/livez`` (only a new process can fix it), ``/readyz`` (what keeps the bridge from working), ``/metrics``."""

    def __init__(self, liveness: Check, readiness: Check, metrics: Metrics) -> None:
        self._liveness = liveness
        self._readiness = readiness
        self._metrics = metrics

    def page(self, path: str) -> Page | None:
        """Return the response for a path, or None if there is no such page."""
        if path == "/livez":
            return _verdict("alive", self._liveness())
        if path == "/readyz":
            return _verdict("ready", self._readiness())
        if path == "/metrics":
            return Page(200, METRICS, self._metrics.exposition())
        return None


def _verdict(word: str, reasons: Sequence[HealthProblem]) -> Page:
    listed = [
        {"code": reason.code, "message": reason.message} | ({"subject": reason.subject} if reason.subject else {})
        for reason in reasons
    ]
    body = orjson.dumps({word: not listed, "reasons": listed}) + b"\n"
    return Page(503 if listed else 200, JSON, body)
