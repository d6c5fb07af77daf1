"""The plan of a request for logs: one reply with the last lines, or many replies with new ones. No I/O.

Thread: ``reads`` alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import orjson

from bridge.argo import operation_reads as calls
from bridge.argo.errors import Answer
from bridge.argo.handles import HttpRequest
from bridge.argo.operation_calls import look_at
from bridge.interface.operation_bodies import LogLine, in_packets, last_lines
from bridge.interface.replies import Refusal
from bridge.pipeline.intake.operations import ReadRequest
from bridge.pipeline.reads.plans import LIMIT_S, Answered, Keys, ReadPlan, Result

FOLLOW_S = 600.0
"""Maximum time of following for one request."""
MAX_FOLLOWED_BYTES = 16 * 1024 * 1024
"""Maximum data for one request; more would fill the outbox while the broker is away."""
PAUSE_S = 0.5
FIRST_S = 2.0
"""Latest time of the first reply, with or without lines: the request is acknowledged after it."""
_NATURAL_END = "watch-ended"


class _Log(ReadPlan):
    def __init__(self, read: ReadRequest) -> None:
        super().__init__(read)
        self._frames = calls.LogFrames()

    @property
    def is_stream(self) -> bool:
        return True

    def request(self) -> HttpRequest:
        return calls.log(self.read.namespace, self.read.name, self.read.options)

    def heard(self, piece: bytes) -> None:
        self._take(self._frames.feed(piece))

    def _ok(self, answer: Answer) -> Result | None:  # noqa: ARG002 - what it brought was heard
        self._take(self._frames.close())
        error = self._frames.error
        if error is not None and error.code != _NATURAL_END:
            return self._failed(error)
        return Answered(self._last)

    def _take(self, lines: list[tuple[str, str]]) -> None:
        raise NotImplementedError

    def _last(self, room: int) -> Keys:
        raise NotImplementedError

    def _keys(self, lines: list[LogLine], *, more: bool, is_cut: bool = False, ended: str = "") -> dict[str, Any]:
        keys: dict[str, Any] = {"workflowId": self.read.name, "lines": lines, "more": more}
        keys |= {"ended": ended} if ended else {}
        return keys | ({"details": {"truncated": True}} if is_cut else {})

    def _room(self, room: int) -> int:
        longest = self._keys([], more=False, is_cut=True, ended="bridge-stopping")
        return room - len(orjson.dumps(longest))


class _LogTail(_Log):
    """The last lines, in one reply."""

    def __init__(self, read: ReadRequest, max_bytes: int) -> None:
        """Start without lines; at most `max_bytes` of lines are kept."""
        super().__init__(read)
        tail = read.options["tailLines"]
        self._most = tail if isinstance(tail, int) else 1
        self._max_bytes = max_bytes
        self._lines: deque[LogLine] = deque()
        self._size = 0
        self._is_cut = False

    def _take(self, lines: list[tuple[str, str]]) -> None:
        for pod, text in lines:
            # Lines that fit into no packet need not be kept.
            line = LogLine(pod, text[: self._max_bytes])
            self._lines.append(line)
            self._size += len(line.text)
            while len(self._lines) > self._most or (self._size > self._max_bytes and len(self._lines) > 1):
                self._is_cut = self._is_cut or len(self._lines) <= self._most
                self._size -= len(self._lines.popleft().text)

    def _last(self, room: int) -> Keys:
        kept, is_cut = last_lines(self._lines, self._room(room))
        return self._keys(kept, more=False, is_cut=is_cut or self._is_cut)


class _LogFollow(_Log):
    """Lines as they come, in several replies; the last one is marked.

    The workflow is read first: the headers of a stream come with its first byte, up to 15 s later, and until then it
    would be unknown whether Argo answers.
    """

    def __init__(self, read: ReadRequest, began_s: float) -> None:
        """Start without lines; `began_s`: monotonic seconds of the request."""
        super().__init__(read)
        self._lines: list[LogLine] = []
        self._size = 0
        self._told_bytes = 0
        self._next_s = began_s + FIRST_S
        self._is_first = True
        self._is_found = False

    @property
    def is_stream(self) -> bool:
        return self._is_found

    @property
    def limit_s(self) -> float:
        return FOLLOW_S if self._is_found else LIMIT_S

    def request(self) -> HttpRequest:
        return super().request() if self._is_found else look_at(self.read.namespace, self.read.name)

    def _ok(self, answer: Answer) -> Result | None:
        if self._is_found:
            return super()._ok(answer)
        self._is_found = True
        return None

    def _take(self, lines: list[tuple[str, str]]) -> None:
        for pod, text in lines:
            self._lines.append(LogLine(pod, text))
            self._size += len(text)

    @property
    def is_over_bound(self) -> bool:
        """Whether the limit for one request is reached."""
        return self._told_bytes + self._size > MAX_FOLLOWED_BYTES

    def packets(self, now_s: float, room: int) -> Iterator[Keys]:
        is_due = now_s >= self._next_s and bool(self._is_first or self._lines)
        if self._is_found and (is_due or (self._is_first and self._lines) or self._size >= room):
            self._next_s = now_s + PAUSE_S
            yield from self._all(room)

    def rest(self, room: int) -> Iterator[Keys]:
        if self._lines:
            yield from self._all(room)

    def _all(self, room: int) -> Iterator[Keys]:
        lines, self._lines = self._lines, []
        self._told_bytes += self._size
        self._size = 0
        groups = list(in_packets(lines, self._room(room)))
        if self._is_first and not groups:
            groups = [([], False)]
        self._is_first = False
        for group, is_cut in groups:
            yield self._keys(group, more=True, is_cut=is_cut)

    def cut_short(self, refusal: Refusal) -> Result:
        if self._is_first:
            return refusal
        ended = {"stopped": "bridge-stopping", "too-much": "too-much"}.get(refusal.reason, "time-limit")
        return Answered(lambda _room: self._keys([], more=False, ended=ended))

    def _last(self, room: int) -> Keys:  # noqa: ARG002 - all lines went out before
        return self._keys([], more=False)


def log_plan(read: ReadRequest, began_s: float, max_bytes: int) -> ReadPlan:
    """Return the plan of a request for logs."""
    return _LogFollow(read, began_s) if read.options.get("follow") else _LogTail(read, max_bytes)
