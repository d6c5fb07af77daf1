"""`python -m bench [--quick] [NAME...]`: runs the benchmarks, each beside a baseline measured in the same run.

The machine makes the figures; read the ratios. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import time
from collections.abc import Callable

from bench import amqp, backlog, receive, whole_way
from bench.argo_stub import ROOT


def _program(module: str, *arguments: str) -> None:
    """Run a benchmark that is a program of its own."""
    # validation's own exit code says whether its limits were kept; it prints them, and that is what is wanted here.
    subprocess.run([sys.executable, "-m", f"bench.{module}", *arguments], cwd=ROOT, check=module != "validation")


def _benches(is_quick: bool) -> dict[str, Callable[[], object]]:
    """Return every benchmark by its name, in the order of a message's way."""

    def sized(full: int, quick: int) -> str:
        return str(quick if is_quick else full)

    return {
        "whole-way": functools.partial(whole_way.run_triggering, int(sized(50_000, 10_000))),
        "filter-path": functools.partial(whole_way.run_filter_path, int(sized(100_000, 30_000))),
        "amqp": functools.partial(amqp.run, int(sized(20_000, 5_000))),
        "receive": functools.partial(receive.run, int(sized(50_000, 20_000))),
        "mapping": functools.partial(_program, "mapping", "--messages", sized(20_000, 4_000)),
        "validation": functools.partial(_program, "validation", "--seconds", "0.1" if is_quick else "0.5"),
        "spool": functools.partial(_program, "spool", "--events", sized(50_000, 10_000)),
        "backlog": functools.partial(backlog.run, int(sized(1_000_000, 200_000))),
        "submit": functools.partial(_program, "submit", sized(20_000, 4_000)),
    }


def main() -> int:
    """Run the benchmarks that were named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer messages: under a minute, and rougher")
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"one of {', '.join(_benches(False))}; default: all")
    arguments = parser.parse_args()
    benches = _benches(arguments.quick)
    unknown = [name for name in arguments.names if name not in benches]
    if unknown:
        parser.error(f"unknown benchmark {', '.join(unknown)}")
    for name in arguments.names or benches:
        print(f"== {name}", flush=True)
        started_s = time.monotonic()
        benches[name]()
        print(f"   ({time.monotonic() - started_s:.0f} s)\n", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
