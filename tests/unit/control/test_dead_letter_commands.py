"""What is answered about dead letters, whoever asks."""

from __future__ import annotations

import base64
from contextlib import contextmanager

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.control.dead_letter_commands import MAX_IDS, PAGE, PAGE_BYTES, DeadLetterCommands
from bridge.core.errors import PermanentError, SpoolError
from bridge.core.model import WorkflowOrder
from bridge.spool.records import Finished, NewDeadLetter, NewEvent, NewRows, Outcome, Replayed
from bridge.spool.store import Spool
from tests.support.clock import FakeClock


def replay_one(seq: int) -> Replayed:
    if seq == 3:
        raise PermanentError("no good", code="no-good", hint="mend it")
    if seq == 4:
        raise SpoolError("it is full", code="spool-full")
    return Replayed(1, 2, frozenset({"m"}), 3)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def spool(clock):
    with Spool.in_memory(clock=clock) as made:
        yield made


@pytest.fixture
def desk(spool):
    return DeadLetterCommands(spool, replay_one)


@contextmanager
def refusals_suppressed():
    """Let nothing pass but a refusal of the question."""
    try:
        yield
    except PermanentError as error:
        if error.code not in {"bad-question", "no-such-letter"}:
            raise


def store(spool, *reasons, **keys):
    """Store a letter for each reason; returns their numbers."""
    keys = {"payload": b"x", "mapping": "m", "topic": "t/1"} | keys
    letters = tuple(NewDeadLetter(reason, f"it is {reason}", connection="plant", **keys) for reason in reasons)
    spool.commit(NewRows(dead_letters=letters))
    return [kept.seq for kept in spool.dead_letters(limit=len(reasons))][::-1]


def listed(desk, **keys):
    """The numbers that a list answers, and whether there is more."""
    answer = desk.ask({"do": "list"} | keys)
    return [letter["id"] for letter in answer["letters"]], answer["more"]


def test_a_list_goes_on_from_where_a_page_ends(desk, spool):
    """Newest first, page by page, filtered; each letter has its reason, message, attempts and times."""
    one, two, three = store(spool, "a", "b", "c")
    assert listed(desk, limit=2) == ([three, two], True)
    assert listed(desk, limit=2, before=two) == ([one], False)
    assert listed(desk, reason="b") == ([two], False)
    assert listed(desk, mapping="other") == ([], False)
    (letter,) = desk.ask({"do": "list", "reason": "a"})["letters"]
    assert letter == {
        "id": one,
        "reason": "a",
        "message": "it is a",
        "mapping": "m",
        "topic": "t/1",
        "connection": "plant",
        "count": 1,
        "attempts": 0,
        "firstTime": "2025-06-15T15:06:40.000Z",
        "lastTime": "2025-06-15T15:06:40.000Z",
        "replayable": 1,
    }


def test_a_page_is_bounded_by_bytes(desk, spool):
    """Long topics make a shorter page, never an empty one, and the rest is told."""
    numbers = store(spool, *(f"r{number}" for number in range(9)), topic="x" * 60_000)
    found, more = listed(desk)
    assert found == numbers[::-1][: len(found)]
    assert 1 <= len(found) <= PAGE_BYTES // 60_000
    assert more
    store(spool, "big", topic="y" * (PAGE_BYTES + 1))
    assert len(listed(desk)[0]) == 1


@pytest.mark.parametrize(
    ("payload", "form", "text"), [(b'{"\xc3\xa4": 1}', "text", '{"ä": 1}'), (b"\xff\0", "base64", "/wA=")]
)
def test_a_message_is_shown_with_its_payload(desk, spool, payload, form, text):
    """As text where it is text, else as base64; whole length, digest and details with it."""
    (seq,) = store(spool, "a", payload=payload, details=({"at": "x"},))
    letter = desk.ask({"do": "show", "id": seq})["letter"]
    assert letter["payload"] == {form: text}
    assert (letter["payloadBytes"], letter["details"], letter["replayable"]) == (len(payload), ({"at": "x"},), 1)
    assert len(letter["payloadSha256"]) == 64


def test_a_cut_payload_is_not_replayable(desk, spool):
    """What is kept of it is shown; the letter says that there is nothing to replay."""
    (seq,) = store(spool, "a", payload=b"x" * 70_000)
    letter = desk.ask({"do": "show", "id": seq})["letter"]
    assert (letter["replayable"], letter["payloadBytes"], len(letter["payload"]["text"])) == (0, 70_000, 65_536)


