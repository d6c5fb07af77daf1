"""What a benchmark found: a value beside a baseline of the same run, and whether it reaches its goal."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

COMMITTED = Path(__file__).with_name("table.json")
"""The table that docs/performance.md shows."""
REGRESSION = 0.8
"""A ratio that is worse than the committed one by more than a fifth fails the run."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        name: unique; what was measured.
        value: the bridge's figure.
        unit: of both values.
        baseline: the figure of the same run that it is compared with; None = the value itself is compared with `goal`.
        beside: what the baseline is.
        goal: the ratio to the baseline, or the value, that should be reached; None = only shown.
        is_limit: the goal is a maximum, not a minimum.
        note: more about it.
    """

    name: str
    value: float
    unit: str
    baseline: float | None = None
    beside: str = ""
    goal: float | None = None
    is_limit: bool = False
    note: str = ""

    @property
    def compared(self) -> float:
        """What the goal is compared with: the ratio, or the value if there is no baseline."""
        return self.value / self.baseline if self.baseline else self.value

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is reached; None without one."""
        if self.goal is None:
            return None
        return self.compared <= self.goal if self.is_limit else self.compared >= self.goal

    @property
    def verdict(self) -> str:
        """The last column of the table."""
        return {True: "met", False: "short", None: ""}[self.is_met]

    def cells(self) -> tuple[str, ...]:
        """Return the columns of the table."""
        beside = f"{_number(self.baseline)} {self.unit} ({self.beside})" if self.baseline else ""
        ratio = f"{self.compared:.2f}" if self.baseline else ""
        sign = "at most " if self.is_limit else "at least "
        unit = "" if self.baseline else f" {self.unit}"
        goal = "" if self.goal is None else f"{sign}{_number(self.goal)}{unit}"
        return (self.name, f"{_number(self.value)} {self.unit}", beside, ratio, goal, self.verdict)


HEAD = ("figure", "bridge", "baseline", "ratio", "goal", "")


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as a table for a terminal and for Markdown."""
    rows = [HEAD, tuple("---" for _ in HEAD), *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = []
    for row in rows:
        cells = (cell.ljust(width, "-" if cell == "---" else " ") for cell, width in zip(row, widths, strict=True))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def save(path: Path, figures: Iterable[Figure]) -> None:
    """Write the figures with the facts of this machine, as JSON."""
    document = {"machine": machine(), "figures": [asdict(figure) for figure in figures]}
    path.write_text(json.dumps(document, indent=2) + "\n")


def load(path: Path) -> tuple[dict[str, str], list[Figure]]:
    """Return what `save` wrote: the facts of the machine, and the figures."""
    document = json.loads(path.read_text())
    return document["machine"], [Figure(**figure) for figure in document["figures"]]


def comparison(figures: Iterable[Figure], old: Iterable[Figure]) -> tuple[str, list[str]]:
    """Return lines that compare each figure with the old one of its name, and the names of those that are worse.

    Only ratios to a baseline can be compared between machines, so only they can be worse.
    """
    before = {figure.name: figure for figure in old}
    lines, worse = [], []
    for figure in figures:
        known = before.get(figure.name)
        if known is None or not known.compared:
            continue
        change = figure.compared / known.compared
        is_worse = bool(figure.baseline) and (1 / change if figure.is_limit else change) < REGRESSION
        lines.append(f"{figure.name}: {known.compared:.3g} -> {figure.compared:.3g}{'  WORSE' if is_worse else ''}")
        worse += [figure.name] if is_worse else []
    return "\n".join(lines), worse


def machine() -> dict[str, str]:
    """Return the facts that a reader needs to understand the values."""
    model = next(iter(_lines_of("/proc/cpuinfo", "model name")), platform.processor() or platform.machine())
    return {
        "cpu": model,
        "cores": str(os.cpu_count()),
        "memory": next(iter(_lines_of("/proc/meminfo", "MemTotal")), ""),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "mosquitto": _version_of(["mosquitto", "-h"]),
        "commit": _version_of(["git", "rev-parse", "--short", "HEAD"]),
        "date": time.strftime("%Y-%m-%d"),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def facts(found: Mapping[str, str]) -> str:
    """Return the facts of a machine as one sentence."""
    return (
        f"{found['cpu']}, {found['cores']} cores, {found['system']}, Python {found['python']}, "
        f"{found['mosquitto']}, commit {found['commit']}, {found['date']}"
    )


def _lines_of(path: str, key: str) -> list[str]:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.startswith(key)]


def _version_of(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return (found.stdout or found.stderr).partition("\n")[0].strip()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
