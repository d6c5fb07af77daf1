"""Faults that tests provoke: which request they meet, and what they do to it.

Holds the faults and picks one for a request; doing it is `faulty`'s work. Read and changed from any thread, under one
lock.
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
    """What happens to a request."""

    STATUS = "status"
    """An error answer with `status`, `message`."""
    RATE_LIMIT_TEXT = "rate-limit-text"
    """429 of the HTTP limiter: plain text, `Retry-After` as a date (or as `retry_after` says)."""
    RATE_LIMIT_JSON = "rate-limit-json"
    """429 of the gRPC limiter: JSON, no `Retry-After`."""
    TOO_LARGE = "too-large"
    """429 of the message size bound: JSON; not rate limiting."""
    HTML = "html"
    """200 with a page, as a wrong base path or a proxy answers."""
    GARBAGE = "garbage"
    """200 with `body`, which is not JSON."""
    HANG = "hang"
    """No answer until the client leaves, or for `delay_s`, then the connection is cut."""
    CUT = "cut"
    """The connection is closed without an answer."""
    DELAY = "delay"
    """The true answer, `delay_s` late."""
    NO_RESOURCE_VERSION = "no-resource-version"
    """A list as of a server whose mirror is empty: `{"metadata":{},"items":null}`."""
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
        kind: What happens.
        method: HTTP method it meets; None is any.
        path: Regular expression, searched in the decoded path; None is any path under /api.
        request: Regular expression, searched in the request's body; None is any body.
        count: How many requests it meets before it is used up; None is all.
        skip: Requests that match but are let through first.
        probability: Chance that a matching request meets it, from 0 to 1.
        accept: The request is carried out first, and only its answer is lost or replaced.
        delay_s: See the kinds; for all others the answer is this late.
        status: HTTP status, for STATUS.
        message: Text, for STATUS and TOO_OLD.
        retry_after: Value of a `Retry-After` header; None is none (RATE_LIMIT_TEXT: a date one second ahead).
        body: Body, for GARBAGE and HTML.
        hits: Requests that met it so far.
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
        """Whether a request is of the kind that it meets."""
        if self.count is not None and self.hits >= self.count:
            return False
        if self.method is not None and self.method != method:
            return False
        if self.request is not None and re.search(self.request, body.decode(errors="replace")) is None:
            return False
        return self.path is None or re.search(self.path, path) is not None


class Faults:
    """The faults in force.

    Args:
        random: Decides by `probability`.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._faults: list[InjectedFault] = []

    def add(self, fault: InjectedFault) -> InjectedFault:
        """Put a fault in force, after those that are there."""
        with self._lock:
            fault.id = next(self._ids)
            self._faults = [*self._faults, fault]
        return fault

    def remove(self, fault: InjectedFault) -> None:
        """Take one away; nothing happens when it is not there."""
        with self._lock:
            self._faults = [other for other in self._faults if other is not fault]

    def clear(self) -> None:
        """Take all away."""
        with self._lock:
            self._faults = []

    def pick(self, method: str, path: str, body: bytes = b"") -> InjectedFault | None:
        """The first fault that meets a request; it counts as a hit."""
        if not self._faults:  # without the lock: nearly every request comes here and there is nothing
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
        """All of them, as JSON values."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]


def fault_from_json(value: Any) -> InjectedFault:
    """Make a fault of its JSON form.

    Raises:
        ValueError: It is no fault; the text says why.
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
