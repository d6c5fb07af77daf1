"""Feeds a target with inputs, and counts what each costs: CPU seconds of its thread, and bytes of memory.

An input is made by the target's name, the seed and its number alone, so that a finding is met again by these three.
What must hold is checked by the target; an exception is a finding, and so is a cost over the budget. Time on the
clock says how busy the machine is, and is not looked at.
"""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from tests.support.machine import cpu_slowness

FRESH_AFTER = 200
MEASURED_EVERY = 25
MAX_FINDINGS = 5
_SHOWN = 4000
_MIB = 1 << 20


@dataclass(frozen=True)
class Budget:
    """What one input may cost.

    cpu_s, cpu_s_per_kib: seconds of CPU, whatever the input, and for each KiB of it.
    mib, bytes_per_byte: memory at the peak, likewise.
    """

    cpu_s: float = 0.02
    cpu_s_per_kib: float = 0.001
    mib: float = 4.0
    bytes_per_byte: float = 100.0


@dataclass(frozen=True)
class Target:
    """One part of the product that takes what others made.

    name: unique.
    make: an input.
    start: called anew every `FRESH_AFTER` inputs; returns what takes one, and raises where a promise is broken. It may
        return a check that is called when the cost is known.
    budget: what one may cost.
    """

    name: str
    make: Callable[[Random], Any]
    start: Callable[[], Callable[[Any], object]]
    budget: Budget = field(default_factory=Budget)

    def input(self, seed: int, number: int) -> Any:
        """The input of a number."""
        return self.make(Random(f"{self.name} {seed} {number}"))


@dataclass
class Tally:
    """What was done: inputs, seconds of CPU spent on them, and what was found."""

    inputs: int = 0
    cpu_s: float = 0.0
    findings: list[str] = field(default_factory=list)


def fuzz(target: Target, seed: int, cpu_s: float, first: int = 0) -> Tally:
    """Try inputs until so much CPU time is spent, or too much is found."""
    tally = Tally()
    take = target.start()
    for number in count(first):
        if tally.cpu_s >= cpu_s or len(tally.findings) >= MAX_FINDINGS:
            return tally
        if number % FRESH_AFTER == FRESH_AFTER - 1:
            take = target.start()
        began_s = time.thread_time()
        given = target.input(seed, number)
        for why in _tried(target, take, given, is_measured=number % MEASURED_EVERY == 0):
            tally.findings.append(json.dumps(_finding(target, seed, number, why, given), ensure_ascii=True))
            take = target.start()
        tally.inputs += 1
        tally.cpu_s += time.thread_time() - began_s
    raise AssertionError("count() never ends")


def _tried(target: Target, take: Callable[[Any], object], given: Any, *, is_measured: bool) -> Iterator[str]:
    size = size_of(given)
    allowed_s = (target.budget.cpu_s + target.budget.cpu_s_per_kib * size / 1024) * cpu_slowness()
    try:
        spent_s = _cost(take, given)
        if spent_s > allowed_s:  # the least of three: a collection of garbage, or a first use, is not the input's fault
            spent_s = min(spent_s, *(_cost(target.start(), given) for _ in range(2)))
        if spent_s > allowed_s:
            yield f"{spent_s * 1000:.0f} ms of CPU for {size} bytes, {allowed_s * 1000:.0f} are allowed"
        if is_measured:
            yield from _memory(target, take, given, size)
    except Exception as error:
        yield f"{type(error).__name__}: {str(error)[:500]}"


def _cost(take: Callable[[Any], object], given: Any) -> float:
    began_s = time.thread_time()
    check = take(given)
    spent_s = time.thread_time() - began_s
    if callable(check):
        check()
    return spent_s


def _memory(target: Target, take: Callable[[Any], object], given: Any, size: int) -> Iterator[str]:
    gc.collect()
    tracemalloc.start()
    try:
        check = take(given)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if callable(check):
        check()
    allowed = target.budget.mib * _MIB + target.budget.bytes_per_byte * size
    if peak > allowed:
        yield f"{peak / _MIB:.1f} MiB of memory for {size} bytes, {allowed / _MIB:.1f} are allowed"


def size_of(given: Any) -> int:
    """Bytes of an input, as a sender would count them."""
    return len(given) if isinstance(given, bytes) else len(repr(given))


def _finding(target: Target, seed: int, number: int, why: str, given: Any) -> dict[str, Any]:
    shown = repr(given)
    return {"target": target.name, "seed": seed, "number": number, "why": why, "input": shown[:_SHOWN]}


def write(folder: Path, finding: str) -> Path:
    """Write a finding to a file, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    told = json.loads(finding)
    path = folder / f"{told['target']}-{told['seed']}-{told['number']}.json"
    path.write_text(finding + "\n")
    return path
