"""A full spool shuts out neither what helps it nor, for one lane's sake, all other lanes."""

from __future__ import annotations

from collections import Counter, deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.core.errors import SpoolError
from bridge.core.model import OutgoingMessage
from bridge.spool import store
from bridge.spool.ledger import FOR_SMALL, FOR_URGENT, NoRoomError
from bridge.spool.options import SpoolOptions
from bridge.spool.records import Finished, NewEvent, NewRows, OutboxMessage, Outcome
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import MakeSpool, apart, done, event, identity, letter, rows_waiting
from tests.support.clock import FakeClock

LARGE = "x" * 20_000


def take(spool: Spool, *events: NewEvent) -> int:
    """Commit as ingest does: what has room goes in; how many that were."""
    try:
        return spool.commit(*apart(*events)).stored
    except NoRoomError as error:
        return spool.commit(*apart(*(one for one in events if one.id not in error.events))).stored


@pytest.mark.parametrize("bound", ["rows", "bytes"])
def test_one_lane_leaves_room_for_others_and_all_for_what_helps(make_spool: MakeSpool, bound: str) -> None:
    """One lane takes no more than the bound, small lanes a quarter more, and what is urgent a 16th more than they."""
    by_bytes = bound == "bytes"
    spool = make_spool(max_bytes=6_000_000) if by_bytes else make_spool(max_rows=300)
    value = LARGE if by_bytes else "1"
    flood = take(spool, *(event(number, value=value) for number in range(320)))
    assert 200 < flood < 301
    assert take(spool, event(1000, value=value)) == 0
    others = [take(spool, event(2000 + number, f"lane-{number % 5}", value=value)) for number in range(100)]
    assert others[:20] == [1] * 20
    assert sum(others) < 100
    assert others[-1] == 0
    urgent = [take(spool, event(3000 + number, "op", value=value, is_urgent=True)) for number in range(100)]
    assert urgent[:10] == [1] * 10
    assert urgent[-1] == 0
    assert spool.check() == ()
    spool.settle([done(row.seq) for row in rows_waiting(spool)])
    spool.purge()
    assert take(spool, event(1000, value=value)) == 1


def test_alone_a_lane_has_its_share_of_a_tiny_spool(make_spool: MakeSpool) -> None:
    """However small max-rows is, a lane gets so many rows in, and a second lane one."""
    for rows in range(1, 10):
        spool = make_spool(max_rows=rows)
        assert take(spool, *(event(rows * 100 + number) for number in range(20))) == rows
        assert take(spool, event(rows * 100 + 50, "other")) == 1
        ends = [done(row.seq) for lane in spool.waiting_lanes() for row in rows_waiting(spool, lane)]
        spool.settle(ends)


def test_known_events_need_no_room(make_spool: MakeSpool) -> None:
    """A repetition is answered whatever waits, alone and beside a new event that has no room."""
    spool = make_spool(max_rows=3)
    spool.commit(NewRows(events=[event(number) for number in range(3)]))
    with pytest.raises(NoRoomError) as caught:
        spool.commit(*apart(event(1), event(9), event(2)))
    assert caught.value.events == {identity(9)}
    assert len(spool.commit(NewRows(events=[event(1), event(2)])).known) == 2


def test_a_message_is_stored_whole_or_not_at_all(make_spool: MakeSpool) -> None:
    """If one of its lanes has no room, none of its events is stored."""
    spool = make_spool(max_rows=12)
    spool.commit(NewRows(events=[event(number) for number in range(12)]))
    with pytest.raises(NoRoomError) as caught:
        spool.commit(NewRows(events=[event(20, "a"), event(21)]), NewRows(events=[event(22, "b")]))
    assert caught.value.events == {identity(20), identity(21)}


def test_a_replay_makes_the_room_that_it_needs(make_spool: MakeSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly as many ended rows go as its events are: no bound is passed by it."""
    monkeypatch.setattr(store, "EARLY_STEP", 0)
    spool = make_spool(max_rows=12)
    spool.commit(NewRows(events=[event(number) for number in range(3)]))
    letters = [letter("expired", event_id=row.event.id) for row in rows_waiting(spool)]
    spool.settle(
        [
            Finished(row.seq, Outcome.DEAD, code="expired", dead_letter=one)
            for row, one in zip(rows_waiting(spool), letters, strict=True)
        ]
    )
    spool.commit(NewRows(events=[event(number) for number in range(10, 19)]))
    spool.settle([done(row.seq) for row in rows_waiting(spool)])
    (kept,) = spool.dead_letters()
    assert kept.kept == 3
    replayed = spool.replay(kept.seq)
    assert replayed is not None
    assert (replayed.waiting, spool.figures().ended_early) == (3, 3)
    assert spool.figures().rows == 12


def test_messages_that_no_broker_takes_do_not_fill_the_disk(make_spool: MakeSpool) -> None:
    """Replies and notices go in until the reserve is used up, and again once some were sent."""
    spool = make_spool(max_bytes=1_000_000)
    batch = NewRows(outbox=[OutboxMessage("plant", OutgoingMessage("to/a", b"x" * 20_000))])
    with pytest.raises(SpoolError) as caught:
        deque(map(spool.commit, [batch] * 200), maxlen=0)
    assert (caught.value.code, isinstance(caught.value, NoRoomError)) == ("spool-full", False)
    rows = spool.outbox("plant", 0, 1000)
    assert 50 < len(rows) < 75
    spool.outbox_sent([seq for seq, _ in rows[:20]])
    spool.commit(batch)
    assert spool.figures().outbox == len(rows) - 19


OFFERS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "op"]), st.integers(1, 5), st.sampled_from([1, 500, 5000]), st.booleans()
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(OFFERS, st.integers(1, 60), st.sampled_from([200_000, 10**9]))
def test_no_bound_is_passed_by_more_than_a_message(
    offers: list[tuple[str, int, int, bool]], rows: int, size: int
) -> None:
    """Whatever comes and goes: the sums are right, and no lane, nor all together, take more than they may."""
    limits = SpoolOptions(max_rows=rows, max_bytes=size)
    with Spool.in_memory(clock=FakeClock(), limits=limits) as spool:
        number = 0
        for lane, count, length, ends in offers:
            events = tuple(event(number + n, lane, value="x" * length, is_urgent=lane == "op") for n in range(count))
            number += count
            take(spool, *events)
            by_lane = Counter(spool.figures().by_lane)
            assert by_lane.total() < limits.max_rows * FOR_URGENT + 5
            assert by_lane.total() - by_lane["op"] < limits.max_rows * FOR_SMALL + 5
            assert max(by_lane[name] for name in "abc") < limits.max_rows + 5
            if ends:
                spool.settle([done(row.seq) for row in spool.waiting(lane, 0, 3)])
            assert spool.check() == ()
