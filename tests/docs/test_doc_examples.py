"""Every example of the documents is what the program takes, or what it sends."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest

from bridge.configfile.problems import Problems
from bridge.configfile.source import read_bytes
from bridge.core.errors import PermanentError
from bridge.core.model import Message, ReplyAddress
from bridge.interface import messages, replies
from bridge.interface.replies import Refusal
from bridge.settings.configuration import load
from bridge.validation.library import SchemaLibrary
from tests.support.documents import ROOT, Block, blocks

YAML = blocks("yaml")
JSON = blocks("json")
# Examples name files of a machine that is not this one, and show one thing at a time, so that most have no login.
_ELSEWHERE = {"unreadable-file", "no-files", "insecure"}


def problems_of(path: Path) -> list[str]:
    return [problem.render() for problem in load(path, {}).problems if problem.code not in _ELSEWHERE]


def test_there_are_examples() -> None:
    """The search finds what it is for."""
    assert len([block for block in YAML if block.text.startswith("mappings:")]) >= 5
    assert len([block for block in YAML if "connections:" in block.text]) >= 2
    assert len(JSON) >= 5


@pytest.mark.parametrize("block", YAML, ids=str)
def test_yaml_is_taken(block: Block, tmp_path: Path) -> None:
    """Mappings and configurations pass the loader without a problem; anything else is sound YAML."""
    problems = Problems()
    assert read_bytes(block.text.encode(), str(block), problems) is not None
    assert problems.in_order() == []
    if "connections:" in block.text:
        (tmp_path / "bridge.yaml").write_text(block.text)
    elif block.text.startswith("mappings:"):
        (tmp_path / "mappings.yaml").write_text(block.text)
        (tmp_path / "bridge.yaml").write_text(
            "bridge: {id: plant-1, data-dir: data}\n"
            'connections: {plant: {mqtt: {url: "mqtt://localhost"}}}\n'
            'argo: {url: "http://localhost:2746", namespaces: [factory]}\nmappings: [mappings.yaml]\n'
        )
    else:
        return
    assert problems_of(tmp_path / "bridge.yaml") == []


@pytest.mark.parametrize("name", ["config/bridge.yaml", "config/rabbitmq/bridge.yaml", "deploy/compose/bridge.yaml"])
def test_example_files_are_taken(name: str) -> None:
    """The configurations of the repository have no problem."""
    assert problems_of(ROOT / name) == []


@pytest.mark.parametrize("block", JSON, ids=str)
def test_json_is_json(block: Block) -> None:
    """Every JSON example can be read."""
    json.loads(block.text)


@pytest.mark.parametrize(
    "block", [block for block in JSON if '"submit"' in block.text or '"spec"' in block.text], ids=str
)
def test_trigger_messages_are_taken(block: Block) -> None:
    """What the reference shows as a trigger message is one, and its workflow is valid."""
    message = Message("plant", "argo/workflows/trigger", block.text.encode())
    trigger = messages.trigger_message(message, messages.decode_request(message))
    assert trigger.namespace
    if trigger.workflow is not None:
        library = SchemaLibrary()
        assert library.validator(library.newest).check(dict(trigger.workflow)) is None


def test_the_replies_are_those_that_are_sent() -> None:
    """Both examples of the interface reference, to the letter of their keys and texts."""
    shown = [json.loads(block.text) for block in JSON if block.document == "docs/interface.md"]
    address = ReplyAddress("plant", "here")
    assert orjson.loads(replies.triggered(address, "example-workflow").payload) in shown
    error = typo()
    refused = replies.refused(address, Refusal(error.code, error.message, error.details))
    assert orjson.loads(refused.payload) in shown


def typo() -> PermanentError:
    container = {"image": "example/image"}
    spec = {"entrypont": "main", "templates": [{"name": "main", "container": container}]}
    library = SchemaLibrary()
    error = library.validator("4.1.2").check({"metadata": {"name": "example-workflow"}, "spec": spec})
    assert error is not None
    return error
