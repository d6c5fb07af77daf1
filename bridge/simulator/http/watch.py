"""Watch streams: their queries, and what each watcher gets.

Every watcher is a position in the store's event log, so a slow one costs nothing, and fan-out is one walk over new
events. Frames are encoded once for all watchers with the same query. It decides nothing about workflows. Runs on the
simulator's loop thread. Source: Argo v4.1 argoproj/pkg grpc/http/forwarders.go; framing as recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bridge.simulator.api.label_selectors import Predicate
from bridge.simulator.http.answers import GRPC_HEADER, JSON_TYPE, SSE_TYPE, stream_error, to_json
from bridge.simulator.http.fields import FieldFilter
from bridge.simulator.http.wire import Stream
from bridge.simulator.objects.store import ADDED, DELETED, MODIFIED, Event, Object, Store

EOF_MESSAGE = "EOF"
_RESOURCE_EXHAUSTED = 8
_BATCH_BYTES = 64 * 1024
_NULL_TIMES = {"startedAt": None, "finishedAt": None}


@dataclass(frozen=True, slots=True)
class WatchQuery:
    """The parameters of a watch.

    Attributes:
        namespace: Empty for all.
        selects: Predicate on labels; None for all.
        name: Only the workflow with this name; empty for all.
        version: Changes after this resource version; None for all existing workflows, then changes.
        fields: None for whole objects.
        sse: Server-sent events; if not, JSON lines.
        bookmarks: Send bookmarks.
        timeout_s: End after that time; None is never.
    """

    namespace: str
    selects: Predicate | None = None
    name: str = ""
    version: int | None = None
    fields: FieldFilter | None = None
    sse: bool = False
    bookmarks: bool = False
    timeout_s: float | None = None

    @property
    def cache_key(self) -> str:
        """Equal for queries whose frames have the same bytes."""
        return ("s" if self.sse else "j") + (self.fields.text if self.fields else "")

    def encode(self, frame: dict[str, Any]) -> bytes:
        """Return a frame in this watcher's form."""
        text = to_json(self._cut(frame), sort=self.fields is not None)
        return b"data: %b \n\n\n" % text if self.sse else text + b"\n"

    def encode_error(self, code: int, message: str) -> bytes:
        """Return the frame that ends the stream; it lacks the last newline of the others."""
        text = to_json(self._cut(stream_error(code, message)), sort=self.fields is not None)
        return b"data: %b \n\n" % text if self.sse else text

    def _cut(self, frame: dict[str, Any]) -> Any:
        return frame if self.fields is None else self.fields.apply(frame)

    def kind_of(self, event: Event) -> str | None:
        """Return the kind of an event for this watcher: its own, another one if its labels moved in or out, or None."""
        if self.namespace and event.namespace != self.namespace:
            return None
        if self.name and event.object["metadata"]["name"] != self.name:
            return None
        if self.selects is None:
            return event.kind
        now = self.selects(event.labels)
        before = event.labels_before is not None and self.selects(event.labels_before)
        if event.kind == MODIFIED and now != before:
            return ADDED if now else DELETED
        return event.kind if now else None

    def wants(self, workflow: Object) -> bool:
        """Whether an existing workflow matches the query."""
        metadata = workflow["metadata"]
        if self.namespace and metadata["namespace"] != self.namespace:
            return False
        if self.name and metadata["name"] != self.name:
            return False
        return self.selects is None or self.selects(metadata.get("labels", {}))


def stream_headers(*, sse: bool) -> tuple[tuple[str, str], ...]:
    """Return the headers of a stream."""
    headers = (("Content-Type", SSE_TYPE if sse else JSON_TYPE), GRPC_HEADER)
    return (*headers, ("X-Content-Type-Options", "nosniff")) if sse else headers


