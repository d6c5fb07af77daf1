"""Any answers in any order, with crashes and a failing spool between: one event, one workflow, one reply."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dispatch_fakes import FATES, DispatchBench
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_fakes import event

from bridge.core.model import ReplyAddress
from bridge.spool.records import NewEvent, NewRows

FATE = st.sampled_from(["ok", "theirs", *sorted(set(FATES) - {"deleted"})])
HAPPENING = st.sampled_from(["step"] * 12 + ["crash", "spool fails", "spool works", "again", "pass time"])


def rows(count: int) -> list[NewEvent]:
    """Requests with a reply address, mapped events in two lanes, and rows of one order key."""
    made = []
    for number in range(1, count + 1):
        lane = ("trigger:factory", "a", "b")[number % 3]
        reply = ReplyAddress("plant", f"replies/{number}") if number % 3 == 0 else None
        made.append(event(number, lane, reply=reply, order_key="b:k" if lane == "b" else ""))
    return made


def crash(bench: DispatchBench) -> None:
    """Forget all that is not committed, requests under way too."""
    bench.settlement.__init__(  # type: ignore[misc]  # as new as after a restart, and still the bench's
        bench.settlement._spool,
        bench.settlement._refusals,
        bench.metrics,
        bench.clock,
        bench._outbox,
        lambda _: None,
    )
    bench.gate._in_flight = 0
    bench.restart()


def happen(bench: DispatchBench, what: str, events: list[NewEvent]) -> None:
    """One thing among the turns of the loop."""
    if what == "step":
        bench.step()
    elif what == "crash":
        crash(bench)
    elif what == "spool fails":
        bench.spool.failing = {"settle", "due"}
    elif what == "spool works":
        bench.spool.failing = set()
    elif what == "again":
        bench.spool.real.commit(NewRows(events=list(events[:3])))
    else:
        bench.clock.advance(45)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 12), st.lists(FATE, max_size=60), st.lists(HAPPENING, max_size=60))
def test_every_row_ends_once(count: int, fates: list[str], happenings: list[str]) -> None:
    """In the end every row is done or dead, no event was created twice, and each address has exactly one reply."""
    with tempfile.TemporaryDirectory() as folder:
        bench = DispatchBench(Path(folder))
        events = rows(count)
        bench.store(*events)
        bench.argo.script.extend(fates)
        for what in happenings:
            happen(bench, what, events)
        bench.spool.failing = set()
        bench.argo.script.clear()
        bench.run_until_ended()
        check(bench, events)
        assert list(Path(folder).iterdir()) == []
        bench.spool.real.close()


def check(bench: DispatchBench, events: list[NewEvent]) -> None:
    """Count everything."""
    dead = bench.dead()
    assert bench.spool.real.check() == ()
    for one in events:
        created = bench.argo.created.get(one.id.hex(), 0)
        assert created <= 1
        assert created == 1 or one.id.hex() in dead
    answers = bench.replies()
    wanted = {one.reply.topic for one in events if one.reply}
    assert answers.keys() == wanted
    assert all(len(bodies) == 1 for bodies in answers.values())
