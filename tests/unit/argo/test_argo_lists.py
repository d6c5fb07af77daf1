"""Lists of workflows over several pages, from a server made of Python lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bridge.argo.client import ArgoClient
from bridge.argo.errors import Answer, AnswerKind, TransientAnswerError
from bridge.argo.handles import HttpRequest
from tests.support.argo_options import argo_at

PAGE = 500


class Mirror:
    """Answers lists from `rows`; `between` may change them after each page."""

    def __init__(self, count: int, between: Callable[[Mirror], None] = lambda mirror: None) -> None:
        self.rows = [{"metadata": {"name": f"n{number}", "uid": f"u{number}"}} for number in range(count)]
        self.version = 1
        self.asked: list[int] = []
        self._between = between

    def ask(self, request: HttpRequest) -> Answer:
        query = {key: values[0] for key, values in parse_qs(urlsplit(request.path).query).items()}
        assert query["listOptions.fieldSelector"] == "ext.showRemainingItemCount=true"
        offset, limit = int(query.get("listOptions.continue", "0")), int(query["listOptions.limit"])
        self.asked.append(offset)
        rest = len(self.rows) - offset - limit
        metadata: dict[str, Any] = {"resourceVersion": str(self.version)}
        metadata |= {"continue": str(offset + limit), "remainingItemCount": rest} if rest > 0 else {}
        body = {"metadata": metadata, "items": self.rows[offset : offset + limit] or None}
        self._between(self)
        return Answer(AnswerKind.OK, 200, "ok", body=body)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Mirror], ArgoClient]]:
    made = ArgoClient(argo_at("http://argo.invalid"))

    def of(mirror: Mirror) -> ArgoClient:
        monkeypatch.setattr(made, "ask", mirror.ask)
        return made

    yield of
    made.close()


def move_last_to_front(mirror: Mirror) -> None:
    """What a workflow's start does: it is ordered anew, and a row slips from the next page to one already read."""
    mirror.rows.insert(0, mirror.rows.pop())
    mirror.version += 1


@pytest.mark.parametrize("count", [0, 1, PAGE, PAGE + 1, 3 * PAGE])
def test_every_row_is_returned_once(client, count):
    """Empty, one page, exactly a page, several; in one pass while nothing changes."""
    mirror = Mirror(count)
    found = client(mirror).list_workflows("ns")
    assert {item["metadata"]["uid"] for item in found.items} == {f"u{number}" for number in range(count)}
    assert len(found.items) == count
    assert mirror.asked == list(range(0, max(count, 1), PAGE))


def test_a_row_that_slipped_between_pages_is_found(client):
    """Rows move while it reads: it reads again, and a watch from the first page's version misses nothing."""

    def move_twice(mirror: Mirror) -> None:
        if mirror.version <= 2:
            move_last_to_front(mirror)

    mirror = Mirror(3 * PAGE, move_twice)
    found = client(mirror).list_workflows("ns")
    assert len(found.items) == 3 * PAGE
    assert found.resource_version == "1"


def test_it_ends_though_everything_always_moves(client):
    """Three passes at most."""
    mirror = Mirror(4 * PAGE, move_last_to_front)
    client(mirror).list_workflows("ns")
    assert mirror.asked.count(0) <= 3


def test_a_server_that_ignores_continue_does_not_hold_it_for_ever(client):
    """The same page again is the end."""
    mirror = Mirror(2 * PAGE)
    whole = mirror.ask

    def first_page_always(request: HttpRequest) -> Answer:
        return whole(HttpRequest("GET", request.path.replace("listOptions.continue", "ignored")))

    mirror.ask = first_page_always  # type: ignore[method-assign]  # a fake's own method
    assert len(client(mirror).list_workflows("ns").items) == PAGE


@pytest.mark.parametrize("metadata", [None, {}, {"resourceVersion": ""}, {"resourceVersion": 7}, "x"])
def test_a_list_without_version_is_no_answer(client, metadata):
    """It is an error, never an empty list."""
    mirror = Mirror(0)
    mirror.ask = lambda _: Answer(AnswerKind.OK, 200, "ok", body={"metadata": metadata, "items": None})  # type: ignore[method-assign]  # as above
    with pytest.raises(TransientAnswerError) as raised:
        client(mirror).list_workflows("ns")
    assert raised.value.code == "incomplete-list"


def test_items_that_are_no_workflows_are_left_out(client):
    """Shells without a uid cannot be followed."""
    items = [None, 7, {}, {"metadata": None}, {"metadata": {"uid": 1}}, {"metadata": {"uid": "u"}}]
    mirror = Mirror(0)
    body = {"metadata": {"resourceVersion": "1"}, "items": items}
    mirror.ask = lambda _: Answer(AnswerKind.OK, 200, "ok", body=body)  # type: ignore[method-assign]  # as above
    assert client(mirror).list_workflows("ns").items == ({"metadata": {"uid": "u"}},)
