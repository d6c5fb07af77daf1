"""Holds what a bridge said against the JSON Schemas of the interface."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson

from bridge.interface.status_updates import is_from_bridge

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas" / "interface"
PREFIX = "argo/workflows/"
_TOLD = {"dead-letter": "dead-letter", "status": "status", "report": "report"}


def schema_of(topic: str) -> str:
    """The name of the schema of what a bridge publishes on `topic`, "" where it publishes nothing."""
    if topic.startswith("argo/bridge/"):
        name = topic.rpartition("/")[2]
        return "" if name == "probe" else name  # the bridge's own: it hears it itself
    levels = topic.removeprefix(PREFIX).split("/")
    if not topic.startswith(PREFIX):
        return ""
    if levels[0] == "response" and len(levels) == 2:
        return "status-update.reply" if levels[1] == "status" else f"{levels[1]}.reply"
    return _TOLD.get(levels[0], "")


@functools.cache
def validator(name: str) -> Any:
    """The validator of one schema file."""
    return jsonschema_rs.validator_for(orjson.loads((SCHEMAS / f"{name}.json").read_bytes()), validate_formats=True)


def misfits(messages: Iterable[tuple[str, bytes]]) -> Iterator[str]:
    """Yield what is wrong with messages of a bridge, each as topic and payload; those to a bridge are passed over."""
    for topic, payload in messages:
        name = schema_of(topic)
        if not name or not payload:
            continue
        if topic == f"{PREFIX}status" and not is_from_bridge(payload):
            continue  # another system's update
        body = payload.decode() if name == "availability" else orjson.loads(payload)
        for error in validator(name).iter_errors(body):
            yield f"{topic}: {error.message} at {list(error.instance_path)} in {payload[:500]!r}"
