"""Follows changes of workflows: one watch, from start to end, as an iterator of frames.

Never reconnects and never lists: the watcher decides how to continue, by the reason in the last frame. Exceptions of
parsers or libcurl never escape. It uses `exchanges` (pycurl) and not `requests`, because Argo sends the headers with
the first byte, up to 15 s later, and until then the waiting thread must be able to do its other work and to stop,
without a second thread. Owner: the thread that iterates; `stop` from any thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import orjson

from bridge.argo.client import LEFT_OUT
from bridge.argo.credentials import Credentials
from bridge.argo.errors import Answer, AnswerKind, Fault, failure, stream_error
from bridge.argo.exchanges import Exchanges
from bridge.argo.handles import HttpRequest
from bridge.argo.options import ArgoOptions, watch_path, with_query
from bridge.argo.sse import MAX_FRAME_BYTES, FrameTooLargeError, SseParser

# Argo sends ":" every 15 s (docs/design/argo-server.md, Watch); headers come with the first byte, so no earlier either.
SILENCE_S = 40.0


class EndReason(Enum):
    """Why a watch ended, and what to do.

    EOF: its normal end (kube ends a watch every 30 to 60 minutes): resume at once. EXPIRED: the resource version is
    too old: list again. CUT: the connection ended or fell silent: resume. DENIED: the token. UNAVAILABLE: back off.
    STOPPED: `Watch.stop`.
    """

    EOF = "eof"
    EXPIRED = "expired"
    CUT = "cut"
    DENIED = "denied"
    UNAVAILABLE = "unavailable"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class WatchFrame:
    """One change.

    Attributes:
        type: ADDED, MODIFIED, DELETED or BOOKMARK.
        workflow: the object, without nodes and most of its spec; in DELETED its last state, in BOOKMARK nearly empty.
        resource_version: where to resume, or "".
        size_bytes: of the frame.
        namespace: of the watch, "" = all.
    """

    type: str
    workflow: dict[str, Any]
    resource_version: str
    size_bytes: int = 0
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A pause without frames; comes at least every `Watch.patience_s`, so that the caller can do its other work.

    `is_sign_of_life`: the server sent something since the last one, if only a comment.
    """

    is_sign_of_life: bool


@dataclass(frozen=True, slots=True)
class WatchEnd:
    """The last item of a watch, exactly once."""

    reason: EndReason
    answer: Answer


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """What to follow.

    Attributes:
        namespace: "" = all.
        selector: label selector, e.g. ``argo-bridge/bridge=plant-1``.
        resource_version: of a list, or of the last frame; "" = everything that exists comes first as ADDED.
    """

    namespace: str = ""
    selector: str = ""
    resource_version: str = ""

    @property
    def path(self) -> str:
        """Path and query of the request."""
        return with_query(
            watch_path(self.namespace),
            listOptions__labelSelector=self.selector,
            listOptions__resourceVersion=self.resource_version,
            listOptions__allowWatchBookmarks="true",  # a quiet watch still learns newer resource versions
            fields="-" + ",".join(f"result.object.{name}" for name in LEFT_OUT),
        )


Event = WatchFrame | Heartbeat | WatchEnd


