"""Routing: finds the handler of a request, and sends its result or refusal.

It also applies faults. An unexpected exception in a handler becomes a 500 and is recorded; it never ends the server.
Runs on the simulator's loop thread. Source: Argo v4.1 server/apiserver/argoserver.go, grpc-gateway v1.16.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from bridge.simulator.api.archive import ArchiveApi
from bridge.simulator.api.cron import CronApi
from bridge.simulator.api.events import EventsApi
from bridge.simulator.api.streams import StreamsApi, StreamServices
from bridge.simulator.api.submit import SubmitApi
from bridge.simulator.api.templates import TemplatesApi
from bridge.simulator.api.verbs import VerbsApi
from bridge.simulator.api.workflows import WorkflowsApi
from bridge.simulator.http.access import Caller
from bridge.simulator.http.answers import (
    GRPC_HEADER,
    HTML_PAGE,
    HTML_TYPE,
    ApiError,
    UnaryAnswer,
    error_body,
    not_implemented,
    to_json,
)
from bridge.simulator.http.log_streams import LogStreams
from bridge.simulator.http.parsing import MAX_BODY, ParsedRequest
from bridge.simulator.http.routing import Router, with_caller
from bridge.simulator.http.watch import WatchHub
from bridge.simulator.objects.admission import Admission
from bridge.simulator.objects.world import World

_PREFIX = "/api/v1/"
_UNCLEAN = re.compile(r"//|/\.\.?(/|$)")
_TOO_LARGE = 8


class Api:
    """Answers everything under /api, and the page outside it; `streams` answers streams.

    Args:
        world: The state the endpoints work on.
        hub: Serves watches.
        logs: Serves logs.

    Attributes:
        admission: Admits and records new workflows.
        workflows: Endpoints of workflows.
        templates: Endpoints of templates, by whether they are cluster-scoped.
        streams: Endpoints of watches and logs.
        statuses: Number of responses by HTTP status.
        unexpected: Unexpected exceptions of handlers; always empty unless the simulator has a bug.
    """

    def __init__(self, world: World, hub: WatchHub, logs: LogStreams) -> None:
        self._world = world
        self.admission = Admission(world)
        self.workflows = WorkflowsApi(world, self.admission)
        self.templates = {cluster: TemplatesApi(world, cluster=cluster) for cluster in (False, True)}
        self._router = Router()
        self._add_workflows(self._router)
        self._add_templates(self._router)
        self._add_others(self._router)
        self.streams = StreamsApi(world, self.workflows, StreamServices(hub, logs, self.refusal))
        self.statuses: Counter[int] = Counter()
        self.unexpected: list[BaseException] = []
        version = f"v{world.release.version}"
        own = (("Grpc-Metadata-Argo-Version", version),) if world.release.version_header else ()
        self._success_headers = (*own, GRPC_HEADER)
        self._error_headers = (GRPC_HEADER,) if world.release.grpc_header_on_errors else ()

    def answer(self, request: ParsedRequest) -> UnaryAnswer:
        """Answer a request whose response is not a stream."""
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

    def refusal(self, error: ApiError) -> UnaryAnswer:
        """Return the response to a refused request."""
        headers = self._error_headers if error.behind_gateway else ()
        return UnaryAnswer(error.status, error_body(error), headers=headers)

    def _success(self, value: Any) -> UnaryAnswer:
        if isinstance(value, UnaryAnswer):  # an error that does not come from behind the gateway
            return value
        return UnaryAnswer(200, to_json(value), headers=self._success_headers)

    def _page(self) -> UnaryAnswer:
        if self._world.release.user_interface:
            return UnaryAnswer(200, HTML_PAGE, HTML_TYPE)
        return UnaryAnswer(200, b"", "")

    def _dispatch(self, request: ParsedRequest) -> Any:
        path = request.path
        if not path.startswith(_PREFIX) or ":" in path.rsplit("/", 1)[1]:
            raise not_implemented()
        if request.body_bytes > MAX_BODY:
            raise ApiError(_TOO_LARGE, f"grpc: received message larger than max ({request.body_bytes} vs. {MAX_BODY})")
        found = self._router.find(request.method, path.removeprefix(_PREFIX))
        if found is None:
            raise not_implemented()
        endpoint, arguments = found
        return endpoint(request, lambda: self._world.access.identify(request), *arguments)

    def _add_workflows(self, router: Router) -> None:
        workflows, submissions = self.workflows, SubmitApi(self._world, self.admission)
        verbs = VerbsApi(self._world, workflows, self.admission)
        router.add("POST", "workflows/{}", workflows.create)
        router.add("POST", "workflows/{}/submit", submissions.submit)
        router.add("POST", "workflows/{}/lint", submissions.lint)
        router.add("GET", "workflows/{}", with_caller(workflows.list))
        router.add("GET", "workflows/{}/{}", with_caller(workflows.get))
        router.add("DELETE", "workflows/{}/{}", workflows.delete)
        for verb, endpoint in verbs.endpoints.items():
            router.add("PUT", f"workflows/{{}}/{{}}/{verb}", endpoint)

    def _add_templates(self, router: Router) -> None:
        for cluster, api in self.templates.items():
            base = "cluster-workflow-templates" if cluster else "workflow-templates/{}"
            for path in (base, f"{base}/"):
                router.add("GET", path, with_caller(api.list))
                router.add("POST", path, with_caller(api.create))
            router.add("POST", f"{base}/lint", with_caller(api.lint))
            router.add("GET", f"{base}/{{}}", with_caller(api.get))
            router.add("PUT", f"{base}/{{}}", with_caller(api.update))
            router.add("DELETE", f"{base}/{{}}", with_caller(api.delete))

    def _add_others(self, router: Router) -> None:
        crons, archive, events = CronApi(self._world), ArchiveApi(self._world, self.admission), EventsApi(self._world)
        router.add("POST", "cron-workflows/{}", with_caller(crons.create))
        router.add("POST", "cron-workflows/{}/lint", with_caller(crons.lint))
        router.add("GET", "cron-workflows/{}", with_caller(crons.list))
        router.add("GET", "cron-workflows/{}/{}", with_caller(crons.get))
        router.add("PUT", "cron-workflows/{}/{}", with_caller(crons.update))
        router.add("DELETE", "cron-workflows/{}/{}", with_caller(crons.delete))
        router.add("PUT", "cron-workflows/{}/{}/suspend", with_caller(crons.suspend))
        router.add("PUT", "cron-workflows/{}/{}/resume", with_caller(crons.resume))
        router.add("GET", "archived-workflows", with_caller(archive.list))
        router.add("GET", "archived-workflows/{}", with_caller(archive.get))
        router.add("DELETE", "archived-workflows/{}", with_caller(archive.delete))
        router.add("PUT", "archived-workflows/{}/retry", archive.retry)
        router.add("PUT", "archived-workflows/{}/resubmit", archive.resubmit)
        router.add("POST", "events/{}/{}", events.receive)
        router.add("GET", "workflow-event-bindings/{}", with_caller(events.list))
        for what in ("version", "info", "userinfo"):
            router.add("GET", what, lambda _, caller_of, what=what: self._information(caller_of(), what))

    def _information(self, caller: Caller, what: str) -> Any:
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


def _redirect(request: ParsedRequest) -> UnaryAnswer:
    """Redirect unclean paths to their clean form, like Go's ServeMux."""
    parts: list[str] = []
    for part in request.raw_path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    location = "/" + "/".join(parts) + ("/" if request.raw_path.endswith("/") and parts else "")
    body = f'<a href="{location}">Moved Permanently</a>.\n\n'.encode()
    return UnaryAnswer(301, body, HTML_TYPE, (("Location", location),))
