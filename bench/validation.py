"""Measures validation: a small workflow and one of 100 templates, valid and not, beside plain `jsonschema`.

    python bench/validation.py [--seconds 1]

The limits are promises: 50 us for the small workflow, 2 ms for the large one. Exits 1 when one is not kept. Read the
ratios; the machine makes the times. Never part of the test suite.

Thread: one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jsonschema

from bridge.validation.generator import entry_point
from bridge.validation.library import SchemaLibrary

LIMITS_US = {"small": 50.0, "large": 2000.0}


def small() -> dict[str, Any]:
    """Return the workflow of the interface's own example."""
    container = {"image": "example/image", "command": ["echo"], "args": ["hello world"]}
    return {
        "metadata": {"name": "example-workflow"},
        "spec": {"entrypoint": "main", "templates": [{"name": "main", "container": container}]},
    }


def large(templates: int = 100) -> dict[str, Any]:
    """Return a workflow whose every third template is a dag of five tasks, the others containers with parameters."""
    return {
        "metadata": {"generateName": "large-", "labels": {"team": "plant"}},
        "spec": {
            "entrypoint": "t0",
            "arguments": {"parameters": [{"name": f"p{number}", "value": "x"} for number in range(10)]},
            "templates": [
                _dag(number, templates) if number % 3 == 0 else _container(number) for number in range(templates)
            ],
        },
    }


def _container(number: int) -> dict[str, Any]:
    return {
        "name": f"t{number}",
        "inputs": {"parameters": [{"name": "a"}, {"name": "b", "value": "1"}]},
        "container": {
            "image": "example/image",
            "command": ["sh", "-c"],
            "args": ["{{inputs.parameters.a}}"],
            "env": [{"name": "A", "value": "b"}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
        },
    }


def _dag(number: int, templates: int) -> dict[str, Any]:
    tasks = [
        {
            "name": f"a{index}",
            "template": f"t{(number + index) % templates}",
            "dependencies": ["a0"] if index else [],
            "arguments": {"parameters": [{"name": "a", "value": "1"}]},
        }
        for index in range(5)
    ]
    return {"name": f"t{number}", "dag": {"tasks": tasks}}


def measure(call: Callable[[], object], seconds: float) -> float:
    """Return microseconds a call, the best of five rounds of `seconds` together."""
    call()
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        rounds = max(1, int(2000 / max(best, 20))) if best < float("inf") else 1
        started = time.perf_counter()
        for _ in range(rounds):
            call()
        best = min(best, (time.perf_counter() - started) / rounds * 1e6)
    return best


def main(argv: list[str] | None = None) -> int:
    """Print one line a measurement; 1 when a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each measurement")
    seconds = parser.parse_args(argv).seconds
    library = SchemaLibrary()
    started = time.perf_counter()
    validator = library.validator(library.newest)
    validator.problems({})
    print(f"load and compile Argo {library.newest}: {(time.perf_counter() - started) * 1e3:.1f} ms, once")
    plain = jsonschema.Draft202012Validator(entry_point(library.schema(library.newest), "Workflow"))
    kept = True
    for name, manifest in (("small", small()), ("large", large())):
        whole = measure(partial(validator.check, manifest), seconds)
        shape = measure(partial(validator.fits_schema, manifest), seconds)
        base = measure(partial(plain.is_valid, manifest), seconds)
        wrong = {**manifest, "spec": {**manifest["spec"], "entrypont": "x"}}
        told = measure(partial(validator.check, wrong), seconds)
        kept = kept and whole <= LIMITS_US[name]
        print(
            f"{name}: {whole:.1f} us valid (limit {LIMITS_US[name]:.0f}), of which shape {shape:.1f} us; "
            f"jsonschema alone {base:.0f} us, {base / whole:.0f} times as long; explaining a typo {told:.0f} us"
        )
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
