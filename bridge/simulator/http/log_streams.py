"""Streams of log lines: GET workflows/NS/N/log, in both framings, with `follow` or without.

Sends the output of `pod_logs` for a workflow, and while following checks again after each change. It decides nothing
about workflows. Runs on the simulator's loop thread. Source: Argo v4.1 util/logs/workflow-logger.go; framing as
recorded.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bridge.simulator.controller.nodes import FULFILLED
from bridge.simulator.http.answers import to_json
from bridge.simulator.http.watch import stream_headers
from bridge.simulator.http.wire import Stream
from bridge.simulator.objects.pod_logs import LogQuery, PodLogLine, lines_of
from bridge.simulator.objects.store import Object, Store


@dataclass(frozen=True, slots=True)
class LogRequest:
    """The parameters of a log request.

    Attributes:
        namespace: Namespace of the workflow.
        name: Its name.
        query: Which lines.
        follow: Continue until the workflow has finished or is deleted.
        sse: Server-sent events; if not, JSON lines.
    """

    namespace: str
    name: str
    query: LogQuery
    follow: bool
    sse: bool


class LogStreams:
    """All log streams of a simulator.

    Args:
        store: Where the workflows are.
        loop: The loop for everything.
        keepalive_s: Time between comment lines of an SSE stream.
    """

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop, keepalive_s: float) -> None:
        self.store = store
        self.loop = loop
        self.keepalive_s = keepalive_s
        self.following: set[_LogStream] = set()
        self._flush_planned = False

    def open(self, request: LogRequest, stream: Stream) -> _LogStream:
        """Begin to serve a stream; without follow it has ended when this returns."""
        opened = _LogStream(self, request, stream)
        self.following.add(opened)
        opened.pump()
        return opened

    def changed(self) -> None:
        """Note that the store has changed; following streams get new lines on the loop's next turn."""
        if self.following and not self._flush_planned:
            self._flush_planned = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        for opened in list(self.following):
            opened.pump()


class _LogStream:
    """One stream of log lines."""

    def __init__(self, streams: LogStreams, request: LogRequest, stream: Stream) -> None:
        self._streams = streams
        self._request = request
        self._stream = stream
        self._sent: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        if request.sse and request.follow:
            self._timer = streams.loop.call_later(streams.keepalive_s, self._keep_alive)

    def pump(self) -> None:
        """Send the unsent lines of pods, and end if there will be no more."""
        workflow = self._streams.store.get(self._request.namespace, self._request.name)
        if workflow is not None:
            self._send_new(workflow)
        ended = workflow is None or workflow["status"].get("phase") in FULFILLED
        if ended or not self._request.follow:
            self._begin()
            self._stream.end()
            self.close()

    def _send_new(self, workflow: Object) -> None:
        lines = [line for line in lines_of(workflow, self._request.query) if line.pod not in self._sent]
        self._sent |= {line.pod for line in lines}
        if lines:
            self._begin()
            self._stream.write(b"".join(map(self._encoded, lines)))

    def _encoded(self, line: PodLogLine) -> bytes:
        text = to_json({"result": line.as_json()})
        return b"data: %b \n\n\n" % text if self._request.sse else text + b"\n"

    def _begin(self) -> None:
        if not self._stream.started:
            self._stream.start(200, stream_headers(sse=self._request.sse))

    def _keep_alive(self) -> None:
        self._begin()
        self._stream.write(b":\n")
        self._timer = self._streams.loop.call_later(self._streams.keepalive_s, self._keep_alive)

    def close(self) -> None:
        """Stop following."""
        if self._timer is not None:
            self._timer.cancel()
        self._streams.following.discard(self)
