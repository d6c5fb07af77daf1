"""What is kept beside events: outbox, retained topics, settings, dead letters; and how all of it is bounded."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from bridge.spool.dead_letters import MAX_TOPICS
from bridge.spool.records import Finished, NewExternalStatus, NewRows, Outcome, RetainedTopic
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import MakeSpool, dead, done, event, identity, letter, message, seqs_waiting
from tests.support.clock import FakeClock


def test_the_outbox_keeps_a_message_until_it_was_sent(spool: Spool) -> None:
    """Messages come back unchanged, each connection's in order, until they are confirmed."""
    spool.commit(NewRows(outbox=[message("a"), message("b", "office"), message("c")]))
    rows = spool.outbox("plant", 0, 10)
    assert [row for _, row in rows] == [message("a"), message("c")]
    assert spool.outbox("plant", rows[0][0], 10) == rows[1:]
    assert spool.outbox("plant", 0, 1) == rows[:1]
    spool.outbox_sent([rows[0][0], rows[0][0], 999])
    assert spool.outbox("plant", 0, 10) == rows[1:]
    assert [row for _, row in spool.outbox("office", 0, 10)] == [message("b", "office")]
    assert spool.figures().outbox == 2


def test_a_retained_topic_shows_the_workflow_last_told(spool: Spool) -> None:
    """A topic is one row; releasing an older workflow's topic keeps the newer one's."""
    old = RetainedTopic("plant", "s/1", "factory", "boiler-1", "uid-1")
    new = RetainedTopic("plant", "s/1", "factory", "boiler-2", "uid-2")
    other = RetainedTopic("office", "s/1", "factory", "boiler-1", "uid-1")
    spool.retain([old, other])
    spool.retain([new])
    spool.release([old])
    assert spool.retained() == (other, new)
    spool.release([new, other])
    assert spool.retained() == ()


def test_statuses_of_other_systems_come_in_pages_of_bytes(spool: Spool) -> None:
    """Large ones come some MiB at a time, every one and in order."""
    rows = tuple(NewExternalStatus("factory", f"w-{number}", b"x" * 900_000, 60.0) for number in range(12))
    spool.commit(NewRows(external=rows))
    names: list[str] = []
    last = 0
    while page := spool.external(last):
        assert len(page) <= 5
        names += [row.name for row in page]
        last = page[-1].seq
    assert names == [row.name for row in rows]


def test_a_status_of_another_system_is_the_newest_until_it_is_taken(spool: Spool, clock: FakeClock) -> None:
    """One row a workflow, with the time until which it may be shown; taking up an old one leaves the newer."""
    first, other = NewExternalStatus("factory", "a", b"1", 10.0), NewExternalStatus("factory", "b", b"2", 20.0)
    begin_s = spool.age.now_s()
    spool.commit(NewRows(external=[first, other]))
    rows = spool.external()
    assert [(row.name, row.body, row.expires_at_s - begin_s) for row in rows] == [("a", b"1", 10.0), ("b", b"2", 20.0)]
    clock.advance(5)
    spool.commit(NewRows(external=[replace(first, body=b"3")]))
    (newer,) = spool.external(rows[-1].seq)
    assert (newer.name, newer.body, newer.expires_at_s - begin_s) == ("a", b"3", 15.0)
    spool.forget_external(rows)
    assert spool.external() == (newer,)
    spool.forget_external([newer])
    assert spool.external() == ()


def test_a_setting_is_the_text_last_set(spool: Spool) -> None:
    """Settings are kept by key; one never set is None."""
    assert spool.meta("watch") is None
    spool.set_meta("watch", "1")
    spool.set_meta("watch", "ä2")
    assert spool.meta("watch") == "ä2"


