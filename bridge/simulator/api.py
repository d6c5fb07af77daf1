"""Routing: which handler answers a request, and how its result or refusal reaches the wire.

It also meets requests with their faults. An unexpected exception in a handler becomes a 500 and is remembered; it
never ends the server. Runs on the simulator's loop thread. Source: Argo v4.1 server/apiserver/argoserver.go,
grpc-gateway v1.16.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from bridge.simulator.access import Caller
from bridge.simulator.answers import (
    HTML_PAGE,
    HTML_TYPE,
    ApiError,
    Reply,
    error_body,
    not_implemented,
    stream_error,
    to_json,
)
from bridge.simulator.parsing import MAX_BODY, Request
from bridge.simulator.templates_api import TemplatesApi
from bridge.simulator.watch import Watcher, WatchHub, WatchQuery, end_stream, stream_headers
from bridge.simulator.wire import Exchange
from bridge.simulator.workflows_api import WorkflowsApi, World, is_sse

_PREFIX = "/api/v1/"
_UNCLEAN = re.compile(r"//|/\.\.?(/|$)")
_GRPC = ("Grpc-Metadata-Content-Type", "application/grpc")
_TOO_LARGE = 8


class Api:
    """Answers everything under /api, and the page outside it.

    Args:
        world: What the endpoints work on.
        hub: Serves watches.

    Attributes:
        workflows: Endpoints of workflows.
        templates: Endpoints of templates, by whether they are cluster-scoped.
        statuses: How many answers had which HTTP status.
        unexpected: Exceptions of handlers that were no refusals; always empty unless the simulator is wrong.
    """

    def __init__(self, world: World, hub: WatchHub) -> None:
        self._world = world
        self._hub = hub
        self.workflows = WorkflowsApi(world)
        self.templates = {cluster: TemplatesApi(world, cluster=cluster) for cluster in (False, True)}
        self.statuses: Counter[int] = Counter()
        self.unexpected: list[BaseException] = []
        version = f"v{world.release.version}"
        own = (("Grpc-Metadata-Argo-Version", version),) if world.release.version_header else ()
        self._success_headers = (*own, _GRPC)
        self._error_headers = (_GRPC,) if world.release.grpc_header_on_errors else ()

    # -- unary -----------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Reply:
        """Carry out a request that is no watch."""
        try:
            if not request.raw_path.startswith("/api/"):
                return self._page()
            if _UNCLEAN.search(request.raw_path):
                return _redirect(request)
            return self._success(self._dispatch(request))
        except ApiError as error:
            return self.refusal(error)
        except Exception as error:  # noqa: BLE001  # a fault of the simulator must not end it
            self.unexpected.append(error)
            return self.refusal(ApiError(13, f"simulator: {type(error).__name__}: {error}"))

    def refusal(self, error: ApiError) -> Reply:
        """The answer to a refused request."""
        headers = self._error_headers if error.behind_gateway else ()
        return Reply(error.status, error_body(error), headers=headers)

    def _success(self, value: Any) -> Reply:
        return Reply(200, to_json(value), headers=self._success_headers)

    def _page(self) -> Reply:
        if self._world.release.user_interface:
            return Reply(200, HTML_PAGE, HTML_TYPE)
        return Reply(200, b"", "")

    def _dispatch(self, request: Request) -> Any:
        path = request.path
        if not path.startswith(_PREFIX) or ":" in path.rsplit("/", 1)[1]:
            raise not_implemented()
        if request.body_bytes > MAX_BODY:
            raise ApiError(_TOO_LARGE, f"grpc: received message larger than max ({request.body_bytes} vs. {MAX_BODY})")
        head, *rest = path.removeprefix(_PREFIX).split("/")
        if head == "workflows":
            return self._workflows(request, rest)
        if head == "workflow-templates" and rest:
            return self._templates(request, self.templates[False], rest[0], rest[1:])
        if head == "cluster-workflow-templates":
            return self._templates(request, self.templates[True], "", rest)
        if request.method == "GET" and not rest and head in ("version", "info", "userinfo"):
            return self._information(request, head)
        raise not_implemented()

    def _workflows(self, request: Request, rest: list[str]) -> Any:
        match request.method, rest:
            case "POST", [namespace]:
                return self.workflows.create(request.body, lambda: self.caller(request), namespace)
            case "GET", [namespace]:
                return self.workflows.list(request, self.caller(request), namespace)
            case "GET", [namespace, name]:
                return self.workflows.get(request, self.caller(request), namespace, name)
            case "DELETE", [namespace, name]:
                return self.workflows.delete(request, self.caller(request), namespace, name)
        raise not_implemented()

    def _templates(self, request: Request, api: TemplatesApi, namespace: str, rest: list[str]) -> Any:
        one: dict[str, Callable[[Request, Caller, str, str], Any]] = {
            "GET": api.get,
            "PUT": api.update,
            "DELETE": api.delete,
        }
        if rest in ([], [""]) and request.method in ("GET", "POST"):
            many = api.list if request.method == "GET" else api.create
            return many(request, self.caller(request), namespace)
        if len(rest) == 1 and request.method in one:
            return one[request.method](request, self.caller(request), namespace, rest[0])
        raise not_implemented()

    def _information(self, request: Request, what: str) -> Any:
        caller = self.caller(request)
        if what == "userinfo":
            return caller.user_info()
        if what == "info":
            return {"modals": {"feedback": True, "firstTimeUser": True, "newVersion": True}}
        version = f"v{self._world.release.version}"
        return {
            "version": version,
            "buildDate": "1970-01-01T00:00:00Z",
            "gitCommit": self._world.release.git_commit,
            "gitTag": version,
            "gitTreeState": "clean",
            "goVersion": "go1.26.8",
            "compiler": "gc",
            "platform": "linux/amd64",
        }

    def caller(self, request: Request) -> Caller:
        """Who calls, or 401."""
        return self._world.access.identify(request)

    # -- watch -----------------------------------------------------------------------------------------------------

    def is_watch(self, request: Request) -> bool:
        """Whether a request asks for a stream."""
        parts = request.path.removeprefix(_PREFIX).split("/")
        return request.method == "GET" and len(parts) == 2 and parts[0] == "workflow-events"

    def watch(self, exchange: Exchange) -> Watcher | None:
        """Begin a watch; None when it was refused."""
        request = exchange.request
        namespace = request.path.removeprefix(_PREFIX).split("/")[1]
        try:
            query = self.workflows.watch_query(request, self.caller(request), namespace)
        except ApiError as error:
            if error.behind_gateway:
                self.refuse_stream(exchange, error)
            else:
                exchange.reply(self.refusal(error))
            return None
        try:
            watcher = self._hub.open(query, stream := exchange.open_stream())
        except LookupError:
            self.refuse_too_old(exchange, query)
            return None
        exchange.on_gone = watcher.close
        if stream.closed:
            watcher.close()
        return watcher

    @property
    def version(self) -> int:
        """The newest resource version."""
        return self._world.store.version

    def refuse_too_old(self, exchange: Exchange, query: WatchQuery) -> None:
        """Answer a watch whose resource version is no longer kept."""
        log = self._world.store.log
        message = f"too old resource version: {query.version or 1} ({log.compacted_version})"
        end_stream(exchange.open_stream(), query, 3, message)

    def refuse_stream(self, exchange: Exchange, error: ApiError, status: int | None = None) -> None:
        """Answer a watch that cannot start."""
        sse = is_sse(exchange.request)
        headers = stream_headers(sse=sse)
        if not self._world.release.grpc_header_on_errors:
            headers = tuple(header for header in headers if header != _GRPC)
        frame = stream_error(error.code, self._world.access.stream_text(error), status)
        text = to_json(frame)
        stream = exchange.open_stream()
        stream.start(frame["error"]["http_code"], headers)
        stream.write(b"data: %b \n\n" % text if sse else text)
        stream.end()


def _redirect(request: Request) -> Reply:
    """Go's ServeMux sends unclean paths to their clean form."""
    parts: list[str] = []
    for part in request.raw_path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    location = "/" + "/".join(parts) + ("/" if request.raw_path.endswith("/") and parts else "")
    body = f'<a href="{location}">Moved Permanently</a>.\n\n'.encode()
    return Reply(301, body, HTML_TYPE, (("Location", location),))
