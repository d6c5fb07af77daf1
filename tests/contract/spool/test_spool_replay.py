"""Events that died are kept beside their dead letter, bounded, and wait again when it is replayed."""

from __future__ import annotations

import pytest

from bridge.core.errors import SpoolError
from bridge.core.model import MessageProperties
from bridge.spool.records import Asked, Finished, LetterFilter, NewRows, Outcome, Postponed
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import (
    MakeSpool,
    done,
    event,
    identity,
    letter,
    message,
    reply,
    seqs_waiting,
)
from tests.support.clock import FakeClock


def end_dead(spool: Spool, *numbers: int, code: str = "expired") -> None:
    """End the rows of these events in one commit, each with a letter of its own."""
    ends = []
    for number in numbers:
        row = spool.find_waiting(identity(number))
        assert row is not None
        told = letter(code, payload=b"", event_id=identity(number))
        ends.append(Finished(row.seq, Outcome.DEAD, "too late", code, dead_letter=told))
    spool.settle(ends)


def outcome(spool: Spool, number: int) -> Outcome | None:
    (known,) = spool.commit(NewRows(events=[event(number)])).known
    return known.outcome


def test_a_replayed_event_waits_as_it_was_but_new(spool: Spool, clock: FakeClock) -> None:
    """Same id, name and order; attempts and max-age begin anew; the letter is gone; nobody is answered."""
    spool.commit(NewRows(events=[event(1, max_age_s=100.0, reply=reply(1)), event(2)]))
    (one, two) = seqs_waiting(spool)
    spool.settle([done(two)], [Postponed(one, 5, 7.0)])
    clock.advance(99)
    end_dead(spool, 1)
    (kept,) = spool.dead_letters()
    assert kept.kept == 1
    assert [shown.order.name for shown in spool.dead_events(kept.seq)] == ["boiler-1"]
    assert outcome(spool, 1) is Outcome.DEAD
    replayed = spool.replay(kept.seq)
    assert replayed is not None
    assert (replayed.waiting, replayed.known, replayed.lanes, replayed.not_kept) == (1, 0, {"boiler"}, 0)
    (row,) = spool.waiting("boiler", two, 10)
    assert row.event == event(1, max_age_s=100.0)
    assert (row.attempts, row.not_before_s, row.replies) == (0, 0.0, ())
    assert row.expires_at_s == pytest.approx(spool.age.now_s() + 100.0)
    assert spool.dead_letters() == ()
    assert outcome(spool, 1) is None
    spool.settle([done(row.seq)])
    assert outcome(spool, 1) is Outcome.DONE


def test_a_replayed_operation_is_asked_as_before(spool: Spool) -> None:
    """What it was asked with stays; what was noted before its first try does not: it is a first try again."""
    asked = Asked("retry", "boiler-7", {"restartSuccessful": True, "parameters": {"a": "ü"}})
    spool.commit(NewRows(events=[event(1, asked=asked)]))
    spool.note(seqs_waiting(spool)[0], "how it stood")
    end_dead(spool, 1)
    (kept,) = spool.dead_letters()
    spool.replay(kept.seq)
    found = spool.find_waiting(identity(1))
    assert found is not None
    assert (found.event.asked, found.note) == (asked, "")


def test_a_letter_is_replayed_once(spool: Spool) -> None:
    """The second replay finds no letter and stores nothing."""
    spool.commit(NewRows(events=[event(1)]))
    end_dead(spool, 1)
    (kept,) = spool.dead_letters()
    assert spool.replay(kept.seq) is not None
    assert spool.replay(kept.seq, (event(2),)) is None
    assert spool.figures().waiting == 1


def test_all_events_of_one_letter_go_back_in_order(spool: Spool) -> None:
    """Deaths of one kind within a minute are one letter, over several commits, and one replay brings all back."""
    spool.commit(NewRows(events=[event(number) for number in range(1, 8)]))
    end_dead(spool, 3, 1)
    spool.settle([done(row.seq) for row in spool.waiting("boiler", 0, 1)])
    end_dead(spool, 4, 5, 6)
    (kept,) = spool.dead_letters()
    assert (kept.count, kept.kept) == (5, 5)
    replayed = spool.replay(kept.seq)
    assert replayed is not None
    assert replayed.waiting == 5
    rows = spool.waiting("boiler", 0, 10)
    assert [row.event.order.name for row in rows] == [f"boiler-{number}" for number in (7, 1, 3, 4, 5, 6)]


def test_a_message_and_an_event_are_never_counted_on_each_other(spool: Spool) -> None:
    """Of a message only the first is kept, of events all: one letter cannot be both."""
    spool.commit(NewRows(events=[event(1)], dead_letters=[letter("expired"), letter("expired")]))
    end_dead(spool, 1)
    spool.commit(NewRows(dead_letters=[letter("expired")]))
    assert [(kept.count, kept.kept) for kept in spool.dead_letters()] == [(1, 1), (3, None)]


