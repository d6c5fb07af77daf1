"""`python -m bench`: measures the bridge beside baselines of the same run, and prints a table.

The machine makes the values; read the ratios. ``--save`` writes the table that docs/performance.md shows. `growth`, and
the benchmarks of single parts, run only if they are named.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import amqp, backlog, figures, growth, latency, receive, status, whole_way
from bench.argo_stub import ROOT
from bench.figures import Figure


def _program(module: str, *arguments: str) -> None:
    """Run a benchmark that is a program of its own."""
    # validation's own exit code says whether its limits were kept; it prints them, and that is what is wanted here.
    subprocess.run([sys.executable, "-m", f"bench.{module}", *arguments], cwd=ROOT, check=module != "validation")


def _measured(is_quick: bool) -> dict[str, Callable[[], list[Figure]]]:
    """Return the benchmarks of the table by name."""

    def sized(full: int, quick: int) -> int:
        return quick if is_quick else full

    return {
        "whole-path": functools.partial(whole_way.run_triggering, sized(100_000, 10_000)),
        "filter-path": functools.partial(whole_way.run_filter_path, sized(300_000, 50_000)),
        "rules": functools.partial(whole_way.run_rules, sized(300_000, 50_000), sized(100_000, 20_000)),
        "latency": functools.partial(latency.run, sized(300, 40)),
        "status": functools.partial(status.run, sized(20, 4)),
        "amqp": functools.partial(amqp.run, sized(30_000, 5_000)),
        "backlog": functools.partial(backlog.run, sized(1_000_000, 100_000)),
        "growth": functools.partial(growth.run, sized(100_000, 20_000)),
    }


def _parts(is_quick: bool) -> dict[str, Callable[[], object]]:
    """Return the benchmarks of single parts by name; each prints its own lines."""

    def sized(full: int, quick: int) -> str:
        return str(quick if is_quick else full)

    return {
        "receive": functools.partial(receive.run, int(sized(50_000, 20_000))),
        "mapping": functools.partial(_program, "mapping", "--messages", sized(20_000, 4_000)),
        "validation": functools.partial(_program, "validation", "--seconds", "0.1" if is_quick else "0.5"),
        "spool": functools.partial(_program, "spool", "--events", sized(50_000, 10_000)),
        "submit": functools.partial(_program, "submit", sized(20_000, 4_000)),
    }


def main() -> int:
    """Run the benchmarks that were named, or those of the table; 1 if a ratio is worse than the committed one."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer messages: about a minute, and rougher")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the figures and the machine's facts")
    parser.add_argument("--save", action="store_true", help=f"write them to {figures.COMMITTED.relative_to(ROOT)}")
    parser.add_argument(
        "--compare", metavar="OLD.json", type=Path, default=figures.COMMITTED, help="default: committed"
    )
    names = [*_measured(False), *_parts(False)]
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"of {', '.join(names)}; default: those of the table")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in names]
    if unknown:
        parser.error(f"unknown benchmark {', '.join(unknown)}")
    measured, parts = _measured(arguments.quick), _parts(arguments.quick)
    found: list[Figure] = []
    for name in arguments.names or [name for name in measured if name != "growth"]:
        started_s = time.monotonic()
        if name in parts:
            print(f"== {name}", flush=True)
            parts[name]()
        else:
            found += measured[name]()
        print(f"-- {name}: {time.monotonic() - started_s:.0f} s", flush=True)
    return _report(found, arguments)


def _report(found: list[Figure], arguments: argparse.Namespace) -> int:
    print(f"\n{figures.facts(figures.machine())}\n\n{figures.table(found)}")
    for figure in found:
        if figure.note:
            print(f"{figure.name}: {figure.note}")
    worse: list[str] = []
    if arguments.compare.exists():
        text, worse = figures.comparison(found, figures.load(arguments.compare)[1])
        print(f"\nratios and values, {arguments.compare.name} -> now:\n{text}")
    if arguments.json:
        figures.save(arguments.json, found)
    if arguments.save:
        figures.save(figures.COMMITTED, found)
        return 0
    if worse:
        print(f"worse by more than a fifth: {', '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    raise SystemExit(main())
