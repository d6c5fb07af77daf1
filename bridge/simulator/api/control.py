"""The endpoints under /simulator, for tests that run the simulator as a process: faults, statistics, created workflows.

They are not part of Argo's API, require no token and are not subject to faults. Run on the simulator's loop thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import orjson

from bridge.simulator.api.router import Api
from bridge.simulator.controller.controller import Controller
from bridge.simulator.faults import Faults, fault_from_json
from bridge.simulator.http.answers import UnaryAnswer, to_json
from bridge.simulator.http.parsing import ParsedRequest
from bridge.simulator.http.watch import WatchHub
from bridge.simulator.objects.store import Store

PREFIX = "/simulator/"


class Control:
    """Endpoints under /simulator.

    Args:
        api: Provides created workflows and counts of responses.
        store: Provides existing workflows.
        hub: Provides watches.
        faults: The active faults.
        controller: Can be taken away.
    """

    def __init__(self, api: Api, store: Store, hub: WatchHub, faults: Faults, controller: Controller) -> None:
        self._api = api
        self._store = store
        self._hub = hub
        self._faults = faults
        self._controller = controller
        self._routes: dict[tuple[str, str], Callable[[ParsedRequest], Any]] = {
            ("GET", "faults"): lambda _: self._faults.as_list(),
            ("POST", "faults"): self._add_faults,
            ("DELETE", "faults"): self._clear_faults,
            ("GET", "created"): lambda _: [asdict(created) for created in self._api.admission.created],
            ("GET", "stats"): lambda _: self.stats(),
            ("POST", "watches/end"): self._end_watches,
            ("POST", "compact"): self._compact,
            ("POST", "controller"): self._set_controller,
        }

    def answer(self, request: ParsedRequest) -> UnaryAnswer:
        """Answer a request under /simulator."""
        route = self._routes.get((request.method, request.path.removeprefix(PREFIX)))
        if route is None:
            known = ", ".join(f"{method} {PREFIX}{path}" for method, path in sorted(self._routes))
            return UnaryAnswer(404, to_json({"error": f"no such control; there are {known}"}))
        try:
            return UnaryAnswer(200, to_json(route(request)))
        except (ValueError, orjson.JSONDecodeError) as error:
            return UnaryAnswer(400, to_json({"error": str(error)}))

    def stats(self) -> dict[str, Any]:
        """Return counts since the start."""
        return {
            "created": len(self._api.admission.created),
            "workflows": len(self._store.workflows),
            "watches": len(self._hub.watchers),
            "resourceVersion": str(self._store.version),
            "logStreams": self._api.streams.open_logs,
            "bareLogRequests": self._api.streams.bare_log_requests,
            "answers": {str(status): count for status, count in sorted(self._api.statuses.items())},
            "unexpected": [repr(error) for error in self._api.unexpected],
        }

    def _add_faults(self, request: ParsedRequest) -> Any:
        value = orjson.loads(request.body)
        faults = [fault_from_json(item) for item in (value if isinstance(value, list) else [value])]
        return {"ids": [self._faults.add(fault).id for fault in faults]}

    def _clear_faults(self, request: ParsedRequest) -> Any:
        del request
        self._faults.clear()
        return {}

    def _end_watches(self, request: ParsedRequest) -> Any:
        how = _object(request).get("how", "eof")
        if how not in ("eof", "cut", "too-old"):
            raise ValueError("how is eof, cut or too-old")
        return {"ended": self._hub.end_all(how)}

    def _compact(self, request: ParsedRequest) -> Any:
        del request
        self._store.compact()
        return {"resourceVersion": str(self._store.version)}

    def _set_controller(self, request: ParsedRequest) -> Any:
        away = _object(request).get("away")
        if not isinstance(away, bool):
            raise ValueError("away is true or false")  # noqa: TRY004  # told as a bad request like the others
        self._controller.away = away
        return {"away": away}


def _object(request: ParsedRequest) -> dict[str, Any]:
    value = orjson.loads(request.body) if request.body else {}
    if not isinstance(value, dict):
        raise ValueError("the body is an object")  # noqa: TRY004  # told as a bad request like the others
    return value