def test_an_event_outlives_its_row(make_spool: MakeSpool, clock: FakeClock) -> None:
    """After keep-done the row is purged, and the event is replayed all the same; a row with its number is spared."""
    spool = make_spool(keep_done_s=10.0)
    spool.commit(NewRows(events=[event(1)]))
    end_dead(spool, 1)
    clock.advance(11)
    while spool.purge():
        pass
    assert spool.figures().rows == 0
    # The number that the row had in `ended` is given out again.
    spool.commit(NewRows(events=[event(2)]))
    spool.settle([done(*seqs_waiting(spool))])
    (kept,) = spool.dead_letters()
    replayed = spool.replay(kept.seq)
    assert replayed is not None
    assert replayed.waiting == 1
    assert [row.event for row in spool.waiting("boiler", 0, 10)] == [event(1)]
    assert outcome(spool, 2) is Outcome.DONE


def test_an_event_that_came_again_meanwhile_is_not_run_twice(make_spool: MakeSpool, clock: FakeClock) -> None:
    """Its row was purged and its sender sent it again: the replay finds it and adds nothing."""
    spool = make_spool(keep_done_s=10.0)
    spool.commit(NewRows(events=[event(1)]))
    end_dead(spool, 1)
    clock.advance(11)
    while spool.purge():
        pass
    spool.commit(NewRows(events=[event(1)]))
    (kept,) = spool.dead_letters()
    replayed = spool.replay(kept.seq)
    assert replayed is not None
    assert (replayed.waiting, replayed.known, replayed.lanes) == (0, 1, frozenset())
    assert spool.figures().waiting == 1
    assert spool.dead_letters() == ()


def test_a_replayed_event_waits_for_its_turn(spool: Spool) -> None:
    """It goes behind the rows of its order key that wait by now, and several keep their order."""
    spool.commit(NewRows(events=[event(1, order_key="k"), event(2, order_key="k")]))
    end_dead(spool, 1)
    end_dead(spool, 2)
    spool.commit(NewRows(events=[event(3, order_key="k")]))
    (kept,) = spool.dead_letters()
    spool.replay(kept.seq)
    names = []
    for _ in range(3):
        (row,) = spool.waiting("boiler", 0, 10) or spool.due("boiler", spool.age.now_s(), 10)
        names.append(row.event.order.name)
        spool.settle([done(row.seq)])
    assert names == ["boiler-3", "boiler-1", "boiler-2"]


def test_an_event_that_dies_again_can_be_replayed_again(spool: Spool) -> None:
    """Each death is a letter, each replay a new row of the same event."""
    spool.commit(NewRows(events=[event(1)]))
    for _ in range(3):
        end_dead(spool, 1)
        (kept,) = spool.dead_letters()
        assert spool.replay(kept.seq) is not None
    assert spool.figures().rows == 1
    assert [row.event for row in spool.waiting("boiler", 0, 10)] == [event(1)]


def test_what_a_message_became_is_stored_as_its_letter_goes(spool: Spool) -> None:
    """New events wait, known ones are told; those only counted on the letter are told too."""
    spool.commit(NewRows(events=[event(1)], dead_letters=[letter(), letter(), letter()]))
    (kept,) = spool.dead_letters()
    replayed = spool.replay(kept.seq, (event(1), event(2, "press")))
    assert replayed is not None
    assert (replayed.waiting, replayed.known, replayed.not_kept) == (1, 1, 2)
    assert "press" in replayed.lanes
    assert spool.dead_letters() == ()
    assert spool.find_waiting(identity(2)) is not None


def test_a_full_spool_takes_no_replay_and_keeps_the_letter(make_spool: MakeSpool) -> None:
    """Ended rows make room, dead ones too; when only waiting ones are left, it is refused and nothing has changed."""
    spool = make_spool(max_rows=2)
    spool.commit(NewRows(events=[event(1), event(2)]))
    end_dead(spool, 1)
    spool.commit(NewRows(events=[event(3)]))
    (kept,) = spool.dead_letters()
    with pytest.raises(SpoolError) as caught:
        spool.replay(kept.seq)
    assert caught.value.code == "spool-full"
    assert spool.dead_letters() == (kept,)
    spool.settle([done(row.seq) for row in spool.waiting("boiler", 0, 1)])
    assert spool.replay(kept.seq) is not None
    assert {row.event.order.name for row in spool.waiting("boiler", 0, 10)} == {"boiler-3", "boiler-1"}


def test_a_letter_of_more_events_than_the_spool_has_rows_is_replayed(make_spool: MakeSpool) -> None:
    """It is taken whole once there is any room: all of its events wait again."""
    spool = make_spool(max_rows=2)
    spool.commit(NewRows(events=[event(number) for number in range(5)]))
    end_dead(spool, *range(5))
    (kept,) = spool.dead_letters()
    replayed = spool.replay(kept.seq)
    assert replayed is not None
    assert replayed.waiting == 5


