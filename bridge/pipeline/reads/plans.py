"""How one request that reads gets to its reply: the next request to Argo, and what its answers mean. No I/O.

Thread: ``reads`` alone. A plan lives as long as its request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from bridge.argo import operation_reads as calls
from bridge.argo.errors import Answer, AnswerKind
from bridge.argo.handles import HttpRequest
from bridge.argo.marks import MAPPING_ANNOTATION, annotation_of
from bridge.interface import operation_bodies as bodies
from bridge.interface.loose_json import object_at, text_at
from bridge.interface.operation_bodies import Object
from bridge.interface.operations import Operation
from bridge.interface.replies import INVALID_WORKFLOW, Refusal
from bridge.pipeline.dispatch.outcomes import refusal_of
from bridge.pipeline.intake.operations import ReadRequest

LIMIT_S = 6.0
"""From a request's arrival to its reply, so that a reply needs less than 8 s even where Argo answers nothing."""

# A `continue` names the last item: creation time, name and uid.
_CONTINUE_ROOM = 512
_LINT_FAILED = 2

Keys = Mapping[str, Any]
"""The keys of a success reply beside ``status`` and ``requestId``."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A success reply.

    Attributes:
        keys: its keys, for so many bytes of room.
    """

    keys: Callable[[int], Keys]


Result = Answered | Refusal


class ReadPlan:
    """The way of one request that is answered once.

    Attributes:
        read: what was asked.
    """

    def __init__(self, read: ReadRequest) -> None:
        self.read = read

    @property
    def is_stream(self) -> bool:
        """Whether the answer to `request` is a stream, whose pieces are `heard`."""
        return False

    @property
    def limit_s(self) -> float:
        """Seconds from the request's arrival to its last reply."""
        return LIMIT_S

    @property
    def is_over_bound(self) -> bool:
        """Whether it was told as much as one request may be."""
        return False

    def request(self) -> HttpRequest:
        """Return the next request.

        Raises:
            PermanentError: it cannot be asked.
        """
        raise NotImplementedError

    def answered(self, answer: Answer) -> Result | None:
        """Return what came of the answer to `request`; None: there is another `request`."""
        if not answer.ok:
            return self._failed(answer)
        return self._ok(answer)

    def heard(self, piece: bytes) -> None:
        """Take a piece of a stream, as it comes."""

    def packets(self, now_s: float, room: int) -> Iterator[Keys]:  # noqa: ARG002 - only streams have any
        """Yield the replies that are due before the last one, each for `room` bytes."""
        return iter(())

    def rest(self, room: int) -> Iterator[Keys]:  # noqa: ARG002 - as above
        """Yield what was heard and not told, before the last reply."""
        return iter(())

    def cut_short(self, refusal: Refusal) -> Result:
        """Return the last reply where time is up or the bridge stops, which `refusal` says."""
        return refusal

    def _failed(self, answer: Answer) -> Result:
        return refusal_of(answer)

    def _ok(self, answer: Answer) -> Result | None:
        raise NotImplementedError


class _Get(ReadPlan):
    def request(self) -> HttpRequest:
        return calls.whole_workflow(self.read.namespace, self.read.name)

    def _ok(self, answer: Answer) -> Result:
        workflow = answer.body or {}
        wanted, uid = self.read.options.get("uid"), text_at(object_at(workflow, "metadata"), "uid")
        if wanted and wanted != uid:
            return Refusal("workflow-not-found", f'the workflow "{self.read.name}" has a different uid: {uid}')
        return Answered(lambda room: self._keys(workflow, room))

    def _keys(self, workflow: Object, room: int) -> Keys:
        keys = {
            "workflowId": self.read.name,
            "workflow": {},
            "workflowStatus": bodies.workflow_status(workflow, bodies.MAX_MESSAGE),
        }
        fields = self.read.options.get("fields")
        shown = bodies.selected(workflow, fields) if isinstance(fields, str) else workflow
        fit = bodies.trimmed(bodies.without(shown, "metadata.managedFields"), room - _size(keys))
        return keys | {"workflow": fit.value} | fit.details


class _GetTemplate(ReadPlan):
    def request(self) -> HttpRequest:
        cluster = bool(self.read.options.get("cluster"))
        return calls.one_template(self.read.namespace, self.read.name, cluster=cluster)

    def _ok(self, answer: Answer) -> Result:
        template = bodies.without(answer.body or {}, "metadata.managedFields")
        return Answered(lambda room: self._keys(template, room))

    def _keys(self, template: Object, room: int) -> Keys:
        keys: dict[str, Any] = {"template": self.read.name, "manifest": {}}
        fit = bodies.trimmed(template, room - _size(keys))
        return keys | {"manifest": fit.value} | fit.details


class _Lint(ReadPlan):
    def request(self) -> HttpRequest:
        return calls.lint(self.read.namespace, object_at(self.read.options, "workflow"))

    def _ok(self, answer: Answer) -> Result:  # noqa: ARG002 - that it came is all that there is to tell
        return Answered(lambda _room: {})

    def _failed(self, answer: Answer) -> Result:
        # What a lint finds has 500 and code 2, as nothing else has (docs/design/argo-server.md, Errors).
        if (answer.status, answer.grpc_code) == (500, _LINT_FAILED) or answer.kind is AnswerKind.INVALID:
            return Refusal("invalid-workflow", f"{INVALID_WORKFLOW}: {answer.message}")
        return super()._failed(answer)


