"""The endpoints whose responses are streams: watches and logs.

Reads their requests, refuses them in the form used for streams, and passes them to `watch` and `log_streams`. Runs on
the simulator's loop thread. Source: Argo v4.1 server/workflow/workflow_server.go; texts and framing as recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.simulator.api.listing import parse_bool, parse_int
from bridge.simulator.api.workflows import WorkflowsApi, is_sse
from bridge.simulator.http.access import Caller
from bridge.simulator.http.answers import GRPC_HEADER, ApiError, UnaryAnswer, stream_error, to_json
from bridge.simulator.http.log_streams import LogRequest, LogStreams
from bridge.simulator.http.parsing import ParsedRequest
from bridge.simulator.http.watch import WatchHub, WatchQuery, WatchStream, end_stream, stream_headers
from bridge.simulator.http.wire import Exchange
from bridge.simulator.objects.pod_logs import LogQuery, compile_grep
from bridge.simulator.objects.world import World

_PREFIX = "/api/v1/"


@dataclass(frozen=True, slots=True)
class StreamServices:
    """The services that send the streams after they are accepted."""

    hub: WatchHub
    logs: LogStreams
    refusal: Callable[[ApiError], UnaryAnswer]


class StreamsApi:
    """Endpoints of streams.

    Args:
        world: The state they work on.
        workflows: Finds workflows and parses watch requests.
        services: Send the streams.

    Attributes:
        bare_log_requests: Log requests without any `logOptions` parameter: each crashes a real Argo Server.
        crashed: Called after such a request.
    """

    def __init__(self, world: World, workflows: WorkflowsApi, services: StreamServices) -> None:
        self._world = world
        self._workflows = workflows
        self._services = services
        self.bare_log_requests = 0
        self.crashed: Callable[[], None] = lambda: None

    def is_watch(self, request: ParsedRequest) -> bool:
        """Whether a request is for a watch."""
        parts = _parts(request)
        return request.method == "GET" and len(parts) == 2 and parts[0] == "workflow-events"

    def is_log(self, request: ParsedRequest) -> bool:
        """Whether a request is for logs."""
        parts = _parts(request)
        return request.method == "GET" and parts[0] == "workflows" and len(parts) in (4, 5) and parts[-1] == "log"

    def is_stream(self, request: ParsedRequest) -> bool:
        """Whether the response to a request is a stream."""
        return self.is_watch(request) or self.is_log(request)

    def serve(self, exchange: Exchange) -> None:
        """Answer a request for a stream."""
        if self.is_watch(exchange.request):
            self.watch(exchange)
        else:
            self.log(exchange)

    # -- watch -----------------------------------------------------------------------------------------------------

    def watch(self, exchange: Exchange) -> WatchStream | None:
        """Begin a watch; None if it was refused."""
        request = exchange.request
        namespace = _parts(request)[1]
        try:
            query = self._workflows.watch_query(request, self._caller(request), namespace)
        except ApiError as error:
            self._refuse(exchange, error)
            return None
        try:
            watcher = self._services.hub.open(query, stream := exchange.open_stream())
        except LookupError:
            self._refuse_too_old(exchange, query)
            return None
        exchange.on_gone = watcher.close
        if stream.closed:
            watcher.close()
        return watcher

    @property
    def version(self) -> int:
        """The newest resource version."""
        return self._world.store.version

    def _refuse_too_old(self, exchange: Exchange, query: WatchQuery) -> None:
        log = self._world.store.log
        message = f"too old resource version: {query.version or 1} ({log.compacted_version})"
        end_stream(exchange.open_stream(), query, 3, message)

    @property
    def open_logs(self) -> int:
        """Number of open log streams."""
        return len(self._services.logs.following)

    # -- logs ------------------------------------------------------------------------------------------------------

    def log(self, exchange: Exchange) -> None:
        """Begin to send log lines."""
        request = exchange.request
        try:
            wanted = self._log_request(request)
        except ApiError as error:
            self._refuse(exchange, error)
            return
        if not any(name.startswith("logOptions.") for name in request.params):
            self.bare_log_requests += 1
            exchange.cut()
            self.crashed()
            return
        opened = self._services.logs.open(wanted, stream := exchange.open_stream())
        exchange.on_gone = opened.close
        if stream.closed:
            opened.close()

    def _log_request(self, request: ParsedRequest) -> LogRequest:
        params, parts = request.params, _parts(request)
        query = LogQuery(
            pod=parts[3] if len(parts) == 5 else params.get("podName", ""),
            container=params.get("logOptions.container", ""),
            grep=compile_grep(params.get("grep", "")),
            tail_lines=parse_int(params, "logOptions.tailLines"),
            limit_bytes=parse_int(params, "logOptions.limitBytes"),
            timestamps=parse_bool(params, "logOptions.timestamps"),
            previous=parse_bool(params, "logOptions.previous"),
        )
        follow = parse_bool(params, "logOptions.follow")
        caller, namespace, name = self._caller(request), parts[1], parts[2]
        for verb in ("get", "watch"):
            self._world.access.require(caller, verb, namespace, name)
        name = self._workflows.find(namespace, name)["metadata"]["name"]
        return LogRequest(namespace, name, query, follow, is_sse(request))

    # -- refusing --------------------------------------------------------------------------------------------------

    def _refuse(self, exchange: Exchange, error: ApiError) -> None:
        if error.behind_gateway:
            self.refuse(exchange, error)
        else:
            exchange.reply(self._services.refusal(error))

    def refuse(self, exchange: Exchange, error: ApiError, status: int | None = None) -> None:
        """Refuse a stream.

        Args:
            exchange: The request's exchange.
            error: The reason.
            status: HTTP status, if not that of the error's code.
        """
        request = exchange.request
        sse = is_sse(request)
        headers = stream_headers(sse=sse)
        if not self._world.release.grpc_header_on_errors:
            headers = tuple(header for header in headers if header != GRPC_HEADER)
        message = self._world.access.stream_text(error) if self.is_watch(request) else error.message
        frame = stream_error(error.code, message, status)
        text = to_json(frame)
        stream = exchange.open_stream()
        stream.start(frame["error"]["http_code"], headers)
        stream.write(b"data: %b \n\n" % text if sse else text)
        stream.end()

    def _caller(self, request: ParsedRequest) -> Caller:
        return self._world.access.identify(request)


def _parts(request: ParsedRequest) -> list[str]:
    return request.path.removeprefix(_PREFIX).split("/")
