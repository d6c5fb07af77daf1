"""Faults that tests inject: which requests they affect, and how.

Stores the faults and picks one for a request; `faulty` applies it. Read and changed from any thread, under one lock.
"""

from __future__ import annotations

import itertools
import re
import threading
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from random import Random
from typing import Any


class FaultKind(StrEnum):
    """The effect on a request."""

    STATUS = "status"
    """An error response with `status`, `message`."""
    RATE_LIMIT_TEXT = "rate-limit-text"
    """429 of the HTTP limiter: plain text, `Retry-After` as a date (or as `retry_after` says)."""
    RATE_LIMIT_JSON = "rate-limit-json"
    """429 of the gRPC limiter: JSON, no `Retry-After`."""
    TOO_LARGE = "too-large"
    """429 of the message size limit: JSON; not rate limiting."""
    HTML = "html"
    """200 with a page, as from a wrong base path or a proxy."""
    GARBAGE = "garbage"
    """200 with `body`, which is not JSON."""
    HANG = "hang"
    """No response until the client disconnects, or for `delay_s`; then the connection is cut."""
    CUT = "cut"
    """The connection is closed without a response."""
    DELAY = "delay"
    """The real response, `delay_s` late."""
    NO_RESOURCE_VERSION = "no-resource-version"
    """A list from a server whose cache is empty: `{"metadata":{},"items":null}`."""
    TOO_OLD = "too-old"
    """A watch from a resource version that is no longer kept."""
    WATCH_EOF = "watch-eof"
    """A watch that ends with the 429 `EOF` frame after `delay_s`."""
    WATCH_CUT = "watch-cut"
    """A watch whose connection is cut after `delay_s`, without a frame."""


@dataclass(slots=True)
class InjectedFault:
    """One fault.

    Attributes:
        kind: The effect.
        method: HTTP method affected; None is any.
        path: Regular expression, searched in the decoded path; None is any path under /api.
        request: Regular expression, searched in the request's body; None is any body.
        count: Number of requests affected before it is used up; None is all.
        skip: Number of matching requests to let through first.
        probability: Probability that a matching request is affected, from 0 to 1.
        accept: The request is carried out first, and only its response is lost or replaced.
        delay_s: See the kinds; for all others the response is delayed by this.
        status: HTTP status, for STATUS.
        message: Text, for STATUS and TOO_OLD.
        retry_after: Value of a `Retry-After` header; None is none (RATE_LIMIT_TEXT: a date one second ahead).
        body: Body, for GARBAGE and HTML.
        hits: Number of requests affected so far.
        id: Set when it is added.
    """

    kind: FaultKind
    method: str | None = None
    path: str | None = None
    request: str | None = None
    count: int | None = None
    skip: int = 0
    probability: float = 1.0
    accept: bool = False
    delay_s: float = 0.0
    status: int = 500
    message: str = "simulated fault"
    retry_after: str | None = None
    body: str | None = None
    hits: int = 0
    id: int = 0

    def __post_init__(self) -> None:
        self.kind = FaultKind(self.kind)
        for pattern in (self.path, self.request):
            if pattern is not None:
                re.compile(pattern)

    def matches(self, method: str, path: str, body: bytes) -> bool:
        """Whether a request matches."""
        if self.count is not None and self.hits >= self.count:
            return False
        if self.method is not None and self.method != method:
            return False
        if self.request is not None and re.search(self.request, body.decode(errors="replace")) is None:
            return False
        return self.path is None or re.search(self.path, path) is not None


class Faults:
    """The active faults.

    Args:
        random: Source of randomness for `probability`.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._faults: list[InjectedFault] = []

    def add(self, fault: InjectedFault) -> InjectedFault:
        """Activate a fault, after the existing ones."""
        with self._lock:
            fault.id = next(self._ids)
            self._faults = [*self._faults, fault]
        return fault

    def remove(self, fault: InjectedFault) -> None:
        """Remove one; no effect if it does not exist."""
        with self._lock:
            self._faults = [other for other in self._faults if other is not fault]

    def clear(self) -> None:
        """Remove all."""
        with self._lock:
            self._faults = []

    def pick(self, method: str, path: str, body: bytes = b"") -> InjectedFault | None:
        """Return the first fault that affects a request; it counts as a hit."""
        if not self._faults:  # without the lock: nearly every request gets here when there are no faults
            return None
        with self._lock:
            for fault in self._faults:
                if not fault.matches(method, path, body):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                if fault.probability < 1.0 and self._random.random() >= fault.probability:
                    continue
                fault.hits += 1
                return fault
        return None

    def as_list(self) -> list[dict[str, Any]]:
        """Return all of them as JSON values."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]


def fault_from_json(value: Any) -> InjectedFault:
    """Parse a fault from its JSON form.

    Raises:
        ValueError: It is not a valid fault; the text says why.
    """
    if not isinstance(value, dict) or "kind" not in value:
        raise ValueError("a fault is an object with a kind")
    names = {field.name for field in fields(InjectedFault)} - {"hits", "id"}
    unknown = set(value) - names
    if unknown:
        raise ValueError(f"unknown keys {', '.join(sorted(unknown))}; a fault has {', '.join(sorted(names))}")
    try:
        return InjectedFault(**value)
    except (TypeError, re.error) as error:
        raise ValueError(f"not a fault: {error}") from error
