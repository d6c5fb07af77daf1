"""The lines that simulated containers print, and which of them a query takes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_world import World, one, steps

from bridge.simulator.http.answers import ApiError
from bridge.simulator.objects.pod_logs import LogQuery, compile_grep, lines_of


def printed(spec: dict[str, Any], **query: Any) -> list[str]:
    """What a workflow's pods print by its end."""
    world = World()
    world.create(spec)
    world.run(20)
    return [line.content for line in lines_of(world.store.get("argo", "w") or {}, LogQuery(**query))]


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ({"container": {"command": ["echo"], "args": ["hello", "{{workflow.parameters.who}}"]}}, ["hello bo"]),
        ({"container": {"command": ["sh", "-c"], "args": ["echo a; sleep 1 && echo 'b c'"]}}, ["a", "b c"]),
        ({"container": {"image": "x", "args": ["serve"]}}, ["simulated output of c"]),
        ({"script": {"image": "x", "source": 'set -e\necho "one"\necho two'}}, ["one", "two"]),
        ({"suspend": {"duration": "1s"}}, []),
    ],
)  # fmt: skip
def test_containers_print_what_they_echo(body: dict[str, Any], lines: list[str]) -> None:
    """An echo in a command, a shell or a script is a line; without one there is one made line; a suspend has no pod."""
    arguments = {"parameters": [{"name": "who", "value": "bo"}]}
    assert printed(one({"name": "c", **body}, arguments=arguments)) == lines


SCRIPT = {"name": "c", "script": {"image": "x", "source": "echo red\necho green\necho blue"}}


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ({"tail_lines": 2}, ["green", "blue"]),
        ({"tail_lines": 0}, []),
        ({"grep": re.compile("e$|b")}, ["blue"]),
        ({"tail_lines": 2, "grep": re.compile("red")}, []),
        ({"limit_bytes": 6}, ["red", "gr"]),
        ({"container": "wait"}, []),
        ({"container": "main"}, ["red", "green", "blue"]),
        ({"previous": True}, []),
        ({"pod": "another"}, []),
        ({"pod": "w"}, ["red", "green", "blue"]),
    ],
)
def test_a_query_takes_its_lines(query: dict[str, Any], lines: list[str]) -> None:
    """The last ones, those that match, the first bytes, one pod's, one container's."""
    assert printed(one(SCRIPT), **query) == lines


def test_lines_can_have_their_time() -> None:
    """As kube writes it, before the line."""
    assert printed(one(SCRIPT), timestamps=True)[0] == "1970-01-12T13:46:40.000000000Z red"


def test_pods_are_told_apart() -> None:
    """Each line names its pod: workflow, template and the node's hash; those of a step that began first come first."""
    world = World()
    world.create(steps([{"name": "a"}], [{"name": "b1"}, {"name": "b2"}]))
    world.run(20)
    workflow = world.store.get("argo", "w") or {}
    pods = [line.pod for line in lines_of(workflow, LogQuery())]
    assert pods[0] == "w-c-" + world.node("a")["id"].removeprefix("w-")
    assert sorted(pods[1:]) == sorted("w-c-" + world.node(name)["id"].removeprefix("w-") for name in ("b1", "b2"))


def compiled_or_status(text: str) -> str | int | None:
    """What becomes of a text."""
    try:
        return None if compile_grep(text) is None else "expression"
    except ApiError as error:
        return error.status


@given(st.text(max_size=20))
def test_no_expression_breaks_grep(text: str) -> None:
    """Any text is an expression, nothing at all, or a refusal."""
    assert compiled_or_status(text) in ((None,) if text == "" else ("expression", 500))
