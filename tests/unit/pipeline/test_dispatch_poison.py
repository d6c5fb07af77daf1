"""Rows that Argo answers 5xx for good hold up no others, and end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from dispatch_fakes import DispatchBench, asked, hexed
from pipeline_fakes import event

from bridge.spool.records import NewEvent


@pytest.fixture
def bench(tmp_path: Path) -> DispatchBench:
    """A dispatcher that has not taken a turn yet."""
    return DispatchBench(tmp_path)


def poisoned(bench: DispatchBench, numbers: range) -> list[NewEvent]:
    """Requests whose create is answered 500 for ever."""
    bench.argo.poison |= {f"w-{number}" for number in numbers}
    return [asked(number) for number in numbers]


def test_rows_that_fail_hold_up_no_others_of_their_lane(bench: DispatchBench) -> None:
    """Thirty creates are answered 500, then twenty good ones come: all of those run within seconds."""
    bench.store(*poisoned(bench, range(1, 31)))
    bench.run_s(5)
    bench.store(*(asked(number) for number in range(31, 51)))
    bench.run_s(20)
    assert bench.argo.created == {hexed(number): 1 for number in range(31, 51)}
    bench.store(*(asked(number) for number in range(51, 71)))
    bench.run_s(20)
    assert len(bench.argo.created) == 40


def keep_others_succeeding(bench: DispatchBench, hours: int, most: int = 0) -> int:
    """A good row every ten minutes, for so many hours or until so many dead letters; returns the rows' number."""
    for number in range(1000, 1000 + 6 * hours):
        bench.store(asked(number))
        bench.run_s(600)
        if most and len(bench.dead()) == most:
            break
    return number - 999


def test_a_row_that_fails_while_others_succeed_ends(bench: DispatchBench) -> None:
    """Tried ever more rarely, and dead-lettered after twenty tries, with the last answer as the reason."""
    bench.store(*poisoned(bench, range(1, 3)))
    good = keep_others_succeeding(bench, 48, most=2)
    assert len(bench.argo.created) == good
    assert bench.reasons() == {"attempts-exhausted": 2}
    assert bench.posts() - good <= 2 * 60
    (error,) = (body["error"] for body in bench.replies()["replies/1"])
    assert "the last response: etcdserver: leader changed" in error
    assert all(one.letter.attempts >= 20 for one in bench.spool.real.dead_letters())
    assert bench.dispatcher._successes_at_try == {}
    assert bench.dispatcher._look_first == set()


@pytest.mark.parametrize("fate", ["500", "504 without effect", "cut", "429", "unreachable"])
def test_an_outage_ends_no_row(bench: DispatchBench, fate: str) -> None:
    """However often a row is tried while none succeeds: it runs when Argo is back."""
    bench.store(event(900))
    bench.run_until_ended()
    bench.argo.otherwise, bench.argo.spares_version = fate, True
    bench.dispatcher._max_attempts = 4
    bench.store(*(asked(number) for number in range(1, 4)))
    bench.run_s(3600, 10_000)
    bench.argo.otherwise = "ok"
    bench.run_s(120)
    assert bench.reasons() == {}
    assert len(bench.argo.created) == 4


def test_an_outage_of_one_namespace_ends_no_row(bench: DispatchBench) -> None:
    """However many rows of another namespace succeed meanwhile: each runs once its own namespace is well again."""
    order = replace(event(1).order, namespace="quality")
    bench.dispatcher._max_attempts = 4
    bench.store(*(replace(row, order=replace(order, name=row.order.name)) for row in poisoned(bench, range(1, 4))))
    keep_others_succeeding(bench, 24)
    assert "quarantine" not in bench.dispatcher.causes
    bench.argo.poison.clear()
    bench.run_s(3600)
    assert bench.reasons() == {}
    assert {hexed(number) for number in range(1, 4)} <= set(bench.argo.created)


def test_the_last_try_of_a_row_is_looked_up(bench: DispatchBench) -> None:
    """Its answer is lost, but the workflow was made: the sender is told so, and not that it failed."""
    bench.dispatcher._max_attempts = 2
    bench.argo.script.extend(["ok", "500"])
    bench.store(asked(1))
    bench.step(3)
    bench.store(event(2))
    bench.run_s(0.3)
    assert bench.argo.created == {hexed(2): 1}
    bench.argo.script.extend(["ok", "ok", "504 after"])
    bench.dispatcher._max_attempts = 1
    bench.run_until_ended()
    assert bench.reasons() == {}
    assert bench.replies()["replies/1"][0]["workflowId"] == "w-1"


def test_quarantine_outlasts_a_restart(bench: DispatchBench) -> None:
    """What a row did before counts after a restart too, so a poison row ends however often the bridge is restarted."""
    bench.store(*poisoned(bench, range(1, 2)))
    for number in range(1000, 1000 + 6 * 24):
        bench.store(asked(number))
        bench.run_s(600)
        bench.restart()
    assert bench.reasons() == {"attempts-exhausted": 1}


def test_a_quarantined_row_may_still_succeed(bench: DispatchBench) -> None:
    """It waits for its next try like any other, and its sender is told."""
    bench.store(*poisoned(bench, range(1, 2)))
    keep_others_succeeding(bench, 1)
    assert "quarantine" in bench.dispatcher.causes
    bench.argo.poison.clear()
    bench.run_s(3600)
    assert bench.replies()["replies/1"][0]["workflowId"] == "w-1"


@pytest.mark.parametrize("fate", ["no template", "401", "429", "unreachable", "modified"])
def test_a_quarantined_row_never_spins(bench: DispatchBench, fate: str) -> None:
    """Whatever it is answered: it goes beside the gate and beside its lane, and so it backs off by itself."""
    bench.argo.poison.add("w-1")
    bench.store(event(1))
    keep_others_succeeding(bench, 1)
    bench.argo.poison.clear()
    bench.argo.otherwise, bench.argo.spares_version = fate, True
    before = len(bench.argo.requests)
    bench.run_s(3600)
    assert len(bench.argo.requests) - before < 100