def test_an_event_is_shown_with_its_order(desk, spool):
    """A few of the workflows that a replay submits, as they would be created; a huge one does not fill the answer."""
    manifest = orjson.dumps({"metadata": {}, "spec": {"x": "y" * 100_000}})
    events = [
        NewEvent(
            bytes([n]) * 32, "m", WorkflowOrder("ns", "b", manifest, f"b-{n}", {"p": "1"}), "m", "t", "plant", b"d"
        )
        for n in range(4)
    ]
    spool.commit(NewRows(events=list(events)))
    letters = [NewDeadLetter("late", "late", "t", "plant", "m", event_id=event.id) for event in events]
    rows = spool.waiting("m", 0, 9)
    spool.settle(
        [Finished(row.seq, Outcome.DEAD, "late", "late", (), told) for row, told in zip(rows, letters, strict=True)]
    )
    letter = desk.ask({"do": "show", "id": spool.dead_letters()[0].seq})["letter"]
    assert (letter["count"], letter["replayable"], len(letter["events"])) == (4, 4, 2)
    first = letter["events"][0]
    assert (first["workflow"], first["namespace"], first["parameters"]) == ("b-0", "ns", {"p": "1"})
    assert first["manifest"] == orjson.loads(manifest)
    assert "payload" not in letter


def test_a_letter_that_is_not_there_is_refused(desk):
    """Show says so."""
    with pytest.raises(PermanentError) as caught:
        desk.ask({"do": "show", "id": 7})
    assert caught.value.code == "no-such-letter"


def test_each_replay_has_its_own_result(desk):
    """One that fails keeps none of the others from being tried."""
    results = desk.ask({"do": "replay", "ids": [1, 3, 4, 2]})["results"]
    good = {"waiting": 1, "known": 2, "notKept": 3}
    assert results == [
        {"id": 1} | good,
        {"id": 3, "error": {"code": "no-good", "message": "no good", "hint": "mend it"}},
        {"id": 4, "error": {"code": "spool-full", "message": "it is full", "hint": ""}},
        {"id": 2} | good,
    ]


def test_purge_stops_at_what_was_there(desk, spool, clock):
    """The first answer names the newest number; with it, letters that come meanwhile are spared."""
    one, two = store(spool, "a", "b")
    first = desk.ask({"do": "purge", "reason": "a"})
    assert first == {"purged": 1, "upto": two}
    (three,) = store(spool, "c")
    assert desk.ask({"do": "purge", "upto": two}) == {"purged": 1, "upto": two}
    assert listed(desk)[0] == [three]
    clock.advance(100)
    assert desk.ask({"do": "purge", "olderThan": 101})["purged"] == 0
    assert desk.ask({"do": "purge", "olderThan": 99.5})["purged"] == 1
    assert desk.ask({"do": "purge"}) == {"purged": 0, "upto": 0}
    numbers = store(spool, "d", "e")
    assert desk.ask({"do": "purge", "ids": [numbers[0], one]})["purged"] == 1


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"do": "drop"},
        {"do": ["list"]},
        {"do": "list", "limit": 0},
        {"do": "list", "limit": PAGE + 1},
        {"do": "list", "limit": True},
        {"do": "list", "before": -1},
        {"do": "list", "mapping": 5},
        {"do": "list", "colour": "red"},
        {"do": "show"},
        {"do": "show", "id": 2**63},
        {"do": "show", "id": "1"},
        {"do": "show", "id": 1, "more": 1},
        {"do": "replay"},
        {"do": "replay", "ids": ["1"]},
        {"do": "replay", "ids": [1] * (MAX_IDS + 1)},
        {"do": "replay", "ids": [1], "all": True},
        {"do": "purge", "olderThan": "7d"},
        {"do": "purge", "ids": [2**64]},
        {"do": "purge", "ids": [1], "reason": "a"},
        {"do": "purge", "olderThan": -5},
    ],
)
def test_a_bad_question_does_nothing(desk, spool, question):
    """Whatever is missing, of a wrong kind, too large or unknown is refused before anything is done."""
    store(spool, "a")
    with pytest.raises(PermanentError) as caught:
        desk.ask(question)
    assert caught.value.code == "bad-question"
    assert spool.figures().dead_letters == 1


@given(
    st.dictionaries(
        st.sampled_from(["do", "id", "ids", "before", "limit", "mapping", "reason", "upto", "olderThan", "x"]),
        st.sampled_from(["list", "show", "replay", "purge"])
        | st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), st.lists),
    )
)
def test_any_question_is_answered_or_refused(question):
    """Nothing that JSON can hold makes the desk fail otherwise, and its answers can be sent."""
    with Spool.in_memory(clock=FakeClock()) as spool:
        store(spool, "a", payload=base64.b64decode("/wA="))
        with refusals_suppressed():
            assert orjson.dumps(DeadLetterCommands(spool, replay_one).ask(question))
