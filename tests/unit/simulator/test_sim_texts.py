"""Small languages of the API: node field selectors, cron schedules, routes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.simulator.api.node_selectors import parse_node_selector
from bridge.simulator.http.answers import ApiError
from bridge.simulator.http.routing import Router
from bridge.simulator.objects.cron_schedules import fault_in

NODE: dict[str, Any] = {
    "id": "w-1",
    "name": "w[0].ask",
    "displayName": "ask",
    "type": "Suspend",
    "templateName": "wait",
    "phase": "Running",
    "inputs": {"parameters": [{"name": "who", "value": "bo"}]},
}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("displayName=ask", True), ("displayName==ask", True), ("displayName!=ask", False), ("id=w-1", True),
        ("name=w[0].ask,phase=Running", True), ("name=w[0].ask,phase=Failed", False), ("templateName=wait", True),
        ("inputs.parameters.who.value=bo", True), ("inputs.parameters.who.value=al", False), ("nope=", True),
        ("nope=x", False), ("templateRef.name=", True), ("", True),
    ],
)  # fmt: skip
def test_selectors_find_nodes_by_their_fields(selector: str, matches: bool) -> None:
    """Each field and operator; a field that a node lacks is an empty string."""
    assert parse_node_selector(selector)(NODE) == matches


def matched_or_status(text: str) -> bool | int:
    """What becomes of a text."""
    try:
        return parse_node_selector(text)(NODE)
    except ApiError as error:
        return error.status


@given(st.text(max_size=30))
def test_no_selector_breaks_the_parser(text: str) -> None:
    """Any text is a selector, or a 500 as the server passes it on."""
    assert matched_or_status(text) in (True, False, 500)


@pytest.mark.parametrize("schedule", ["0 0 1 1 *", "*/5 * * * mon-fri", "@daily", "@every 1h30m", "TZ=UTC 0 6 * jan ?"])
def test_good_schedules(schedule: str) -> None:
    """Five fields with ranges, steps and names, descriptors, and a time zone before them."""
    assert fault_in(schedule) == ""


@pytest.mark.parametrize(
    ("schedule", "fault"),
    [
        ("", "empty spec string"),
        ("nope", "expected exactly 5 fields, found 1: [nope]"),
        ("@nope", "unrecognized descriptor: @nope"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
    ],
)
def test_bad_schedules(schedule: str, fault: str) -> None:
    """Each is told in the words of Argo's cron library."""
    assert fault_in(schedule) == fault


@given(st.text(max_size=30))
def test_no_schedule_breaks_the_parser(text: str) -> None:
    """Any text is a schedule or has a fault that can be told."""
    assert isinstance(fault_in(text), str)


def test_routes_are_found_by_method_and_path() -> None:
    """A literal segment before a free one, the free ones as arguments, and nothing for another method or length."""
    router = Router()
    router.add("GET", "things/lint", "lint".upper)
    router.add("GET", "things/{}", "one".upper)
    router.add("PUT", "things/{}/stop", "stop".upper)
    found = router.find("GET", "things/lint")
    assert found is not None
    assert (found[0](), found[1]) == ("LINT", [])
    found = router.find("GET", "things/a")
    assert found is not None
    assert (found[0](), found[1]) == ("ONE", ["a"])
    assert router.find("PUT", "things/a/halt") is None
    assert router.find("PUT", "things/a") is None
