"""Applies faults to requests.

Turns faults into responses, delays and cuts; `faults` decides which fault affects which request. Runs on the
simulator's loop thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate

from bridge.simulator.api.router import Api
from bridge.simulator.faults import FaultKind, InjectedFault
from bridge.simulator.http.answers import (
    GRPC_BY_HTTP,
    GRPC_HEADER,
    HTML_PAGE,
    HTML_TYPE,
    TEXT_TYPE,
    ApiError,
    UnaryAnswer,
    error_body,
    to_json,
)
from bridge.simulator.http.parsing import MAX_BODY, ParsedRequest
from bridge.simulator.http.watch import WatchStream
from bridge.simulator.http.wire import Exchange

_WATCH_KINDS = frozenset({FaultKind.TOO_OLD, FaultKind.WATCH_EOF, FaultKind.WATCH_CUT})
_LIMITED = "is rejected by grpc_ratelimit middleware, please retry later."
_METHODS = {"POST": "CreateWorkflow", "GET": "ListWorkflows", "DELETE": "DeleteWorkflow"}


class FaultyApi:
    """Serves requests, with faults or without.

    Args:
        api: Answers requests without a fault.
        loop: For delays.
    """

    def __init__(self, api: Api, loop: asyncio.AbstractEventLoop) -> None:
        self._api = api
        self._streams = api.streams
        self._loop = loop

    def serve(self, exchange: Exchange, fault: InjectedFault | None) -> None:
        """Answer a request."""
        if fault is None:
            self._serve_truly(exchange)
        elif fault.kind in _WATCH_KINDS and self._streams.is_watch(exchange.request):
            self._break_watch(exchange, fault)
        elif fault.kind is FaultKind.DELAY:
            self._delay(exchange, fault)
        else:
            self._spoil(exchange, fault)

    def _serve_truly(self, exchange: Exchange) -> None:
        if self._streams.is_stream(exchange.request):
            self._streams.serve(exchange)
        else:
            self._send(exchange, self._api.answer(exchange.request))

    def _send(self, exchange: Exchange, reply: UnaryAnswer) -> None:
        self._api.statuses[reply.status] += 1
        exchange.reply(reply)

    def _later(self, delay_s: float, exchange: Exchange, call: Callable[[], None]) -> None:
        """Call something now or after a delay, unless the client has disconnected by then."""
        if delay_s <= 0:
            call()
            return
        timer = self._loop.call_later(delay_s, call)
        exchange.on_gone = timer.cancel

    def _delay(self, exchange: Exchange, fault: InjectedFault) -> None:
        if fault.accept and not self._streams.is_stream(exchange.request):
            reply = self._api.answer(exchange.request)
            self._later(fault.delay_s, exchange, lambda: self._send(exchange, reply))
        else:
            self._later(fault.delay_s, exchange, lambda: self._serve_truly(exchange))

    def _break_watch(self, exchange: Exchange, fault: InjectedFault) -> None:
        if fault.kind is FaultKind.TOO_OLD:
            message = f"too old resource version: 1 ({self._streams.version})"
            self._streams.refuse(exchange, ApiError(3, message))
            return
        watcher = self._streams.watch(exchange)
        if watcher is None:
            return
        call = watcher.end if fault.kind is FaultKind.WATCH_EOF else watcher.cut
        if fault.delay_s > 0:
            self._end_later(fault.delay_s, exchange, watcher, call)
        else:
            call()

    def _end_later(self, delay_s: float, exchange: Exchange, watcher: WatchStream, call: Callable[[], None]) -> None:
        timer = self._loop.call_later(delay_s, call)

        def gone() -> None:
            timer.cancel()
            watcher.close()

        exchange.on_gone = gone

    def _spoil(self, exchange: Exchange, fault: InjectedFault) -> None:
        request = exchange.request
        if fault.accept and not self._streams.is_stream(request):
            self._api.answer(request)
        if fault.kind is FaultKind.HANG:
            if fault.delay_s > 0:
                self._later(fault.delay_s, exchange, exchange.cut)
        elif fault.kind in (FaultKind.CUT, FaultKind.WATCH_CUT):
            self._later(fault.delay_s, exchange, exchange.cut)
        elif fault.kind is FaultKind.STATUS and self._streams.is_stream(request):
            error = ApiError(GRPC_BY_HTTP.get(fault.status, 2), fault.message)
            self._later(fault.delay_s, exchange, lambda: self._streams.refuse(exchange, error, fault.status))
        else:
            reply = _spoiled(fault, request)
            self._later(fault.delay_s, exchange, lambda: self._send(exchange, reply))


def _spoiled(fault: InjectedFault, request: ParsedRequest) -> UnaryAnswer:
    """Return the response that replaces the real one."""
    retry_after = () if fault.retry_after is None else (("Retry-After", fault.retry_after),)
    match fault.kind:
        case FaultKind.RATE_LIMIT_TEXT:
            date = formatdate(time.time() + 1, usegmt=True).replace("GMT", "UTC")
            return UnaryAnswer(429, b"Too Many Requests\n", TEXT_TYPE, retry_after or (("Retry-After", date),))
        case FaultKind.RATE_LIMIT_JSON:
            method = _METHODS.get(request.method, "GetWorkflow")
            error = ApiError(8, f"/workflow.WorkflowService/{method} {_LIMITED}")
        case FaultKind.TOO_LARGE:
            error = ApiError(8, f"grpc: received message larger than max ({MAX_BODY + 1} vs. {MAX_BODY})")
        case FaultKind.HTML:
            body = HTML_PAGE if fault.body is None else fault.body.encode()
            return UnaryAnswer(200, body, HTML_TYPE, retry_after)
        case FaultKind.GARBAGE:
            body = b'{"metadata":{"name":"cut off' if fault.body is None else fault.body.encode()
            return UnaryAnswer(200, body, headers=retry_after)
        case FaultKind.NO_RESOURCE_VERSION:
            return UnaryAnswer(200, to_json({"metadata": {}, "items": None}), headers=(GRPC_HEADER, *retry_after))
        case _:
            body = to_json({"code": GRPC_BY_HTTP.get(fault.status, 2), "message": fault.message})
            return UnaryAnswer(fault.status, body, headers=(GRPC_HEADER, *retry_after))
    return UnaryAnswer(error.status, error_body(error), headers=(GRPC_HEADER, *retry_after))
