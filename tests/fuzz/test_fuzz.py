"""A minute of `make fuzz`: every part that takes what others made, with inputs that are the same in every run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.engine import Budget, Target, fuzz, write
from tests.fuzz.targets import TARGETS

SEED = 1
CPU_S = 60.0


@pytest.fixture
def quiet() -> Iterator[None]:
    """No log: pytest would keep each line, which takes memory that is not the input's."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_nothing_is_raised_and_nothing_costs_much(target: Target, tmp_path: Path) -> None:
    """No input breaks a promise of the target, or takes more CPU time or memory than its size allows."""
    tally = fuzz(target, SEED, CPU_S / len(TARGETS))
    assert tally.inputs > 10
    assert not tally.findings, [write(tmp_path, finding).read_text() for finding in tally.findings]


def _waste(given: bytes) -> None:
    total = 0
    for number in range(len(given) * 2000):
        total += number


def _hoard(given: bytes) -> None:
    assert bytes(len(given) * 2_000_000)


def _fail(given: bytes) -> None:
    assert given == b""


@pytest.mark.parametrize(("bad", "why"), [(_waste, "ms of CPU"), (_hoard, "MiB of memory"), (_fail, "AssertionError")])
def test_the_oracle_notices(bad: object, why: str) -> None:
    """A part that wastes time or memory, or raises, is found, with what makes its input again."""
    target = Target("bad", lambda rng: rng.randbytes(100), lambda: bad, Budget(0.001, 0.001, 1.0))  # type: ignore[arg-type, return-value]  # any of them
    tally = fuzz(target, SEED, 30.0)
    assert len(tally.findings) == 5
    assert why in tally.findings[0]
    assert '"seed": 1' in tally.findings[0]