class WatchStream:
    """One stream.

    Args:
        hub: The hub it belongs to.
        query: The watcher's query.
        stream: The response.
    """

    def __init__(self, hub: WatchHub, query: WatchQuery, stream: Stream) -> None:
        self._hub = hub
        self.query = query
        self._stream = stream
        self._timers: list[asyncio.TimerHandle] = []
        self._existing: Iterator[Object] = iter(())
        log = hub.store.log
        if query.version is None:
            chosen = [workflow for workflow in hub.store.workflows.values() if query.wants(workflow)]
            chosen.sort(key=lambda workflow: (workflow["metadata"]["namespace"], workflow["metadata"]["name"]))
            self._existing = iter(chosen)
            self._position = log.end
            self._after = hub.store.version
        else:
            self._position = log.after(query.version)
            self._after = query.version
        stream.on_writable = self.pump
        if query.sse:
            self._later(hub.keepalive_s, self._keep_alive)
        if query.bookmarks:
            self._later(hub.bookmark_s, self._bookmark)
        if query.timeout_s is not None:
            self._later(query.timeout_s, self.end)

    def _later(self, delay_s: float, call: Any) -> None:
        self._timers.append(self._hub.loop.call_later(delay_s, call))

    def pump(self) -> None:
        """Send new frames, as far as the client accepts them."""
        for workflow in self._existing:
            self._send(self.query.encode({"result": {"type": ADDED, "object": workflow}}))
            if not self._stream.writable:
                return
        log = self._hub.store.log
        if self._position < log.start:
            self.end()  # it fell behind the kept history; Kubernetes ends such a watch too
            return
        batch: list[bytes] = []
        size = 0
        while self._position < log.end and self._stream.writable:
            event = log.at(self._position)
            self._position += 1
            kind = self.query.kind_of(event) if event.version > self._after else None
            if kind is None:
                continue
            frame = self._hub.frame(event, kind, self.query)
            batch.append(frame)
            size += len(frame)
            if size >= _BATCH_BYTES:
                self._send(b"".join(batch))
                batch.clear()
                size = 0
        if batch:
            self._send(b"".join(batch))

    def _send(self, data: bytes) -> None:
        if not self._stream.started:
            self._stream.start(200, stream_headers(sse=self.query.sse))
        self._stream.write(data)

    def _keep_alive(self) -> None:
        self._send(b":\n")
        self._later(self._hub.keepalive_s, self._keep_alive)

    def _bookmark(self) -> None:
        workflow = {
            "metadata": {"resourceVersion": str(self._hub.store.version)},
            "spec": {"arguments": {}},
            "status": _NULL_TIMES,
        }
        self._send(self.query.encode({"result": {"type": "BOOKMARK", "object": workflow}}))
        self._later(self._hub.bookmark_s, self._bookmark)

    def end(self, code: int = _RESOURCE_EXHAUSTED, message: str = EOF_MESSAGE) -> None:
        """End the stream with an error frame (default: a normal end); if nothing was sent, this is the response."""
        if not self._stream.closed:
            end_stream(self._stream, self.query, code, message)
        self.close()

    def cut(self) -> None:
        """Close the connection without a frame."""
        self._stream.cut()
        self.close()

    def close(self) -> None:
        """Stop watching."""
        for timer in self._timers:
            timer.cancel()
        self._stream.on_writable = None
        self._hub.watchers.discard(self)


def end_stream(stream: Stream, query: WatchQuery, code: int, message: str) -> None:
    """End a stream with an error: with its HTTP status if nothing was sent yet, and a frame."""
    if not stream.started:
        status = stream_error(code, message)["error"]["http_code"]
        stream.start(status, stream_headers(sse=query.sse))
    stream.write(query.encode_error(code, message))
    stream.end()


class WatchHub:
    """All watchers of a store.

    Args:
        store: The store they watch.
        loop: The loop for everything.
        keepalive_s: Time between comment lines of an SSE stream.
        bookmark_s: Time between bookmarks.

    Attributes:
        watchers: The open streams.
    """

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop, keepalive_s: float, bookmark_s: float) -> None:
        self.store = store
        self.loop = loop
        self.keepalive_s = keepalive_s
        self.bookmark_s = bookmark_s
        self.watchers: set[WatchStream] = set()
        self._flush_planned = False

    def open(self, query: WatchQuery, stream: Stream) -> WatchStream:
        """Begin to serve a stream.

        Raises:
            LookupError: Its resource version is no longer kept.
        """
        watcher = WatchStream(self, query, stream)
        self.watchers.add(watcher)
        watcher.pump()
        return watcher

    def changed(self) -> None:
        """Note that the store has a new event; watchers get it, together with others, on the loop's next turn."""
        if self.watchers and not self._flush_planned:
            self._flush_planned = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        for watcher in list(self.watchers):
            watcher.pump()

    def frame(self, event: Event, kind: str, query: WatchQuery) -> bytes:
        """Return an event as a frame; encoded once for several watchers."""
        if len(self.watchers) < 2:
            return query.encode({"result": {"type": kind, "object": event.object}})
        key = kind + query.cache_key
        frame = event.frames.get(key)
        if frame is None:
            frame = event.frames[key] = query.encode({"result": {"type": kind, "object": event.object}})
        return frame

    def end_all(self, how: str) -> int:
        """End every watch.

        Args:
            how: `eof` (the 429 frame), `too-old` (a 400 frame) or `cut` (no frame).

        Returns:
            How many there were.
        """
        watchers = list(self.watchers)
        for watcher in watchers:
            if how == "cut":
                watcher.cut()
            elif how == "too-old":
                watcher.end(3, f"too old resource version: 1 ({self.store.version})")
            else:
                watcher.end()
        return len(watchers)
