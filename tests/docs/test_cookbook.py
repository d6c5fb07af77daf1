"""The recipes of the cookbook, and examples elsewhere, do what their `tests` say."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.core.model import Message, MessageProperties
from bridge.mapping.compiled import Fired, Quiet
from bridge.mapping.definition import MappingDefinition
from bridge.mapping.mapping_set import MappingSet
from bridge.settings.configuration import load
from tests.support.descriptors import descriptor_set, reading
from tests.support.documents import blocks

RECIPES = [block for block in blocks("yaml") if block.document == "docs/cookbook.md" or "\n    tests:" in block.text]
BRIDGE = """\
bridge: {id: plant-1, data-dir: data}
connections: {plant: {mqtt: {url: "mqtt://localhost"}}}
argo: {url: "http://localhost:2746", namespaces: [factory]}
mappings: [recipe.yaml]
"""


@pytest.mark.parametrize("block", RECIPES, ids=str)
def test_a_recipe_does_what_its_tests_say(block, tmp_path: Path):
    """Each mapping has a message that starts a workflow with these parameters, and one that starts none."""
    (tmp_path / "recipe.yaml").write_text(block.text)
    (tmp_path / "plant.desc").write_bytes(descriptor_set(reading()))
    (tmp_path / "bridge.yaml").write_text(BRIDGE)
    loaded = load(tmp_path / "bridge.yaml", {})
    assert loaded.ok, [problem.render() for problem in loaded.problems]
    for definition in loaded.mappings:
        expected = [one["expect"] for one in definition.tests]
        assert "none" in expected
        assert any(isinstance(one, dict) for one in expected)
        assert list(outcomes(loaded.compiled, definition)) == expected


def test_there_are_recipes():
    """The search finds them."""
    assert len(RECIPES) >= 7


def message_of(given: dict[str, Any]) -> Message:
    payload = given.get("payload")
    if "payload-base64" in given:
        raw = base64.b64decode(given["payload-base64"], validate=True)
    else:
        raw = payload.encode() if isinstance(payload, str) else orjson.dumps(payload)
    user = tuple(given.get("headers", {}).items())
    return Message(
        "plant",
        given["topic"],
        raw,
        properties=MessageProperties(content_type=given.get("content-type", ""), user=user),
    )


def outcomes(mappings: MappingSet, definition: MappingDefinition) -> Iterator[Any]:
    for test in definition.tests:
        topic = test["given"]["topic"]
        (match,) = [match for match in mappings.route("plant", topic) if match.mapping.name == definition.name]
        outcome = match.mapping.evaluate(message_of(test["given"]), match.captures, 0.0)
        if isinstance(outcome, Fired):
            yield {"parameters": dict(outcome.order.parameters)}
        else:
            # A condition that cannot be decided is no "none": it would be counted and logged as an error.
            assert isinstance(outcome, Quiet), outcome
            assert outcome.cause == "when-false", outcome
            yield "none"
