"""What dispatch is promised: rows in order, each in one state, keys one at a time, ends that count once."""

from __future__ import annotations

import pytest

from bridge.core.errors import PermanentError
from bridge.spool.records import Finished, NewEvent, NewRows, Outcome, Postponed, WaitingEvent
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import (
    dead,
    done,
    event,
    identity,
    letter,
    message,
    numbers_waiting,
    reply,
    rows_waiting,
    seqs_waiting,
)
from tests.support.clock import FakeClock


def commit(spool: Spool, *numbers: int, lane: str = "boiler", **more: object) -> None:
    spool.commit(NewRows(events=[event(number, lane, **more) for number in numbers]))


def due_numbers(spool: Spool, lane: str = "boiler", **more: object) -> list[str]:
    rows = spool.due(lane, spool.age.now_s(), 100, **more)
    return [row.event.order.name.removeprefix("boiler-") for row in rows]


def test_lanes_are_read_apart_and_in_order(spool: Spool) -> None:
    """Each lane gives its own rows in order of arrival, page by page."""
    for number in range(10):
        commit(spool, number, lane="even" if number % 2 == 0 else "odd")
    assert spool.waiting_lanes() == ("even", "odd")
    first = spool.waiting("odd", 0, 2)
    rest = spool.waiting("odd", first[-1].seq, 99)
    assert [row.event.order.name for row in first + rest] == [f"boiler-{n}" for n in (1, 3, 5, 7, 9)]
    assert spool.waiting("nobody", 0, 9) == ()


@pytest.mark.parametrize("large", ["values", "manifests"])
def test_a_page_is_bounded_in_bytes(spool: Spool, clock: FakeClock, large: str) -> None:
    """Large rows come some MiB at a time, every one and in order, be they new, due or expired; one at the least."""
    text = "x" * 700_000

    def large_event(number: int) -> NewEvent:
        if large == "values":
            return event(number, value=text, max_age_s=50.0)
        return event(number, manifest=b'{"metadata":{},"spec":{"x":"%d%s"}}' % (number, text.encode()), max_age_s=50.0)

    spool.commit(NewRows(events=[event(0, value="x" * 6_000_000, max_age_s=50.0), *map(large_event, range(1, 13))]))
    first = spool.waiting("boiler", 0, 256)
    assert [row.event.order.name for row in first] == ["boiler-0"]
    rows = rows_waiting(spool)
    assert [row.event.order.name for row in rows] == [f"boiler-{number}" for number in range(13)]
    assert 3 <= len(spool.waiting("boiler", first[0].seq, 256)) <= 6
    spool.settle([], [Postponed(row.seq, 1, spool.age.now_s()) for row in rows])
    clock.advance(60)
    for read in (lambda skip: spool.due("boiler", spool.age.now_s(), 256, skip), lambda skip: expired(spool, skip)):
        seen: list[int] = []
        while page := read(frozenset(seen)):
            assert len(page) <= 6
            seen += [row.seq for row in page]
        assert sorted(seen) == [row.seq for row in rows]


def expired(spool: Spool, skip: frozenset[int]) -> tuple[WaitingEvent, ...]:
    return spool.expired(spool.age.now_s(), 256, skip)


def test_a_number_is_never_used_twice(spool: Spool, clock: FakeClock) -> None:
    """A reader that remembers the last number it saw misses no later row, even after everything was purged."""
    commit(spool, 1)
    (last,) = seqs_waiting(spool)
    spool.settle([done(last)])
    clock.advance(90_000)
    while spool.purge():
        pass
    assert spool.figures().rows == 0
    commit(spool, 2)
    assert [row.event.id for row in spool.waiting("boiler", last, 9)] == [identity(2)]


def test_a_postponed_row_waits_for_its_time(spool: Spool, clock: FakeClock) -> None:
    """It is not ready any more; it is due when its time has come, the longest due first, with its attempts."""
    commit(spool, 1, 2, 3)
    one, two, _ = seqs_waiting(spool)
    now = spool.age.now_s()
    spool.settle([], [Postponed(one, 3, now + 20), Postponed(two, 1, now + 10)])
    assert numbers_waiting(spool) == ["3"]
    assert due_numbers(spool) == []
    assert spool.next_due_s("boiler") == now + 10
    clock.advance(10)
    assert due_numbers(spool) == ["2"]
    clock.advance(10)
    assert due_numbers(spool) == ["2", "1"]
    assert due_numbers(spool, skip={two}) == ["1"]
    assert [row.attempts for row in spool.due("boiler", spool.age.now_s(), 1)] == [1]
    assert spool.due("boiler", spool.age.now_s(), 0) == ()
    assert spool.next_due_s("nobody") is None


def test_a_row_postponed_to_the_past_is_due_at_once(spool: Spool) -> None:
    """A time at or below zero does not make the row look ready again, nor lose it."""
    commit(spool, 1)
    spool.settle([], [Postponed(seqs_waiting(spool)[0], 1, -5.0)])
    assert numbers_waiting(spool) == []
    assert due_numbers(spool) == ["1"]


def test_one_row_of_a_key_is_given_out(spool: Spool) -> None:
    """Rows with an order key come one at a time, in order of arrival; other keys and rows are not held up."""
    commit(spool, 1, 2, order_key="a")
    commit(spool, 3, order_key="b")
    commit(spool, 4)
    commit(spool, 5, order_key="a")
    assert numbers_waiting(spool) == ["1", "3", "4"]
    for expected in ("2", "5"):
        row = spool.find_waiting(identity(int(expected) if expected == "5" else 2))
        assert row is not None
        holder = spool.find_waiting(identity(1 if expected == "2" else 2))
        assert holder is not None
        spool.settle([done(holder.seq)])
        assert due_numbers(spool) == [expected]
    assert numbers_waiting(spool) == ["3", "4"]


