"""What ingest is promised: one commit, exactly one row an event, every sender answered."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest

from bridge.core.errors import PermanentError, SpoolError
from bridge.spool.records import Committed, Inflight, NewRows, Outcome, Postponed, StoredOutcome
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import (
    MakeSpool,
    dead,
    done,
    event,
    identity,
    letter,
    message,
    numbers_waiting,
    reply,
    seqs_waiting,
)


def test_an_event_comes_back_as_it_was_stored(spool: Spool) -> None:
    """Every field of an event, awkward text and bytes too, is given to dispatch unchanged."""
    stored = event(1, value="\u0000ä{{", status_topic="s/1", order_key="k", max_age_s=7.5, reply=reply(1))
    assert spool.commit(NewRows(events=[stored])) == Committed(1)
    (row,) = spool.waiting("boiler", 0, 10)
    assert row.event == stored
    assert row.replies == (reply(1),)
    assert (row.attempts, row.not_before_s, row.expires_at_s, row.stored_at_s) == (0, 0.0, 8.5, 1.0)


def test_an_event_is_stored_once_however_often_it_comes(spool: Spool) -> None:
    """Committing the same ids again, alone or among new ones, inserts only what is new, in order."""
    spool.commit(NewRows(events=[event(1), event(2)]))
    again = spool.commit(NewRows(events=[event(2), event(3), event(1)]))
    assert again.stored == 1
    assert [outcome.id for outcome in again.known] == [identity(2), identity(1)]
    assert numbers_waiting(spool) == ["1", "2", "3"]
    assert spool.figures().rows == 3


def test_an_event_twice_in_one_batch_is_one_row(spool: Spool) -> None:
    """The second of two equal events in one batch is known, and its sender is answered too."""
    found = spool.commit(NewRows(events=[event(1, reply=reply(1)), event(1, reply=reply(2))]))
    assert found.stored == 1
    assert found.known == (StoredOutcome(identity(1), False, None, "factory", "boiler-1"),)
    assert spool.waiting("boiler", 0, 10)[0].replies == (reply(1), reply(2))


def test_a_known_event_tells_how_it_ended(spool: Spool) -> None:
    """An event that comes after its end reports the first one's outcome, with the words its sender got."""
    spool.commit(NewRows(events=[event(1), event(2)]))
    first, second = seqs_waiting(spool)
    spool.settle([done(first), dead(second)])
    found = spool.commit(NewRows(events=[event(1), event(2)]))
    assert found.known == (
        StoredOutcome(identity(1), False, Outcome.DONE, "factory", "boiler-1"),
        StoredOutcome(identity(2), False, Outcome.DEAD, "factory", "boiler-2", "the name is taken", "name-taken"),
    )
    assert spool.waiting_lanes() == ()


def test_a_reused_event_id_is_noticed(spool: Spool) -> None:
    """The same id with another payload is the same event, and reported as reused, waiting or ended."""
    spool.commit(NewRows(events=[event(1)]))
    other = event(1, payload_digest=identity(-2))
    assert spool.commit(NewRows(events=[other])).known[0].reused
    spool.settle([done(seqs_waiting(spool)[0])])
    assert spool.commit(NewRows(events=[other])).known[0].reused
    assert not spool.commit(NewRows(events=[event(1)])).known[0].reused


def test_another_request_under_a_known_id_has_no_part_in_it(spool: Spool) -> None:
    """It is reported as reused, waiting or ended, and its address is not attached; the same content is alike."""
    first = event(1, payload_digest=identity(-2), content_digest=identity(-3), reply=reply(1))
    spool.commit(NewRows(events=[first]))
    assert spool.waiting("boiler", 0, 10)[0].event == first
    other = replace(first, content_digest=identity(-4), reply=reply(2))
    retry = replace(first, payload_digest=identity(-5), reply=reply(3))
    assert [one.reused for one in spool.commit(NewRows(events=[other, retry])).known] == [True, False]
    assert spool.waiting("boiler", 0, 10)[0].replies == (reply(1), reply(3))
    spool.settle([done(seqs_waiting(spool)[0], answered=2)])
    assert [one.reused for one in spool.commit(NewRows(events=[other, retry])).known] == [True, False]


def test_the_same_address_is_attached_once(spool: Spool) -> None:
    """A redelivery of one request waits for one reply; another request for the same event for its own."""
    spool.commit(NewRows(events=[event(1, reply=reply(1))]))
    for number in (1, 2, 2, 1, 3):
        spool.commit(NewRows(events=[event(1, reply=reply(number))]))
    assert spool.waiting("boiler", 0, 10)[0].replies == (reply(1), reply(2), reply(3))