def test_a_dead_letter_is_kept_whole(spool: Spool) -> None:
    """Every field comes back; what was not told about the payload is worked out."""
    told = letter(payload_bytes=9, payload_digest=b"d" * 32, event_id=b"e" * 32, attempts=3, details=({"at": "x"},))
    spool.commit(NewRows(dead_letters=[told]))
    (kept,) = spool.dead_letters()
    assert kept.letter == told
    assert (kept.count, kept.first_wall_s) == (1, 1_750_000_000.0)
    assert spool.dead_letter(kept.seq) == kept
    assert spool.dead_letter(kept.seq + 1) is None
    assert spool.dead_letter(kept.seq - 1) is None


def test_a_large_payload_is_cut_with_length_and_digest(spool: Spool) -> None:
    """64 KiB of a payload are kept, and its whole length and SHA-256."""
    payload = bytes(range(256)) * 400
    spool.commit(NewRows(dead_letters=[letter(payload=payload)]))
    kept = spool.dead_letters()[0].letter
    assert kept.payload == payload[:65536]
    assert kept.payload_bytes == len(payload)
    assert kept.payload_digest == hashlib.sha256(payload).digest()


def test_like_letters_within_a_minute_are_counted(spool: Spool, clock: FakeClock) -> None:
    """The first of a topic, mapping and reason is kept; those up to a minute after it are counted on it."""
    spool.commit(NewRows(dead_letters=[letter(payload=b"first"), letter(payload=b"second"), letter("other")]))
    clock.advance(59)
    spool.commit(NewRows(events=[event(1)]))
    spool.settle([dead(seqs_waiting(spool)[0], code="invalid-payload")])
    clock.advance(1)
    spool.commit(NewRows(dead_letters=[letter(payload=b"third"), letter(mapping="press")]))
    found = {
        (kept.letter.payload, kept.letter.mapping, kept.letter.reason): kept.count for kept in spool.dead_letters()
    }
    assert found == {
        (b"first", "boiler", "invalid-payload"): 3,
        (b"\xff{", "boiler", "other"): 1,
        (b"third", "boiler", "invalid-payload"): 1,
        (b"\xff{", "press", "invalid-payload"): 1,
    }
    assert max(kept.last_wall_s - kept.first_wall_s for kept in spool.dead_letters()) == 59


@pytest.mark.parametrize("at_once", [True, False])
def test_each_device_has_its_letter(spool: Spool, at_once: bool) -> None:
    """One that chatters hides no other: each topic of each connection has a letter, whatever comes between."""
    chatter = [letter(topic="num/loud") for _ in range(40)]
    others = [letter(topic=f"num/{number}", payload=b"%d" % number) for number in range(18)]
    office = [letter(topic="num/loud", connection="office")]
    mixed = chatter[:20] + others[:9] + chatter[20:] + others[9:] + office
    for batch in [mixed] if at_once else [[one] for one in mixed]:
        spool.commit(NewRows(dead_letters=list(batch)))
    kept = {(one.letter.connection, one.letter.topic): one.count for one in spool.dead_letters()}
    assert kept == {("plant", "num/loud"): 40, ("office", "num/loud"): 1} | {
        ("plant", f"num/{number}"): 1 for number in range(18)
    }


@pytest.mark.parametrize("dies", [False, True])
def test_endless_topics_do_not_drive_out_other_letters(make_spool: MakeSpool, clock: FakeClock, dies: bool) -> None:
    """Within a minute so many topics of a mapping and reason have a letter; the newest stands for all beyond them."""
    spool = make_spool(dead_max_rows=MAX_TOPICS + 5)
    spool.commit(NewRows(dead_letters=[letter("other")]))

    def flood(first: int) -> None:
        numbers = range(first, first + 150)
        spool.commit(NewRows(events=[event(number) for number in numbers]))
        rows = [row.seq for row in spool.waiting("boiler", 0, 1000)]
        letters = [letter(topic=f"t/{number}", event_id=identity(number) if dies else b"") for number in numbers]
        if dies:
            ends = [Finished(seq, Outcome.DEAD, dead_letter=one) for seq, one in zip(rows, letters, strict=True)]
            spool.settle(ends)
        else:
            spool.commit(NewRows(dead_letters=list(letters)))

    flood(0)
    flood(150)
    spool.purge()
    kept = spool.dead_letters(limit=1000)
    assert [one.count for one in kept] == [201] + [1] * MAX_TOPICS
    assert kept[-1].letter.reason == "other"
    clock.advance(60)
    spool.commit(NewRows(dead_letters=[letter(topic="t/0")]))
    assert spool.dead_letters()[0].count == 1
    assert spool.check() == ()


