"""The reference of operations is what the bridge reads and answers."""

from __future__ import annotations

import orjson
import pytest

from bridge.core.model import Message
from bridge.interface import messages
from bridge.interface.messages import operation_request
from bridge.interface.operations import Operation
from bridge.interface.topics import Request, Topics
from tests.support.documents import blocks

TOPICS = Topics("argo/workflows", "plant-1")
REQUESTS = [block for block in blocks("text") if block.document == "docs/interface.md"]


@pytest.mark.parametrize("line", [line for block in REQUESTS for line in block.text.splitlines()])
def test_every_request_that_is_shown_is_taken(line: str) -> None:
    """Topic and body of each example mean what the text says: they are read without a refusal."""
    topic, _, body = line.partition(" ")
    meaning = TOPICS.parse(topic)
    assert isinstance(meaning, Request)
    assert meaning.operation is not Operation.TRIGGER
    message = Message("plant", topic, body.encode())
    orjson.loads(body)
    operation_request(meaning.operation, message, messages.decode_request(message))
