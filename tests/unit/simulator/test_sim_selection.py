"""Label selectors, `fields`, and list queries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.simulator.api.label_selectors import parse_label_selector
from bridge.simulator.api.listing import parse_list_query
from bridge.simulator.http.answers import ApiError
from bridge.simulator.http.fields import FieldFilter, parse_fields
from bridge.simulator.objects.versions import find_release


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ("a=b", {"a": "b"}, True), ("a==b", {"a": "c"}, False), ("a!=b", {}, True), ("a!=b", {"a": "b"}, False),
        ("a in (b, c)", {"a": "c"}, True), ("a in (b,c)", {}, False), ("a notin (b)", {}, True), ("a", {"a": ""}, True),
        ("a", {}, False), ("!a", {}, True), ("!a", {"a": "1"}, False), ("a=b,c!=d", {"a": "b"}, True),
        ("a=b,c=d", {"a": "b"}, False), ("a=", {"a": ""}, True), ("x.y/z=1", {"x.y/z": "1"}, True),
        ("a gt 3", {"a": "4"}, True), ("a lt 3", {"a": "4"}, False), ("a gt 3", {"a": "x"}, False),
    ],
)  # fmt: skip
def test_selectors_select_as_kube_does(selector: str, labels: dict[str, str], selected: bool) -> None:
    """Each operator of the grammar."""
    predicate = parse_label_selector(selector)
    assert predicate is not None
    assert predicate(labels) == selected


@pytest.mark.parametrize("selector", ["a b c", "=b", "a in b", "a in (b", ",", "a=b c"])
def test_bad_selectors_are_a_400(selector: str) -> None:
    """A selector outside the grammar is refused."""
    with pytest.raises(ApiError, match="unable to parse requirement"):
        parse_label_selector(selector)


def selected_or_status(selector: str) -> bool | int | None:
    """What becomes of a text: it selects or not, is no selector at all, or is refused with a status."""
    try:
        predicate = parse_label_selector(selector)
    except ApiError as error:
        return error.status
    return None if predicate is None else predicate({"a": "b"})


@given(st.text(max_size=30))
def test_no_selector_breaks_the_parser(selector: str) -> None:
    """Any text is a selector or a 400."""
    assert selected_or_status(selector) in (True, False, None, 400)


OBJECT = {"metadata": {"name": "n", "uid": "u"}, "items": [{"spec": {"a": 1, "b": 2}}, {"spec": {"a": 3}}]}


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ("metadata.name", {"metadata": {"name": "n"}}),
        ("items.spec.a", {"items": [{"spec": {"a": 1}}, {"spec": {"a": 3}}]}),
        ("metadata,metadata.name", {"metadata": {"name": "n", "uid": "u"}}),
        ("nope", {}),
        ("-items,metadata.uid", {"metadata": {"name": "n"}}),
        ("-items.spec.a", {**OBJECT, "items": [{"spec": {"b": 2}}, {"spec": {}}]}),
    ],
)
def test_fields_include_or_exclude_paths(fields: str, left: object) -> None:
    """A list of paths keeps what is below them; a leading `-` turns the whole list around; arrays are transparent."""
    assert FieldFilter(fields).apply(OBJECT) == left


def test_fields_leave_the_object_alone() -> None:
    """Cutting copies: watchers share what is cut."""
    before = repr(OBJECT)
    FieldFilter("-metadata.name,items.spec").apply(OBJECT)
    FieldFilter("metadata.name").apply(OBJECT)
    assert repr(OBJECT) == before
    assert parse_fields("") is None


def workflow(name: str, started: str, finished: str | None = None) -> dict[str, object]:
    """A workflow as a list sees it."""
    status = {"startedAt": started, "finishedAt": finished, "phase": "Succeeded" if finished else "Running"}
    return {"metadata": {"name": name, "namespace": "argo", "creationTimestamp": started}, "status": status}


HOUR = "2026-01-01T{:02}:00:00Z"
SOME = [
    workflow("old", HOUR.format(1), HOUR.format(9)),
    workflow("mid", HOUR.format(2), HOUR.format(3)),
    workflow("new", HOUR.format(3)),
]


WAITING = {**workflow("unborn", HOUR.format(4)), "status": {"startedAt": None, "finishedAt": None}}


def names(version: str, *, waiting: bool = False, **params: str) -> tuple[list[str], dict[str, object]]:
    """Names on a page, and what its metadata says; `waiting`: there is one more, which nothing has started yet."""
    release = find_release(version)
    page, about = parse_list_query("argo", params, release).page([*SOME, WAITING] if waiting else SOME, release)
    return [item["metadata"]["name"] for item in page], about


def test_a_page_shows_running_ones_first_then_the_latest_ends() -> None:
    """The order of a whole list."""
    assert names("4.1") == (["new", "old", "mid"], {})


def test_continue_is_an_offset_and_4x_hides_it() -> None:
    """3.x tells `continue`; since 4.0 only together with the remaining count."""
    page = {"listOptions.limit": "2"}
    assert names("3.7", **page) == (["new", "mid"], {"continue": "2"})
    assert names("4.0", **page) == (["new", "mid"], {})
    shown = {**page, "listOptions.fieldSelector": "ext.showRemainingItemCount=true"}
    assert names("4.0", **shown) == (["new", "mid"], {"continue": "2", "remainingItemCount": 1})
    assert names("4.0", **shown, **{"listOptions.continue": "2"}) == (["old"], {"remainingItemCount": 0})


def test_field_selectors_are_argos_own() -> None:
    """Names, with the operators that the release knows, and the time of the start."""
    key = "listOptions.fieldSelector"
    assert names("3.5", **{key: "metadata.name=mid"})[0] == ["mid"]
    assert names("4.0", **{key: "metadata.name!=mid"})[0] == ["new", "old"]
    assert names("4.1", **{key: f"spec.startedAt>{HOUR.format(2)}"})[0] == ["new", "mid"]
    assert names("4.1", **{key: f"spec.startedAt<{HOUR.format(2)}"})[0] == ["old", "mid"]
    with pytest.raises(ApiError, match=r"unsupported requirement metadata\.name!=mid"):
        names("3.7", **{key: "metadata.name!=mid"})
    with pytest.raises(ApiError, match=r"unsupported requirement status\.phase=Failed"):
        names("4.1", **{key: "status.phase=Failed"})


def test_a_name_filter_says_how_names_are_compared() -> None:
    """Since 3.6; one that is unknown takes the requirement away, an empty one is none, and `!=` needs none."""
    name = {"listOptions.fieldSelector": "metadata.name=i"}
    assert names("3.6", nameFilter="Contains", **name)[0] == ["mid"]
    assert names("3.6", nameFilter="Prefix", **name)[0] == []
    assert names("3.6", nameFilter="", **name)[0] == []
    assert names("3.6", nameFilter="nope", **name)[0] == ["new", "old", "mid"]
    assert names("3.5", nameFilter="Contains", **name)[0] == []
    other = {"listOptions.fieldSelector": "metadata.name!=mid"}
    assert names("4.1", nameFilter="nope", **other)[0] == ["new", "old"]


def test_what_has_not_happened_yet_was_long_ago() -> None:
    """A time that is not set counts as before all others: in requirements, and in the order that pages cut."""
    key = "listOptions.fieldSelector"
    assert names("4.1", waiting=True, **{key: f"spec.startedAt<{HOUR.format(1)}"})[0] == ["unborn", "old"]
    assert names("4.1", waiting=True, **{key: f"spec.startedAt>{HOUR.format(3)}"})[0] == ["new"]
    assert names("3.7", finishedBefore=HOUR.format(3))[0] == ["new", "mid"]
    assert names("3.6", finishedBefore=HOUR.format(3))[0] == ["new", "old", "mid"]
    assert names("3.7", createdAfter=HOUR.format(2))[0] == ["new", "mid"]
    assert names("3.7", waiting=True, **{"listOptions.limit": "3"})[0] == ["new", "old", "mid"]


@pytest.mark.parametrize("parameter", ["createdAfter", "finishedBefore", "<", ">"])
def test_a_time_that_is_none_is_a_500(parameter: str) -> None:
    """With the words of Go's parser: the server takes it for its own mistake."""
    params = {"listOptions.fieldSelector": f"spec.startedAt{parameter}x"} if parameter in "<>" else {parameter: "x"}
    with pytest.raises(ApiError, match=r'^parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse') as error:
        names("4.1", **params)
    assert error.value.status == 500


def test_bad_numbers_are_refused_by_the_gateway() -> None:
    """A limit that is no number is told as Go's strconv tells it; a continue has its own text."""
    with pytest.raises(ApiError, match=r'strconv\.ParseInt: parsing "x": invalid syntax'):
        names("4.1", **{"listOptions.limit": "x"})
    with pytest.raises(ApiError, match=r"listOptions\.continue must >= 0"):
        names("4.1", **{"listOptions.continue": "-1"})
