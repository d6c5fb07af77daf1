"""Single blocking requests to the Argo Server: the bridge's own reads and lists.

They use `exchanges`, like all requests of the running bridge. Retries only a read whose connection was cut; keeps no
state except connections.

Any thread; each call drives its own exchanges.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Self

from bridge.argo.credentials import Credentials
from bridge.argo.errors import Answer, AnswerKind, Fault, error_of, failure, incomplete
from bridge.argo.exchanges import Exchanges, HttpRequest
from bridge.argo.options import (
    HEAVY_FIELDS,
    VERSION_PATH,
    ArgoOptions,
    with_query,
    workflow_page_path,
    workflow_path,
)
from bridge.core.errors import cut
from bridge.interface.loose_json import object_at, text_at

_NOBODYS = "argo-bridge-access-check"
_ACCESS_TIMEOUT_S = 10.0
_LONGEST_VERSION = 64
_MAX_IDLE = 8
_STEP_S = 60.0
_PASSES = 3

# What following status does not need and what makes objects large. Excluding fields keeps error frames whole; including
# fields would turn them into "{}" (docs/design/argo-server.md, Watch). Of the spec, suspend and shutdown are part of
# the status.
LEFT_OUT = (
    *HEAVY_FIELDS,
    "spec.templates",
    "spec.arguments",
    "spec.templateDefaults",
    "spec.volumes",
    "spec.volumeClaimTemplates",
    "spec.podSpecPatch",
    "spec.podMetadata",
    "spec.workflowMetadata",
    "spec.affinity",
    "spec.tolerations",
    "spec.hooks",
    "spec.metrics",
)

# Nodes need the templates, which say which failures a workflow tolerates.
_WITH_NODES = (
    "status.nodes",
    "status.compressedNodes",
    "status.storedTemplates",
    "status.storedWorkflowTemplateSpec",
    "spec.templates",
)


@dataclass(frozen=True, slots=True)
class WorkflowList:
    """All workflows of one list; a watch continues at its resource version.

    The items have no nodes and little of the spec; the cache may lack the newest and still have ones just deleted.
    """

    items: tuple[dict[str, Any], ...]
    resource_version: str


class ArgoClient:
    """Client of one Argo Server.

    Every method raises `TransientAnswerError` or `PermanentAnswerError` (both have the `Answer`) if the response does
    not match its return type, and PermanentError ``bad-name`` before sending for an invalid name.

    Thread: any. After `close`, current calls end within about a second, except one that is resolving the host name.
    """

    def __init__(self, options: ArgoOptions, credentials: Credentials | None = None) -> None:
        """Open nothing yet; `credentials` None means they are made from `options`."""
        self.options = options
        self.credentials = credentials or Credentials(options.token_file, options.authorization)
        self._lock = threading.Lock()
        self._idle: list[Exchanges] = []
        self._busy: set[Exchanges] = set()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ArgoClient({self.options.place})"

    def close(self) -> None:
        """Free idle connections; current calls are given up, later ones answer ``stopped``."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            for exchanges in self._busy:
                exchanges.wake()
        for exchanges in idle:
            exchanges.close()

    def ask(self, request: HttpRequest) -> Answer:
        """Send one request and return its response, whatever it is; never raises because of one."""
        with self._lock:
            if self._is_closed:
                return _stopped(request)
            exchanges = self._idle.pop() if self._idle else Exchanges(self.options, self.credentials, window=1)
            self._busy.add(exchanges)
        try:
            answer = self._perform(exchanges, request)
            if answer.code == Fault.CUT.value and request.method == "GET":
                answer = self._perform(exchanges, request)
            return answer
        finally:
            self._put_back(exchanges)

    def _perform(self, exchanges: Exchanges, request: HttpRequest) -> Answer:
        exchanges.start(None, request)
        while not self._is_closed:
            for _, answer in exchanges.poll(_STEP_S):
                return answer
        exchanges.cancel()
        return _stopped(request)

    def _put_back(self, exchanges: Exchanges) -> None:
        with self._lock:
            self._busy.discard(exchanges)
            if not self._is_closed and len(self._idle) < _MAX_IDLE:
                self._idle.append(exchanges)
                return
        exchanges.close()

    def call(self, request: HttpRequest, action: str) -> dict[str, Any]:
        """Send one request and return the object in its response; `action` begins the message of an error."""
        answer = self.ask(request)
        if answer.body is None:
            raise error_of(answer, action)
        return answer.body

    def version(self) -> str:
        """Return Argo's version, e.g. ``v4.1.2``. Works even with a token that Kubernetes would refuse."""
        body = self.call(HttpRequest("GET", VERSION_PATH), "read Argo's version")
        version = body.get("version")
        if not isinstance(version, str):
            raise error_of(_not_argo("the response has no version"), "read Argo's version")
        return cut(version, _LONGEST_VERSION)

    def check_access(self, namespace: str) -> None:
        """Return if the token may read a workflow, and Kubernetes and its store respond.

        It reads a workflow that cannot exist, because ``version`` and a list succeed even if everything behind is down.
        """
        request = HttpRequest("GET", workflow_path(namespace, _NOBODYS), timeout_s=_ACCESS_TIMEOUT_S)
        answer = self.ask(request)
        if not answer.ok and answer.kind is not AnswerKind.NOT_FOUND:
            raise error_of(answer, f"read workflows in {namespace}")

    def get_workflow(self, namespace: str, name: str, *, with_nodes: bool = False) -> dict[str, Any]:
        """Return one workflow without most of its spec, and without nodes and templates unless `with_nodes`.

        Raises:
            PermanentAnswerError: NOT_FOUND among others; only ``answer.proves_absence`` says that it is gone.
        """
        left_out = (field for field in LEFT_OUT if not (with_nodes and field in _WITH_NODES))
        path = with_query(workflow_path(namespace, name), fields="-" + ",".join(left_out))
        return self.call(HttpRequest("GET", path, expects=name), f"get workflow {namespace}/{name}")

    def list_workflows(self, namespace: str, selector: str = "") -> WorkflowList:
        """Return all workflows of a namespace ("" = all that the token may see) that match a label selector.

        Pages by offset. While workflows start, rows move between pages and one can be skipped. If the resource version
        changed meanwhile, the pages are read again until nothing new is found (at most 3 times; a periodic re-list is
        still needed). The resource version is that of the first page: later changes come again in the watch.

        Raises:
            TransientAnswerError: ``incomplete-list``: a list without ``metadata.resourceVersion`` is not a valid
                response.
        """
        found: dict[str, dict[str, Any]] = {}
        first_version = ""
        for _ in range(_PASSES):
            known = len(found)
            first, last = self._list_once(namespace, selector, found)
            first_version = first_version or first
            if first == last or (known and len(found) == known):
                break
        return WorkflowList(tuple(found.values()), first_version)

    def _list_once(self, namespace: str, selector: str, found: dict[str, dict[str, Any]]) -> tuple[str, str]:
        """Put all pages into `found` by uid; return the resource versions of the first and last page."""
        action = f"list workflows in {namespace or 'all namespaces'}"
        first, offset = "", 0
        seen: set[str] = set()
        while True:
            body = self.call(HttpRequest("GET", workflow_page_path(namespace, selector, offset, LEFT_OUT)), action)
            metadata = body.get("metadata")
            version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
            if metadata is None or not isinstance(version, str) or not version:
                raise error_of(incomplete("the list has no resourceVersion, so it is incomplete"), action)
            first = first or version
            items = body.get("items") or []
            page = {uid: item for item in items if (uid := uid_of(item))}
            found.update(page)
            # A server that does not understand "continue" would return the same page forever.
            is_last = not (metadata.get("continue") or metadata.get("remainingItemCount"))
            if is_last or seen.issuperset(page):
                return first, version
            seen.update(page)
            offset += len(items)


def uid_of(workflow: object) -> str:
    """Return ``metadata.uid``, or ""."""
    return text_at(object_at(workflow, "metadata"), "uid")


def _stopped(request: HttpRequest) -> Answer:
    return failure(Fault.STOPPED, "the bridge is stopping", sent=request.method != "GET")


def _not_argo(message: str) -> Answer:
    return Answer(AnswerKind.MISCONFIGURED, 200, "not-argo", message)