def test_one_letter_keeps_no_more_than_its_share(make_spool: MakeSpool) -> None:
    """A storm of one kind pushes no other letter out: what is beyond its share is counted, and a replay says so."""
    spool = make_spool(dead_max_bytes=64_000)
    spool.commit(NewRows(dead_letters=[letter("other")]))
    spool.commit(NewRows(events=[event(number) for number in range(100)]))
    end_dead(spool, *range(50))
    end_dead(spool, *range(50, 100))
    spool.purge()
    storm, other = spool.dead_letters()
    assert other.letter.reason == "other"
    assert storm.count == 100
    assert storm.kept is not None
    assert 5 < storm.kept < 30
    replayed = spool.replay(storm.seq)
    assert replayed is not None
    assert (replayed.waiting, replayed.not_kept) == (storm.kept, 100 - storm.kept)


def test_manifests_count_on_what_a_letter_keeps(make_spool: MakeSpool) -> None:
    """A manifest stays while a dead event needs it, and fills the letter's share once, not once an event."""
    large = b'{"metadata":{},"spec":{"x":"%s"}}' % (b"y" * 4_000)
    spool = make_spool(dead_max_bytes=64_000)
    spool.commit(NewRows(events=[event(number, manifest=large) for number in range(5)]))
    end_dead(spool, *range(5))
    spool.purge()
    (kept,) = spool.dead_letters()
    assert kept.kept == 5
    assert spool.dead_events(kept.seq, 1)[0].order.manifest == large
    spool.remove_dead_letters([kept.seq])
    assert spool.purge() == 1  # the manifest
    assert spool.dead_events(kept.seq) == ()


def test_bounds_and_age_take_the_events_too(make_spool: MakeSpool, clock: FakeClock) -> None:
    """A letter that goes because of a bound takes its events along, and the counts stay right (checked at the end)."""
    spool = make_spool(dead_max_rows=1, dead_keep_s=100.0)
    spool.commit(NewRows(events=[event(1), event(2)]))
    end_dead(spool, 1, code="expired")
    end_dead(spool, 2, code="name-taken")
    spool.purge()
    (kept,) = spool.dead_letters()
    assert kept.letter.reason == "name-taken"
    clock.advance(101)
    spool.purge()
    assert spool.dead_letters() == ()
    assert spool.figures().dead_letters == 0


def test_letters_are_found_and_purged_by_mapping_reason_and_age(spool: Spool, clock: FakeClock) -> None:
    """All that a filter names must hold; purging stops at the number that was the newest, and goes step by step."""
    spool.commit(NewRows(dead_letters=[letter("a", "m"), letter("a", "n"), letter("b", "m")]))
    clock.advance(100)
    spool.commit(NewRows(dead_letters=[letter("a", "")]))

    def found(**names: object) -> list[tuple[str, str]]:
        where = LetterFilter(**names)  # type: ignore[arg-type]  # the names are LetterFilter's
        return [(kept.letter.reason, kept.letter.mapping) for kept in spool.dead_letters(where=where)]

    assert found(mapping="m") == [("b", "m"), ("a", "m")]
    assert found(reason="a", mapping="m") == [("a", "m")]
    assert found(mapping="") == [("a", "")]
    assert found(older_than_s=50.0, reason="a") == [("a", "n"), ("a", "m")]
    newest = spool.dead_letters()[0].seq
    assert spool.purge_dead_letters(LetterFilter(older_than_s=50.0), newest, 2) == 2
    assert spool.purge_dead_letters(LetterFilter(), newest - 1) == 1
    assert spool.purge_dead_letters(LetterFilter(), newest - 1) == 0
    assert found() == [("a", "")]


def test_properties_that_a_replay_needs_are_kept_unless_too_large(spool: Spool) -> None:
    """User properties, content type, message id and expiry come back; more than 16 KiB are told as not kept."""
    small = MessageProperties(content_type="t", message_expiry_s=5.0, message_id="m", user=(("a", "1"), ("a", "2")))
    large = MessageProperties(user=(("a", "x" * 20_000),))
    spool.commit(NewRows(dead_letters=[letter("small", properties=small), letter("large", properties=large)]))
    assert [kept.letter.properties for kept in spool.dead_letters()] == [None, small]


def test_a_death_without_a_letter_keeps_nothing(spool: Spool) -> None:
    """An end whose texts could not be stored has no letter, and leaves no event behind that nothing names."""
    spool.commit(NewRows(events=[event(1)]))
    spool.settle([Finished(seqs_waiting(spool)[0], Outcome.DEAD, code="expired", outbox=(message("x"),))])
    assert spool.dead_letters() == ()
    assert outcome(spool, 1) is Outcome.DEAD
