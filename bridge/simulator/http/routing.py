"""Finds the endpoint of a request by its method and path.

A table that is filled once and knows nothing about Argo. Read on the simulator's loop thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.simulator.http.access import Caller
from bridge.simulator.http.parsing import ParsedRequest

CallerOf = Callable[[], Caller]
Endpoint = Callable[..., Any]

_ANY = "{}"


class Router:
    """Routes by method and path."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str, int], list[tuple[list[str], Endpoint]]] = {}

    def add(self, method: str, path: str, endpoint: Endpoint) -> None:
        """Add a route; if several match, the one added first is used.

        Args:
            method: HTTP method.
            path: Below the API's prefix; `{}` is any one segment.
            endpoint: Called with the request, a function that returns the caller or raises 401, and the `{}` segments.
        """
        parts = path.split("/")
        self._routes.setdefault((method, parts[0], len(parts)), []).append((parts, endpoint))

    def find(self, method: str, path: str) -> tuple[Endpoint, list[str]] | None:
        """Return the endpoint for a path below the prefix, and its arguments; None if there is no route."""
        parts = path.split("/")
        for pattern, endpoint in self._routes.get((method, parts[0], len(parts)), ()):
            if all(wanted in (_ANY, part) for wanted, part in zip(pattern, parts, strict=True)):
                return endpoint, [part for wanted, part in zip(pattern, parts, strict=True) if wanted == _ANY]
        return None


def with_caller(handler: Callable[..., Any]) -> Endpoint:
    """Turn a handler into an endpoint that identifies the caller first."""

    def endpoint(request: ParsedRequest, caller_of: CallerOf, *args: str) -> Any:
        return handler(request, caller_of(), *args)

    return endpoint
