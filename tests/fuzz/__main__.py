"""`make fuzz MINUTES=n`: every target in turn, until the minutes are over; findings become files to be replayed."""

from __future__ import annotations

import argparse
import json
import logging
import resource
import sys
import time
from pathlib import Path

from tests.fuzz.engine import Tally, fuzz, write
from tests.fuzz.targets import TARGETS

SLICE_S = 5.0
BY_NAME = {target.name: target for target in TARGETS}


def replay(path: Path) -> None:
    """Meet a finding again, so that its traceback is seen."""
    told = json.loads(path.read_text())
    target = BY_NAME[told["target"]]
    given = target.input(told["seed"], told["number"])
    print(repr(given)[:2000])
    after = target.start()(given)
    if callable(after):
        after()


def main() -> int:
    """Return 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="of CPU time")
    parser.add_argument("--seed", type=int, default=None, help="default: the time; told at the start")
    parser.add_argument("--target", choices=sorted(BY_NAME), action="append", help="default: all")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="folder for findings")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="a finding")
    parser.add_argument("--tally", type=Path, metavar="FILE", help="a line for each round is added to this file")
    given = parser.parse_args()
    if given.replay:
        replay(given.replay)
        return 0
    logging.disable()
    seed = int(time.time()) if given.seed is None else given.seed
    chosen = [BY_NAME[name] for name in given.target or BY_NAME]
    print(f"seed {seed}", flush=True)
    total, numbers = Tally(), dict.fromkeys(BY_NAME, 0)
    while total.cpu_s < given.minutes * 60:
        for target in chosen:
            tally = fuzz(target, seed, min(SLICE_S, given.minutes * 60 / len(chosen)), numbers[target.name])
            numbers[target.name] += tally.inputs
            total.inputs += tally.inputs
            total.cpu_s += tally.cpu_s
            for finding in tally.findings:
                total.findings.append(finding)
                print(f"FOUND {write(given.findings, finding)}: {json.loads(finding)['why']}", flush=True)
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        done = f"{total.inputs} inputs, {total.cpu_s:.0f} s of CPU, {len(total.findings)} findings"
        line = f"seed {seed}: {done}, {peak_mib:.0f} MiB at most"
        if given.tally:
            with given.tally.open("a") as file:
                file.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    print(line, numbers)
    return 1 if total.findings else 0


if __name__ == "__main__":
    sys.exit(main())