class _Paged(ReadPlan):
    """Reads a whole list, and tells the page of it that was asked for.

    The order is one that never changes for an item, and a page begins behind an item, not at a number: whatever comes
    and goes between two pages, no item is passed over or told twice.
    """

    items_key = ""
    is_newest_first = False

    def __init__(self, read: ReadRequest, pages: calls.Pages) -> None:
        super().__init__(read)
        text = read.options.get("continue")
        self._after = bodies.place_of(text) if isinstance(text, str) else ()
        self._pages = pages

    def request(self) -> HttpRequest:
        request = self._pages.request()
        if request is None:
            raise AssertionError("no such page: it is after the last one")
        return request

    def _ok(self, answer: Answer) -> Result | None:
        taken = self._pages.took(answer)
        if not taken.ok:
            return self._failed(taken)
        return None if self._pages.request() is not None else Answered(self._keys)

    def _keys(self, room: int) -> Keys:
        found = self._behind()
        limit = self.read.options["limit"]
        page = [self._told(item) for _, item in (found[:limit] if isinstance(limit, int) else found)]
        space = room - _size({self.items_key: [], "details": {"truncated": True}}) - _CONTINUE_ROOM
        # One at least, or nobody would ever get behind it.
        fit = min(len(page), max(1, bodies.fitting(page, space)))
        keys: dict[str, Any] = {self.items_key: page[:fit]}
        if fit < len(found):
            keys["continue"] = bodies.continue_behind(found[fit - 1][0])
        return keys | ({"details": {"truncated": True}} if fit < len(page) else {})

    def _behind(self) -> list[tuple[tuple[str, ...], Object]]:
        """Return the wanted items behind where the page before ended, in order, each with its place."""
        wanted: list[tuple[tuple[str, ...], Object]]
        wanted = [(self._place(item), item) for item in self._pages.items.values() if self._is_wanted(item)]
        wanted.sort(key=lambda entry: entry[0], reverse=self.is_newest_first)
        if not self._after:
            return wanted
        if self.is_newest_first:
            return [entry for entry in wanted if entry[0] < self._after]
        return [entry for entry in wanted if entry[0] > self._after]

    def _place(self, item: Object) -> tuple[str, ...]:
        raise NotImplementedError

    def _is_wanted(self, item: Object) -> bool:
        prefix = self.read.options.get("prefix")
        return not isinstance(prefix, str) or text_at(object_at(item, "metadata"), "name").startswith(prefix)

    def _told(self, item: Object) -> dict[str, Any]:
        raise NotImplementedError


class _List(_Paged):
    items_key = "workflows"
    is_newest_first = True

    def __init__(self, read: ReadRequest) -> None:
        super().__init__(read, calls.WorkflowPages(read.namespace, _selector(read)))

    def _place(self, item: Object) -> tuple[str, ...]:
        metadata = object_at(item, "metadata")
        return tuple(text_at(metadata, key) for key in ("creationTimestamp", "name", "uid"))

    def _is_wanted(self, item: Object) -> bool:
        options = self.read.options
        phases = options.get("phase")
        if isinstance(phases, list) and bodies.workflow_status(item)["status"] not in phases:
            return False
        created = _seconds(text_at(object_at(item, "metadata"), "creationTimestamp"))
        finished = _seconds(text_at(object_at(item, "status"), "finishedAt"))
        after, before = options.get("createdAfter"), options.get("finishedBefore")
        if isinstance(after, float) and not (created is not None and created > after):
            return False
        if isinstance(before, float) and not (finished is not None and finished < before):
            return False
        return super()._is_wanted(item)

    def _told(self, item: Object) -> dict[str, Any]:
        return bodies.listed_workflow(item, annotation_of(item, MAPPING_ANNOTATION))


class _ListTemplates(_Paged):
    items_key = "templates"

    def __init__(self, read: ReadRequest) -> None:
        cluster = bool(read.options.get("cluster"))
        super().__init__(read, calls.TemplatePages(read.namespace, _selector(read), cluster=cluster))

    def _place(self, item: Object) -> tuple[str, ...]:
        return (text_at(object_at(item, "metadata"), "name"),)

    def _told(self, item: Object) -> dict[str, Any]:
        return bodies.listed_template(item)


def _selector(read: ReadRequest) -> str:
    return str(read.options.get("labels") or "")


def _seconds(text: str) -> float | None:
    """Return a time of Argo's as seconds since 1970, None where there is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _size(keys: Keys) -> int:
    return len(orjson.dumps(keys))


PLANS: dict[Operation, Callable[[ReadRequest], ReadPlan]] = {
    Operation.GET: _Get,
    Operation.LIST: _List,
    Operation.LINT: _Lint,
    Operation.LIST_TEMPLATES: _ListTemplates,
    Operation.GET_TEMPLATE: _GetTemplate,
}
"""Plans of the operations that are answered once; those of ``logs`` are in `log_reads`."""