def test_a_reply_attached_after_the_row_was_read_is_not_lost(spool: Spool) -> None:
    """A row that got another address since dispatch read it stays, and is given back with all its addresses."""
    # The race: dispatch reads the row and submits it; ingest attaches a second address; dispatch settles.
    spool.commit(NewRows(events=[event(1, reply=reply(1))]))
    (row,) = spool.waiting("boiler", 0, 10)
    spool.commit(NewRows(events=[event(1, reply=reply(2))]))
    (again,) = spool.settle([done(row.seq, "one", answered=len(row.replies))])
    assert again.replies == (reply(1), reply(2))
    assert spool.outbox("plant", 0, 10) == ()
    assert spool.settle([done(again.seq, "one", "two", answered=2)]) == ()
    assert len(spool.outbox("plant", 0, 10)) == 2
    assert spool.figures().waiting == 0


def test_a_batch_that_cannot_be_stored_leaves_nothing(spool: Spool) -> None:
    """One value that is not text refuses the whole batch as not-storable; the next batch goes through."""
    good = NewRows(events=[event(1)], outbox=[message("a")], dead_letters=[letter()])
    for bad in (event(2, value="\ud800"), event(2, lane="\ud800"), event(2, order_key="\ud800")):
        with pytest.raises(PermanentError, match="cannot store") as caught:
            spool.commit(replace(good, events=(event(1), bad)))
        assert caught.value.code == "not-storable"
    assert spool.figures().rows == spool.figures().outbox == spool.figures().dead_letters == 0
    spool.commit(good)
    assert numbers_waiting(spool) == ["1"]


def test_a_manifest_is_stored_once(spool: Spool) -> None:
    """Events that share a manifest share its bytes, also when they are read."""
    big = b'{"spec":"' + b"x" * 300_000 + b'"}'
    before = spool.figures().bytes
    for number in range(20):
        spool.commit(NewRows(events=[event(number, manifest=bytes(bytearray(big)))]))
    assert spool.figures().bytes - before < 4 * len(big)
    rows = spool.waiting("boiler", 0, 100)
    assert len({id(row.event.order.manifest) for row in rows}) == 1
    assert rows[0].event.order.manifest == big


def test_a_redelivery_is_recognised_by_packet_id_and_digest(spool: Spool) -> None:
    """The delivery id is found for its connection, packet id and digest, and for no other."""
    spool.commit(NewRows(inflight=[Inflight("plant", 7, identity(1), b"a" * 16)]))
    assert spool.delivery_id("plant", 7, identity(1)) == b"a" * 16
    assert spool.delivery_id("plant", 7, identity(2)) is None
    assert spool.delivery_id("plant", 8, identity(1)) is None
    assert spool.delivery_id("office", 7, identity(1)) is None


def test_two_live_messages_may_share_a_packet_id(spool: Spool) -> None:
    """The newest four deliveries of a packet id are remembered, bytes of every value kept."""
    ids = [bytes([number, 0, 255, 10]) * 4 for number in range(6)]
    for number, delivery_id in enumerate(ids):
        spool.commit(NewRows(inflight=[Inflight("plant", 7, identity(number), delivery_id)]))
    found = [spool.delivery_id("plant", 7, identity(number)) for number in range(6)]
    assert found == [None, None, *ids[2:]]


def test_a_redelivery_does_not_push_others_out(spool: Spool) -> None:
    """The same delivery committed many times takes one place; a new delivery of equal content wins over the old."""
    spool.commit(NewRows(inflight=[Inflight("plant", 7, identity(0), b"0" * 16)]))
    same = Inflight("plant", 7, identity(1), b"1" * 16)
    for _ in range(9):
        spool.commit(NewRows(inflight=[same]))
    assert spool.delivery_id("plant", 7, identity(0)) == b"0" * 16
    spool.commit(NewRows(inflight=[replace(same, delivery_id=b"2" * 16)]))
    assert spool.delivery_id("plant", 7, identity(1)) == b"2" * 16