@dataclass(slots=True)
class Watch:
    """One watch; iterate it once. The last item is the only `WatchEnd`.

    Attributes:
        patience_s: seconds until a `Heartbeat` if nothing else comes.
        silence_s: seconds without a byte after which the connection counts as dead.
        max_frame_bytes: a longer frame ends the watch.
    """

    options: ArgoOptions
    credentials: Credentials
    request: WatchRequest
    patience_s: float = 1.0
    silence_s: float = SILENCE_S
    max_frame_bytes: int = MAX_FRAME_BYTES
    _exchanges: Exchanges = field(init=False, repr=False)
    _parser: SseParser = field(init=False, repr=False)
    _frames: deque[bytes] = field(init=False, repr=False, default_factory=deque)
    _stopped: bool = field(init=False, repr=False, default=False)
    _is_too_large: bool = field(init=False, repr=False, default=False)
    _heard_at_s: float = field(init=False, repr=False, default=0.0)
    _is_heard: bool = field(init=False, repr=False, default=False)

    def __post_init__(self) -> None:
        self._exchanges = Exchanges(self.options, self.credentials, window=1)
        self._parser = SseParser(self.max_frame_bytes)

    def stop(self) -> None:
        """End the iteration soon with STOPPED, in any phase. Thread: any."""
        self._stopped = True
        self._exchanges.wake()

    def close(self) -> None:
        """Free the connection of a watch that was not iterated to its end."""
        self._exchanges.close()

    def __iter__(self) -> Iterator[Event]:
        """Yield frames as they come; blocks up to `patience_s` between items."""
        try:
            yield from self._events()
        finally:
            self._exchanges.close()

    def _events(self) -> Iterator[Event]:
        self._heard_at_s = time.monotonic()
        self._exchanges.start("watch", HttpRequest("GET", self.request.path), self._hear)
        ended: Answer | None = None
        while ended is None:
            for _, answer in self._exchanges.poll(self.patience_s):
                ended = answer
                self._frames.extend(self._parser.close())
            if not self._frames:
                yield Heartbeat(self._is_heard)
                self._is_heard = False
            for event in self._take():
                yield event
                if isinstance(event, WatchEnd):
                    return
            ended = self._given_up() or ended
        yield WatchEnd(_reason(ended), ended)

    def _hear(self, piece: bytes) -> None:
        self._heard_at_s = time.monotonic()
        self._is_heard = True
        self._exchanges.interrupt()
        if self._is_too_large:
            return
        try:
            self._frames.extend(self._parser.feed(piece))
        except FrameTooLargeError:
            self._is_too_large = True

    def _given_up(self) -> Answer | None:
        if self._stopped:
            return failure(Fault.STOPPED, "the watch was stopped", sent=False)
        if self._is_too_large:
            return failure(
                Fault.TOO_LARGE, f"a frame of the watch has more than {self.max_frame_bytes} bytes", sent=False
            )
        if time.monotonic() - self._heard_at_s >= self.silence_s:
            return failure(Fault.CUT, f"nothing received for {self.silence_s:.0f} s, not even a heartbeat", sent=False)
        return None

    def _take(self) -> Iterator[WatchFrame | WatchEnd]:
        while self._frames and not self._stopped:
            yield read_frame(self._frames.popleft(), self.request.namespace)


def read_frame(data: bytes, namespace: str = "") -> WatchFrame | WatchEnd:
    """Return the meaning of one frame. Pure; no bytes make it raise.

    Garbage gives UNAVAILABLE and is not skipped: resuming after a lost frame would miss it.
    """
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        return WatchEnd(
            EndReason.UNAVAILABLE, failure(Fault.CUT, "a frame of the watch is not a JSON object", sent=False)
        )
    result = body.get("result")
    if body.get("error") is not None or not isinstance(result, dict):
        # "{}" is the rest of a filtered error frame: it ends the watch without a reason.
        answer = stream_error(data) if body.get("error") is not None else _nameless()
        return WatchEnd(_reason(answer), answer)
    kind, workflow = result.get("type"), result.get("object")
    if not isinstance(kind, str) or not isinstance(workflow, dict):
        return WatchEnd(EndReason.UNAVAILABLE, failure(Fault.CUT, "a frame of the watch has no object", sent=False))
    metadata = workflow.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    return WatchFrame(kind, workflow, version if isinstance(version, str) else "", len(data), namespace)


def _nameless() -> Answer:
    return failure(Fault.CUT, "the watch ended with an error without text", sent=False)


def _reason(answer: Answer) -> EndReason:
    by_code = {
        "watch-ended": EndReason.EOF,
        "watch-expired": EndReason.EXPIRED,
        Fault.CUT.value: EndReason.CUT,
        Fault.STOPPED.value: EndReason.STOPPED,
        "ok": EndReason.CUT,
    }
    if answer.code in by_code:
        return by_code[answer.code]
    return EndReason.DENIED if answer.kind is AnswerKind.DENIED else EndReason.UNAVAILABLE