def test_dead_letters_are_listed_newest_first_and_removed(spool: Spool) -> None:
    """A page begins below a number; removing tells how many there were."""
    spool.commit(NewRows(dead_letters=[letter(f"r{number}") for number in range(5)]))
    page = spool.dead_letters(limit=2)
    assert [kept.letter.reason for kept in page] == ["r4", "r3"]
    rest = spool.dead_letters(before_seq=page[-1].seq, limit=9)
    assert [kept.letter.reason for kept in rest] == ["r2", "r1", "r0"]
    assert spool.remove_dead_letters([page[0].seq, rest[0].seq, 999]) == 2
    assert spool.figures().dead_letters == 3


def test_dead_letters_over_a_bound_go_oldest_first_and_counted(make_spool: MakeSpool, clock: FakeClock) -> None:
    """Rows, bytes and age are bounds; what a bound on space takes away is counted with all it stood for."""
    spool = make_spool(dead_max_rows=3, dead_max_bytes=4_700, dead_keep_s=100.0)
    spool.commit(NewRows(dead_letters=[letter("r0"), letter("r0"), *(letter(f"r{number}") for number in range(1, 5))]))
    assert spool.purge() == 2
    assert [kept.letter.reason for kept in spool.dead_letters()] == ["r4", "r3", "r2"]
    assert spool.figures().dead_letters_dropped == 3
    spool.commit(NewRows(dead_letters=[letter("big", payload=b"x" * 4_400)]))
    spool.purge()
    assert [kept.letter.reason for kept in spool.dead_letters()] == ["big"]
    clock.advance(101)
    assert spool.purge() == 1
    assert spool.figures().dead_letters_dropped == 6


def test_an_ended_row_is_kept_for_keep_done(make_spool: MakeSpool, clock: FakeClock) -> None:
    """Until keep-done is over a repeated event is known; waiting rows stay whatever their age."""
    spool = make_spool(keep_done_s=100.0)
    spool.commit(NewRows(events=[event(1), event(2), event(3)]))
    one, two, _ = seqs_waiting(spool)
    spool.settle([done(two)])
    clock.advance(50)
    spool.settle([done(one)])
    clock.advance(51)
    spool.purge()
    assert spool.commit(NewRows(events=[event(1)])).stored == 0
    assert spool.commit(NewRows(events=[event(2)])).stored == 1
    assert spool.figures().waiting == 2


def test_purge_takes_one_step_at_a_time(make_spool: MakeSpool, clock: FakeClock) -> None:
    """No step takes away more rows than its limit, whatever is left."""
    spool = make_spool(keep_done_s=10.0)
    spool.commit(NewRows(events=[event(number) for number in range(25)]))
    spool.settle([done(seq) for seq in seqs_waiting(spool)])
    clock.advance(11)
    # The manifest is the one row beyond the first ten.
    assert [spool.purge(10) for _ in range(4)] == [11, 10, 5, 0]


def test_an_unused_manifest_goes_and_can_come_back(spool: Spool) -> None:
    """A manifest that no row names is purged; an event that brings it again stores it again."""
    spool.commit(NewRows(events=[event(1)]))
    assert spool.purge() == 0
    spool.settle([done(seqs_waiting(spool)[0])])
    assert spool.purge() == 1
    spool.commit(NewRows(events=[event(2)]))
    assert spool.waiting("boiler", 0, 1)[0].event == event(2)
