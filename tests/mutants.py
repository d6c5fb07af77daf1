"""`make mutants`: makes small changes to the code one at a time, and says which of them the part's own tests miss.

A change that goes unnoticed is a hole in the tests, or does not matter (another way to write the same). Which one it
is, a person decides. Works on a copy of the tree.
"""

from __future__ import annotations

import argparse
import ast
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = {
    "bridge/pipeline": ("tests/unit/pipeline",),
    "bridge/spool": ("tests/unit/spool", "tests/contract/spool"),
    "bridge/transports": (
        "tests/unit/transports",
        "tests/integration/test_mqtt_scripted.py",
        "tests/integration/test_mqtt_closes.py",
    ),
    "bridge/argo/errors.py": ("tests/unit/argo",),
    "bridge/argo/gate.py": ("tests/unit/argo",),
    "bridge/status": ("tests/unit/status",),
}
"""What keeps promises, and the tests that are its own."""
_COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "is": "is not", "is not": "is",
                "in": "not in", "not in": "in"}  # fmt: skip
_OPERATORS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is",
              ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in"}  # fmt: skip
_QUIET = ("_log.", "_LOG.", "self._seldom.")
_LEAST_S = 60.0
_LEFT_OUT = (".git", ".venv", ".hypothesis", "__pycache__", "dist", "fuzz-findings")


@dataclass(frozen=True)
class Mutant:
    """One change: a file, the place in it (line from 1, columns from 0), and the text before and after."""

    path: str
    line: int
    start: int
    end: int
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.old!r} -> {self.new!r}"


def mutants_of(path: str, source: str) -> Iterator[Mutant]:
    """Every change of one module, each within one line.

    Comparisons the other way or off by one, `and` for `or`, `not` left out, True for False, a call whose result nobody
    uses left out. What is logged is left alone.
    """
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        for line, start, end, new in _changes(node, lines):
            yield Mutant(path, line, start, end, lines[line - 1][start:end], new)


def _changes(node: ast.AST, lines: list[str]) -> Iterator[tuple[int, int, int, str]]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        old = _OPERATORS[type(node.ops[0])]
        yield from _between(node.left, node.comparators[0], lines, old, _COMPARISONS[old])
    elif isinstance(node, ast.BoolOp):
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            yield from _between(left, right, lines, old, new)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.lineno, node.col_offset, node.col_offset + len("not "), ""
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield node.lineno, node.col_offset, node.end_col_offset or 0, str(not node.value)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and node.lineno == node.end_lineno:
        text = lines[node.lineno - 1][node.col_offset : node.end_col_offset]
        if not text.startswith(_QUIET):
            yield node.lineno, node.col_offset, node.end_col_offset or 0, "pass"


def _between(
    left: ast.expr, right: ast.expr, lines: list[str], old: str, new: str
) -> Iterator[tuple[int, int, int, str]]:
    line = left.end_lineno or 0
    if line != right.lineno:
        return
    text = lines[line - 1]
    at = text.find(f" {old} ", left.end_col_offset or 0, right.col_offset + 1)
    if at >= 0 and text.isascii():  # columns of `ast` are bytes
        yield line, at + 1, at + 1 + len(old), new


def mutated(source: str, mutant: Mutant) -> str:
    """`source` with the change made."""
    lines = source.splitlines(keepends=True)
    line = lines[mutant.line - 1]
    lines[mutant.line - 1] = line[: mutant.start] + mutant.new + line[mutant.end :]
    return "".join(lines)


def is_green(tree: Path, tests: tuple[str, ...], within_s: float) -> bool:
    """Whether the tests pass; those that need longer do not."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        *tests,
    ]
    process = subprocess.Popen(command, cwd=tree, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return process.wait(within_s) == 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def sample(part: str, count: int, seed: int) -> list[Mutant]:
    """Some changes of a part, the same for the same seed."""
    where = ROOT / part
    paths = [where] if where.is_file() else sorted(where.rglob("*.py"))
    found = [one for path in paths for one in mutants_of(str(path.relative_to(ROOT)), path.read_text())]
    return random.Random(f"{seed} {part}").sample(found, min(count, len(found)))


def try_part(tree: Path, part: str, count: int, seed: int) -> tuple[int, int]:
    """Try changes of one part, tell those that go unnoticed, and return how many were noticed, of how many."""
    tests = PARTS[part]
    began_s = time.monotonic()
    if not is_green(tree, tests, 1800.0):
        print(f"{part}: its tests fail without any change", flush=True)
        return 0, 0
    within_s = 3 * (time.monotonic() - began_s) + _LEAST_S
    chosen, noticed = sample(part, count, seed), 0
    for mutant in chosen:
        path = tree / mutant.path
        source = path.read_text()
        path.write_text(mutated(source, mutant))
        try:
            is_missed = is_green(tree, tests, within_s)
        finally:
            path.write_text(source)
        noticed += not is_missed
        if is_missed:
            print(f"UNNOTICED {mutant}", flush=True)
    print(f"{part}: {noticed} of {len(chosen)} noticed", flush=True)
    return noticed, len(chosen)


def main() -> None:
    """Sample every part that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="changes in each part")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="which ones; default: the time")
    parser.add_argument("--part", choices=sorted(PARTS), action="append", help="default: all")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(
            ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", ".hypothesis", "__pycache__", "dist")
        )
        results = [try_part(tree, part, given.count, given.seed) for part in given.part or PARTS]
    print(f"in all {sum(one for one, _ in results)} of {sum(all_ for _, all_ in results)} noticed")


if __name__ == "__main__":
    main()
