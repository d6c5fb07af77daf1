"""The script behind `make mutants` makes the changes that it says, and only such as can be run."""

from __future__ import annotations

import ast

from tests.mutants import PARTS, ROOT, mutants_of, mutated, sample

SOURCE = """\
def f(a, b):
    if a < b and not b:
        g(a)
    return a is None or True
"""


def test_each_kind_of_change_is_made() -> None:
    """Comparisons, `and`, `or`, `not`, truth values and calls, each alone."""
    changed = {mutated(SOURCE, mutant).replace(" ", "") for mutant in mutants_of("m.py", SOURCE)}
    lines = [("a < b", "a <= b"), ("and", "or"), ("not b", "b"), ("g(a)", "pass"), ("is None", "is not None")]
    wanted = {
        SOURCE.replace(old, new, 1).replace(" ", "") for old, new in [*lines, (" or ", " and "), ("True", "False")]
    }
    assert changed == wanted


def test_every_change_can_be_run() -> None:
    """A change that is no Python would be noticed by anything. The same seed makes the same ones."""
    for part in PARTS:
        found = sample(part, 40, 1)
        assert found == sample(part, 40, 1)
        for mutant in found:
            ast.parse(mutated((ROOT / mutant.path).read_text(), mutant))