def test_a_postponed_row_holds_its_key(spool: Spool, clock: FakeClock) -> None:
    """While the first row of a key waits for its next try nothing of that key overtakes it, new rows neither."""
    commit(spool, 1, order_key="a")
    (one,) = seqs_waiting(spool)
    spool.settle([], [Postponed(one, 1, spool.age.now_s() + 10)])
    commit(spool, 2, order_key="a")
    assert numbers_waiting(spool) == due_numbers(spool) == []
    clock.advance(10)
    assert due_numbers(spool) == ["1"]
    spool.settle([dead(one)])
    assert due_numbers(spool) == ["2"]


def test_a_held_row_that_ends_changes_nobodys_turn(spool: Spool) -> None:
    """A row in the middle of a key's queue can end (expired) without letting a third one overtake the first."""
    commit(spool, 1, 2, 3, order_key="a")
    held = spool.find_waiting(identity(2))
    assert held is not None
    spool.settle([dead(held.seq)])
    assert numbers_waiting(spool) == ["1"]
    assert due_numbers(spool) == []
    spool.settle([done(seqs_waiting(spool)[0])])
    assert due_numbers(spool) == ["3"]


def test_a_postponed_held_row_stays_held(spool: Spool) -> None:
    """Postponing a row whose turn it is not does not give it a turn."""
    commit(spool, 1, 2, order_key="a")
    held = spool.find_waiting(identity(2))
    assert held is not None
    spool.settle([], [Postponed(held.seq, 1, 1.0)])
    assert due_numbers(spool) == []


def test_rows_past_their_max_age_are_found(spool: Spool, clock: FakeClock) -> None:
    """Ready, postponed and held rows of every lane are found once their age is over, the oldest first."""
    commit(spool, 1, 2, max_age_s=30.0, order_key="a")
    commit(spool, 3, max_age_s=10.0, lane="other")
    commit(spool, 4)
    spool.settle([], [Postponed(seqs_waiting(spool)[0], 1, 500.0)])
    assert spool.expired(spool.age.now_s(), 9) == ()
    clock.advance(30)
    names = [row.event.order.name for row in spool.expired(spool.age.now_s(), 9)]
    assert names == ["boiler-3", "boiler-1", "boiler-2"]
    first = spool.expired(spool.age.now_s(), 1)[0].seq
    assert [row.event.order.name for row in spool.expired(spool.age.now_s(), 1, skip={first})] == ["boiler-1"]


def test_a_row_is_found_by_its_event_while_it_waits(spool: Spool) -> None:
    """The watcher's event id finds the waiting row with all its addresses, and nothing once it has ended."""
    commit(spool, 1, reply=reply(1))
    commit(spool, 1, reply=reply(2))
    row = spool.find_waiting(identity(1))
    assert row is not None
    assert row.replies == (reply(1), reply(2))
    spool.settle([done(row.seq)])
    assert spool.find_waiting(identity(1)) is None
    assert spool.find_waiting(identity(2)) is None


def test_an_end_counts_once(spool: Spool) -> None:
    """Settling a row again, by whichever thread, does nothing: no second reply, no second letter, no other outcome."""
    commit(spool, 1)
    (seq,) = seqs_waiting(spool)
    spool.settle([done(seq, "first")])
    spool.settle([dead(seq, code="expired")])
    spool.settle([done(seq, "second"), done(999, "third")], [Postponed(seq, 1, 5.0)])
    assert [row.message.topic for _, row in spool.outbox("plant", 0, 9)] == ["to/first"]
    assert spool.dead_letters() == ()
    assert spool.commit(NewRows(events=[event(1)])).known[0].outcome is Outcome.DONE
    assert spool.figures().waiting == 0


def test_an_end_is_stored_with_its_messages_or_not_at_all(spool: Spool) -> None:
    """When one message of a settle cannot be stored, every row of it still waits."""
    commit(spool, 1, 2)
    one, two = seqs_waiting(spool)
    with pytest.raises(PermanentError) as caught:
        spool.settle([done(one, "a"), Finished(two, Outcome.DONE, outbox=(message("b", "\ud800"),))])
    assert caught.value.code == "not-storable"
    assert seqs_waiting(spool) == [one, two]
    assert spool.figures().outbox == 0


def test_a_note_stays_with_its_row(spool: Spool, clock: FakeClock) -> None:
    """However often it is postponed, and until it is written again; other rows have none."""
    commit(spool, 1, 2)
    noted, other = seqs_waiting(spool)
    spool.note(noted, "before")
    spool.settle([], [Postponed(noted, 1, spool.age.now_s() + 5)])
    clock.advance(6)
    assert [row.note for row in spool.due("boiler", spool.age.now_s(), 10)] == ["before"]
    assert [row.note for row in spool.waiting("boiler", noted, 10)] == [""]
    spool.note(noted, "after")
    found = spool.find_waiting(identity(1))
    assert found is not None
    assert found.note == "after"
    spool.settle([done(noted), done(other)])
    spool.note(noted, "of nobody")
    assert spool.find_waiting(identity(1)) is None


def test_figures_follow_every_change(spool: Spool) -> None:
    """Counts are those of the rows, lane by lane."""
    commit(spool, 1, 2)
    commit(spool, 3, lane="other")
    spool.settle([dead(seqs_waiting(spool)[0])])
    spool.commit(NewRows(outbox=[message("a"), message("b")], dead_letters=[letter("x")]))
    figures = spool.figures()
    assert (figures.waiting, figures.rows, figures.outbox, figures.dead_letters) == (2, 3, 2, 2)
    assert figures.by_lane == {"boiler": 1, "other": 1}
    assert figures.bytes > 0
    assert "waiting=2, rows=3" in repr(spool)
