"""Measures mappings: messages/s of the filter path (`when` false), and of what fires, beside json.loads alone.

    python bench/mapping.py [--messages 50000]

Prints one line each; read the ratios to json.loads of the same run. Never part of the test suite.

Thread: one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bridge.configfile.problems import Problems
from bridge.configfile.source import SourceFile, read_bytes
from bridge.core.model import Message
from bridge.mapping.compiled import Fired, Quiet
from bridge.mapping.compiler import compile_mappings
from bridge.mapping.definition import read_definitions
from bridge.mapping.mapping_set import MappingSet

TOPIC = "sensors/a/boiler/7/temperature"
SMALL = {
    "value": 20.5,
    "seq": 12345,
    "device": {"id": "boiler-7", "firmware": "1.2.3"},
    "battery": 87,
    "note": "a reading of about two hundred bytes, such as most of the sensors of a plant send them, with a text",
}
LARGE = {"value": 20.5, "seq": 12345, **{f"channel-{number}": number * 1.5 for number in range(300)}}
CONDITIONS = {
    "native": "payload.value > 90.0",
    "native, two": "payload.value > 90 && payload.seq > 10",
    "CEL": "payload.value + 1 > 90",
    "native, schema": "payload.value > 90.0",
    "fires": "payload.value > 1",
}
SCHEMA = "    payload: {schema: {type: object, required: [value], properties: {value: {type: number}}}}\n"


def mappings(condition: str, *, schema: bool) -> MappingSet:
    """Return a set of one mapping."""
    text = (
        "mappings:\n  - name: hot\n    topic: sensors/{site}/boiler/{device}/temperature\n"
        f"    when: {condition}\n{SCHEMA if schema else ''}    event-id: payload.seq\n"
        "    workflow:\n      namespace: factory\n      template: inspect\n"
        "      parameters: {device: '${topic.device}', value: '${payload.value}'}\n"
    )
    problems = Problems()
    root = read_bytes(text.encode(), "bench.yaml", problems)
    if root is None:
        raise SystemExit(problems.in_order())
    definitions = read_definitions([SourceFile(Path("bench.yaml"), root)], problems)
    compiled, found = compile_mappings(definitions, _template_manifest)
    if problems.found or found:
        raise SystemExit([*problems.in_order(), *found])
    return compiled


def _template_manifest(name: str, _cluster_scope: bool) -> dict[str, Any]:
    return {"spec": {"workflowTemplateRef": {"name": name}}}


def rate(work: Callable[[Message], object], messages: list[Message]) -> float:
    """Return messages/s, the best of three rounds."""
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        for message in messages:
            work(message)
        best = max(best, len(messages) / (time.perf_counter() - start))
    return best


def evaluate(compiled: MappingSet, message: Message) -> object:
    """Route one message and return the outcome of its mapping."""
    outcome: object = None
    for match in compiled.route(message.connection, message.topic):
        outcome = match.mapping.evaluate(message, match.captures, 0.0)
    return outcome


def main() -> None:
    """Print messages/s and the ratio to json.loads, for a small and a large payload."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--messages", type=int, default=50_000)
    count = arguments.parse_args().messages
    for size, value in (("small", SMALL), ("300 values", LARGE)):
        payload = json.dumps(value).encode()
        # Each message has bytes of its own, as from a socket: nothing is decoded once for all.
        messages = [
            Message("plant", TOPIC, bytes(bytearray(payload))) for _ in range(count if size == "small" else count // 10)
        ]
        baseline = rate(lambda message: json.loads(message.payload), messages)
        print(f"{size:12} {'json.loads alone':18} {baseline:10,.0f} messages/s   ({len(payload)} bytes)")
        for label, condition in CONDITIONS.items():
            compiled = mappings(condition, schema="schema" in label)
            wanted = Fired if label == "fires" else Quiet
            if not isinstance(evaluate(compiled, messages[0]), wanted):
                raise SystemExit(f"{label}: not {wanted.__name__}")
            found = rate(partial(evaluate, compiled), messages)
            print(f"{size:12} {label:18} {found:10,.0f} messages/s   {found / baseline:5.2f} of json.loads")


if __name__ == "__main__":
    main()
