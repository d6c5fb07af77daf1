"""The seed of the fault tests, how long they may take, and their figures added up at the end of a test run.

``FAULTS_SEED`` (default 1) is what every random choice comes from; ``FAULTS_MINUTES`` lets the turmoil of
`tests/faults/test_turmoil.py` go on for so long in all. The figures of each test travel with its report, from the
workers of pytest-xdist too.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

SEED = os.environ.get("FAULTS_SEED", "1")
MINUTES = float(os.environ.get("FAULTS_MINUTES", "0"))
FIGURES = "faults"


def random_source(*names: str) -> random.Random:
    """Random choices of one test, the same ones for the same seed."""
    return random.Random(" ".join([SEED, *names]))


def figures_line(figures: Iterable[tuple[str, int]]) -> str:
    """Counts as a person reads them."""
    return ", ".join(f"{name} {count}" for name, count in figures)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the sum of all figures; a hook of pytest."""
    total: Counter[str] = Counter()
    tests = 0
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, figures in report.user_properties if report.when == "call" else ():
            if name == FIGURES:
                tests += 1
                total.update(dict.fromkeys(figures, 0))
                total.update(figures)
    if tests:
        terminalreporter.section("faults")
        terminalreporter.line(f"FAULTS_SEED={SEED}, {tests} tests that count: {figures_line(total.items())}")
