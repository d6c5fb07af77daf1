"""The table of benchmarks: what is compared with a goal, and what counts as worse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Figure, comparison, load, save, table

POSITIVE = st.floats(0.001, 1e6)


@pytest.mark.parametrize(
    ("figure", "is_met"),
    [
        (Figure("rate", 80, "events/s", 100, "paho", 0.8), True),
        (Figure("rate", 79, "events/s", 100, "paho", 0.8), False),
        (Figure("time", 1.2, "s", 1.0, "few", 1.2, is_limit=True), True),
        (Figure("time", 1.3, "s", 1.0, "few", 1.2, is_limit=True), False),
        (Figure("memory", 59, "MiB", goal=60, is_limit=True), True),
        (Figure("memory", 61, "MiB", goal=60, is_limit=True), False),
        (Figure("shown", 7, "s"), None),
    ],
)
def test_a_ratio_or_else_the_value_is_compared_with_the_goal(figure: Figure, is_met: bool | None) -> None:
    """A goal is a ratio where there is a baseline, and a value where there is none."""
    assert figure.is_met is is_met
    assert {True: "met", False: "short", None: ""}[is_met] in figure.cells()[-1]


@given(POSITIVE, POSITIVE, POSITIVE, st.booleans())
def test_only_a_ratio_that_got_worse_by_more_than_a_fifth_is_worse(
    value: float, baseline: float, share: float, is_limit: bool
) -> None:
    """Values of two machines say nothing about the bridge; ratios do, in the direction of their goal."""
    old = Figure("f", value, "u", baseline, "b", 1.0, is_limit)
    new = Figure("f", value * share, "u", baseline, "b", 1.0, is_limit)
    change = new.compared / old.compared
    _, worse = comparison([new], [old])
    assert worse == (["f"] if (1 / change if is_limit else change) < 0.8 else [])
    plain = [Figure("f", one.value, "u", goal=1.0, is_limit=is_limit) for one in (new, old)]
    assert comparison(plain[:1], plain[1:])[1] == []


def test_figures_come_back_from_their_file(tmp_path) -> None:
    """What is saved is what a later run is compared with; the table has a line for each."""
    figures = [Figure("a", 1.5, "ms", goal=2.0, is_limit=True, note="n"), Figure("b", 3, "x", 4, "base", 0.5)]
    save(tmp_path / "t.json", figures)
    machine, found = load(tmp_path / "t.json")
    assert found == figures
    assert machine["cores"]
    assert len(table(found).splitlines()) == 4