def test_a_new_session_forgets_its_deliveries(spool: Spool) -> None:
    """After session present = 0 a packet id says nothing; other connections keep theirs."""
    rows = (Inflight("plant", 7, identity(1), b"a" * 16), Inflight("office", 7, identity(1), b"b" * 16))
    spool.commit(NewRows(inflight=rows))
    spool.forget_inflight("plant")
    assert spool.delivery_id("plant", 7, identity(1)) is None
    assert spool.delivery_id("office", 7, identity(1)) == b"b" * 16


def test_a_full_spool_refuses_new_events_and_only_those(make_spool: MakeSpool) -> None:
    """With max-rows waiting, a batch with a new event is refused whole; known events and refusals go through."""
    spool = make_spool(max_rows=2)
    spool.commit(NewRows(events=[event(1), event(2)]))
    with pytest.raises(SpoolError) as caught:
        spool.commit(NewRows(events=[event(1), event(3)], outbox=[message("a")]))
    assert caught.value.code == "spool-full"
    assert spool.figures().outbox == 0
    assert spool.commit(NewRows(events=[event(1, reply=reply(1))])).stored == 0
    assert spool.waiting("boiler", 0, 1)[0].replies == (reply(1),)
    spool.commit(NewRows(outbox=[message("a")], dead_letters=[letter()]))
    assert spool.figures().outbox == 1


def test_ended_rows_make_room_before_anything_is_refused(make_spool: MakeSpool) -> None:
    """History goes before keep-done when new events need its place, and is counted."""
    spool = make_spool(max_rows=3)
    spool.commit(NewRows(events=[event(1), event(2), event(3)]))
    spool.settle([done(seq) for seq in seqs_waiting(spool)[:2]])
    assert spool.commit(NewRows(events=[event(4), event(5)])).stored == 2
    assert spool.figures().ended_early == 2
    assert numbers_waiting(spool) == ["3", "4", "5"]


def test_a_message_larger_than_the_spool_gets_in(make_spool: MakeSpool) -> None:
    """While there is room a message's events are taken whole, however many; then nothing is until there is again."""
    spool = make_spool(max_rows=2)
    for first in (10, 20):
        spool.commit(NewRows(events=[event(first)]))
        events = [event(first + more) for more in range(1, 8)]
        assert spool.commit(NewRows(events=events)).stored == 7
        with pytest.raises(SpoolError, match="max-rows"):
            spool.commit(NewRows(events=[event(99)]))
        spool.settle([done(seq) for seq in seqs_waiting(spool)])


def test_a_message_of_more_bytes_than_the_spool_gets_in(make_spool: MakeSpool) -> None:
    """So does one that alone takes more than max-bytes."""
    spool = make_spool(max_bytes=1_000_000)
    large = [event(number, value="x" * 10_000) for number in range(200)]
    assert spool.commit(NewRows(events=large)).stored == 200
    with pytest.raises(SpoolError, match="max-bytes"):
        spool.commit(NewRows(events=[event(999)]))
    spool.settle([done(seq) for seq in seqs_waiting(spool)])
    assert spool.commit(NewRows(events=[event(999)])).stored == 1


def test_the_spool_is_full_by_bytes_and_drains(make_spool: MakeSpool) -> None:
    """max-bytes counts what the file holds: settled rows free it again without a restart."""
    spool = make_spool(max_bytes=2_000_000)
    batches = [NewRows(events=[event(n, value="x" * 1000) for n in range(at, at + 50)]) for at in range(0, 2000, 50)]
    with pytest.raises(SpoolError, match="max-bytes"):
        deque(map(spool.commit, batches), maxlen=0)
    stored = spool.figures().rows
    assert 800 < stored < 2000
    spool.settle([done(seq) for seq in seqs_waiting(spool)])
    assert spool.commit(NewRows(events=[event(9000 + n, value="x" * 1000) for n in range(500)])).stored == 500


def test_a_postponed_event_is_still_known(spool: Spool) -> None:
    """A retry under way does not make its redelivery a new event."""
    spool.commit(NewRows(events=[event(1)]))
    spool.settle([], [Postponed(seqs_waiting(spool)[0], 1, 50.0)])
    assert spool.commit(NewRows(events=[event(1)])).known[0].outcome is None


def test_a_closed_spool_says_so(spool: Spool, make_spool: MakeSpool) -> None:
    """After close every use raises SpoolError; closing twice does no harm."""
    other = make_spool()
    other.close()
    other.close()
    for use in (
        lambda: other.commit(NewRows(events=[event(1)])),
        lambda: other.meta("a"),
        lambda: other.settle([done(1)]),
    ):
        with pytest.raises(SpoolError, match="closed"):
            use()
