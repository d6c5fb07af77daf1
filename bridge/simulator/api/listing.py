"""List: selects workflows by a query, sorts them and cuts pages.

Pure functions over workflows; run on the simulator's loop thread.
Source: Argo v4.1 server/utils/list_options.go, server/workflow/store/sqlite_store.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bridge.simulator.api.label_selectors import Predicate, parse_label_selector
from bridge.simulator.http.answers import ApiError, invalid
from bridge.simulator.objects.store import Object
from bridge.simulator.objects.versions import Release

_REQUIREMENT = re.compile(r"^(metadata\.namespace|metadata\.name)(==|!=|=)(.*)$")
_STARTED = re.compile(r"^spec\.startedAt([<>])(.*)$")
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")
_MAX_DIGITS = 20
_MAX_INT64 = 2**63 - 1
_FINISHED = frozenset({"Succeeded", "Failed", "Error"})


def parse_int(params: dict[str, str], name: str) -> int | None:
    """Return an integer query parameter; None if it is not given.

    Raises:
        ApiError: 400 from the gateway.
    """
    text = params.get(name, "")
    if not text:
        return None
    try:
        return max(-_MAX_INT64, min(int(text), _MAX_INT64))
    except ValueError:
        message = f'strconv.ParseInt: parsing "{text}": invalid syntax'
        raise ApiError(3, message, behind_gateway=False) from None


def parse_bool(params: dict[str, str], name: str) -> bool:
    """Return a boolean query parameter, parsed like Go; False if it is not given.

    Raises:
        ApiError: 400 from the gateway.
    """
    text = params.get(name, "")
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("", "0", "f", "F", "FALSE", "false", "False"):
        return False
    raise ApiError(3, f'strconv.ParseBool: parsing "{text}": invalid syntax', behind_gateway=False)


@dataclass(slots=True)
class ListQuery:
    """The parameters of a list.

    Attributes:
        namespace: Empty for all.
        selects: Predicate on labels; None for all.
        tests: Predicates on whole workflows; all must hold.
        limit: Page size; 0 means everything.
        offset: Number of workflows to skip.
        show_remaining: Report how many follow.
    """

    namespace: str
    selects: Predicate | None
    tests: list[Callable[[Object], bool]]
    limit: int
    offset: int
    show_remaining: bool

    def matches(self, workflow: Object) -> bool:
        """Whether a workflow is selected."""
        metadata = workflow["metadata"]
        if self.namespace and metadata["namespace"] != self.namespace:
            return False
        if self.selects is not None and not self.selects(metadata.get("labels", {})):
            return False
        return all(test(workflow) for test in self.tests)

    def page(
        self, workflows: Iterable[Object], release: Release, *, counts_on: bool = False
    ) -> tuple[list[Object], dict[str, Any]]:
        """Cut a page.

        Args:
            workflows: All workflows that a list can see.
            release: Since 4.0, `continue` is only reported if the remaining count is also requested.
            counts_on: There is an archive: `continue` is always reported, even without a limit and without following
                items.

        Returns:
            The page's workflows, and what the list's metadata says about the rest.
        """
        chosen = [workflow for workflow in workflows if self.matches(workflow)]
        chosen.sort(key=lambda w: (_time_of(w, "startedAt"), w["metadata"]["name"]), reverse=True)
        end = self.offset + self.limit if self.limit else len(chosen)
        about: dict[str, Any] = {}
        if self.limit:
            if end < len(chosen) and (release.live_continue or self.show_remaining or counts_on):
                about["continue"] = str(end)
            if self.show_remaining:
                about["remainingItemCount"] = max(0, len(chosen) - end)
        elif counts_on and len(chosen) > self.offset:
            about["continue"] = str(end)
        return _in_page_order(chosen[self.offset : end]), about


def parse_list_query(namespace: str, params: dict[str, str], release: Release) -> ListQuery:
    """Read a list's query parameters.

    Raises:
        ApiError: 400, or 500 for an invalid time.
    """
    limit = parse_int(params, "listOptions.limit") or 0
    query = ListQuery(namespace, parse_label_selector(params.get("listOptions.labelSelector", "")), [], limit, 0, False)
    name_filter = (params.get("nameFilter") or "Exact") if release.minor >= (3, 6) else "Exact"
    for requirement in filter(None, params.get("listOptions.fieldSelector", "").split(",")):
        _add_requirement(query, requirement, release, name_filter)
    token = params.get("listOptions.continue", "")
    if token:
        if not (token.lstrip("-").isdecimal() and len(token) < _MAX_DIGITS and "-" not in token[1:]):
            raise invalid("listOptions.continue must be int")
        query.offset = int(token)
        if query.offset < 0:
            raise invalid("listOptions.continue must >= 0")
    if release.minor >= (3, 7):
        _add_times(query, params)
    return query


def _add_requirement(query: ListQuery, requirement: str, release: Release, name_filter: str) -> None:
    if requirement == "ext.showRemainingItemCount=true":
        query.show_remaining = True
        return
    started = _STARTED.match(requirement)
    if started:
        later, bound = started[1] == ">", _checked_time(started[2])
        query.tests.append(lambda w: (t := _time_of(w, "startedAt")) == bound or (t > bound) == later)
        return
    match = _REQUIREMENT.match(requirement)
    if match is None or (match[2] != "=" and match[1] not in release.all_operators):
        raise invalid(f"unsupported requirement {requirement}")
    key, wanted = match[1].removeprefix("metadata."), match[3]
    wanted_filter = "NotEquals" if match[2] == "!=" else name_filter if key == "name" else "Exact"
    compare = _NAME_FILTERS.get(wanted_filter)
    if compare is not None:  # a filter that the server does not know disables its requirement
        query.tests.append(lambda w: compare(w["metadata"].get(key, ""), wanted))


_NAME_FILTERS: dict[str, Callable[[str, str], bool]] = {
    "Exact": lambda name, wanted: name == wanted,
    "Contains": lambda name, wanted: wanted in name,
    "Prefix": lambda name, wanted: name.startswith(wanted),
    "NotEquals": lambda name, wanted: name != wanted,
}


def _add_times(query: ListQuery, params: dict[str, str]) -> None:
    if params.get("createdAfter"):
        after = _checked_time(params["createdAfter"])
        query.tests.append(lambda w: w["metadata"]["creationTimestamp"] >= after)
    if params.get("finishedBefore"):
        before = _checked_time(params["finishedBefore"])
        query.tests.append(lambda w: _time_of(w, "finishedAt") <= before)


def _checked_time(text: str) -> str:
    """Return a time that Go can parse; an invalid one is a 500, as in the server."""
    if not _TIME.match(text):
        message = f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}" as "2006"'
        raise ApiError(13, message)
    return text


def _time_of(workflow: Object, key: str) -> str:
    """Return a time in a status; an unset one sorts first, like Go's zero time in the database."""
    text: str | None = workflow["status"].get(key)
    return text or ""


def _in_page_order(page: list[Object]) -> list[Object]:
    """Unfinished workflows first, newest first; then finished ones, latest first."""
    running = [w for w in page if w["status"].get("phase") not in _FINISHED]
    finished = [w for w in page if w["status"].get("phase") in _FINISHED]
    running.sort(key=lambda w: w["metadata"]["creationTimestamp"], reverse=True)
    finished.sort(key=lambda w: w["status"].get("finishedAt") or "", reverse=True)
    return running + finished
