"""What a replay makes of each dead letter, and that one that cannot succeed changes nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import orjson
import pytest

from bridge.core.errors import PermanentError, SpoolError
from bridge.core.metrics import Metrics
from bridge.core.model import Message, MessageProperties, WorkflowOrder
from bridge.interface.replies import Refusal
from bridge.interface.topics import Topics
from bridge.pipeline.cluster import ClusterSchema
from bridge.pipeline.intake.identity import mapped_event, requested_event
from bridge.pipeline.refusals import Refusals
from bridge.service.replaying import build_replay
from bridge.settings.configuration import load
from bridge.spool.options import SpoolOptions
from bridge.spool.records import Finished, NewDeadLetter, NewEvent, NewRows, Outcome
from bridge.spool.store import Spool
from bridge.validation.library import SchemaLibrary
from tests.support.bridge_files import BRIDGE_ID, NAMESPACE, BridgeFiles
from tests.support.clock import FakeClock
from tests.support.spine import TRIGGER, mapping, submit

MAPPINGS = (
    mapping("plain", "sensors/+/a")
    + mapping("named", "sensors/+/a", "event-id: payload.id")
    + mapping("hot", "sensors/+/b", "when: payload.n > 90.0")
    + mapping("marked", "sensors/+/c").replace("payload.n", "headers.n")
)
PROPERTIES = MessageProperties(user=(("n", "5"),))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    files = BridgeFiles(tmp_path_factory.mktemp("bridge"), "mqtt://h", "http://h", mappings=MAPPINGS)
    found = load(files.write(), {})
    assert found.ok, [problem.render() for problem in found.problems]
    return found


class Scene:
    """A spool in memory, its replay, and what dispatch was told."""

    def __init__(self, loaded, clock, limits):
        self.spool = Spool.in_memory(clock=clock, limits=limits)
        self.woken = []
        schema = ClusterSchema(SchemaLibrary(), "auto", None)
        interface = replace(loaded.settings.interface, max_payload_bytes=200_000)
        settings = replace(loaded.settings, interface=interface)
        self.replay = build_replay(
            settings, loaded.compiled, self.spool, schema, Metrics(), on_stored=self.woken.append
        )
        self.refusals = Refusals(Topics("argo/workflows", BRIDGE_ID), Metrics(), clock)

    def refused(self, topic, body, name="", **keys):
        """Store the dead letter of a message; returns its number."""
        payload = body if isinstance(body, bytes) else orjson.dumps(body)
        message = Message("plant", topic, payload, properties=keys.pop("properties", MessageProperties()))
        refused = self.refusals.of_message(message, Refusal("no-good", "no good"), mapping=name)
        self.spool.commit(NewRows(dead_letters=refused.dead_letters))
        return self.spool.dead_letters()[0].seq

    def waiting(self, lane):
        """The events that wait in a lane."""
        return [row.event for row in self.spool.waiting(lane, 0, 100)]

    def fails(self, seq, code):
        """Replay what cannot be replayed: nothing has changed, and dispatch sleeps on. Returns the sentence."""
        before = self.spool.dead_letters(), self.spool.figures().waiting
        with pytest.raises(PermanentError) as caught:
            self.replay.letter(seq)
        assert caught.value.code == code
        assert (self.spool.dead_letters(), self.spool.figures().waiting) == before
        assert self.woken == []
        return str(caught.value)


@pytest.fixture
def scene(loaded):
    made = Scene(loaded, FakeClock(), SpoolOptions())
    yield made
    assert made.spool.check() == ()
    made.spool.close()


def test_an_event_that_died_goes_back_and_wakes_dispatch(scene):
    """The row waits again with its id and name, and its lane is told."""
    order = WorkflowOrder(NAMESPACE, "b", b'{"metadata":{},"spec":{}}', "b-1")
    event = NewEvent(b"i" * 32, "plain", order, "plain", "sensors/7/a", "plant", b"d" * 32)
    scene.spool.commit(NewRows(events=[event]))
    (row,) = scene.spool.waiting("plain", 0, 1)
    letter = NewDeadLetter("expired", "late", event.topic, "plant", "plain", event_id=event.id)
    scene.spool.settle([Finished(row.seq, Outcome.DEAD, "late", "expired", dead_letter=letter)])
    replayed = scene.replay.letter(scene.spool.dead_letters()[0].seq)
    assert replayed.waiting == 1
    assert scene.waiting("plain") == [event]
    assert scene.woken == [{"plain"}]


def test_a_message_is_read_by_the_mapping_that_refused_it_alone(scene):
    """The other mapping of its topic had it already; topic, connection and value are the message's."""
    seq = scene.refused("sensors/7/a", {"n": 5, "id": 9}, "plain")
    assert scene.replay.letter(seq).waiting == 1
    (event,) = scene.waiting("plain")
    assert (event.topic, event.connection, event.mapping) == ("sensors/7/a", "plant", "plain")
    assert event.order.parameters == {"n": "5"}
    assert event.payload_digest == hashlib.sha256(b'{"n":5,"id":9}').digest()
    assert scene.waiting("named") == []
    assert scene.woken == [{"plain"}]


def test_a_message_that_no_mapping_refused_is_read_by_all(scene):
    """What was refused as a whole led to nothing, so every mapping gets it."""
    assert scene.replay.letter(scene.refused("sensors/7/a", {"n": 5, "id": 9})).waiting == 2
    assert scene.waiting("named")[0].id == mapped_event(BRIDGE_ID, "named", "sensors/7/a", "9")


def test_the_identity_without_an_event_id_is_the_letters(loaded):
    """The same letter leads to the same id each time; alike messages in two letters, or a new spool's, to two."""
    ids = []
    for wall_s, letters in ((1_750_000_000.0, 2), (1_750_000_000.0, 1), (1_750_000_500.0, 1)):
        made = Scene(loaded, FakeClock(wall_s), SpoolOptions())
        for _ in range(letters):
            made.replay.letter(made.refused("sensors/7/a", {"n": 5}, "plain"))
        ids.append([event.id for event in made.waiting("plain")])
        made.spool.close()
    (first, second), again, later = ids
    assert [first] == again
    assert len({first, second, *later}) == 3


def test_a_trigger_message_is_the_event_that_its_sender_names(scene):
    """With eventId the id is what it would have been; it is not answered, for the sender was."""
    scene.replay.letter(scene.refused(TRIGGER, submit(eventId="e-1")))
    (event,) = scene.waiting(f"trigger:{NAMESPACE}")
    assert event.id == requested_event(BRIDGE_ID, TRIGGER, ("eventId", "e-1"))
    assert event.reply is None


def test_a_request_under_the_name_of_another_one_is_kept(scene):
    """It was refused for that; a replay would count it as known and lose it."""
    first = scene.refused(TRIGGER, submit(eventId="o-1"))
    scene.replay.letter(first)
    scene.woken.clear()
    other = scene.refused(TRIGGER, {"submit": {"template": "other"}, "eventId": "o-1"})
    scene.fails(other, "event-id-reused")
    assert len(scene.waiting("trigger:factory")) == 1


def test_an_event_that_came_by_itself_meanwhile_is_known(scene):
    """The sender mended its message and sent it again: the replay adds nothing, and dispatch is not woken."""
    one, two = scene.refused(TRIGGER, submit(eventId="e-1")), None
    scene.replay.letter(one)
    two = scene.refused(TRIGGER, submit(eventId="e-1"))
    scene.woken.clear()
    assert (scene.replay.letter(two).known, scene.woken) == (1, [])
    assert len(scene.waiting(f"trigger:{NAMESPACE}")) == 1


def test_user_properties_are_part_of_the_message(scene):
    """A mapping that reads them finds them."""
    scene.replay.letter(scene.refused("sensors/7/c", {}, "marked", properties=PROPERTIES))
    assert scene.waiting("marked")[0].order.parameters == {"n": "5"}


@pytest.mark.parametrize(
    ("topic", "body", "name", "code", "word"),
    [
        ("sensors/7/a", {"id": 9}, "plain", "expression-error", "refused again"),
        ("sensors/7/a", {"n": 1}, "gone", "nothing-to-do", 'mapping "gone"'),
        ("elsewhere", {"n": 1}, "", "nothing-to-do", "matches its topic"),
        ("sensors/7/b", {"n": 1}, "hot", "nothing-to-do", "`when` is false"),
        (TRIGGER, b"{", "", "invalid-json", "not JSON"),
        (TRIGGER, submit(namespace="other"), "", "forbidden-namespace", "other"),
        ("argo/workflows/get", {"workflowId": "x"}, "", "not-replayable", "send get again"),
        ("argo/workflows/stop", {"name": "x"}, "", "unknown-key", 'unknown key "name"'),
        ("argo/workflows/status", {"name": "x"}, "", "not-replayable", "interface"),
        ("sensors/7/a", b"1" * 65_537, "plain", "payload-cut", "65536 of 65537 bytes"),
        ("sensors/7/a", b"1" * 200_001, "plain", "payload-too-large", "200001"),
    ],
)
def test_what_cannot_be_replayed_is_said_and_kept(scene, topic, body, name, code, word):
    """Refused again, nothing to do, not kept whole: a sentence, and the letter stays as it is."""
    assert word in scene.fails(scene.refused(topic, body, name), code)


def test_a_message_whose_properties_were_too_large_is_not_replayed(scene):
    """Without its user properties it would be another message."""
    large = MessageProperties(user=(("n", "x" * 20_000),))
    assert "user properties" in scene.fails(scene.refused("sensors/7/c", {}, "marked", properties=large), "payload-cut")


def test_an_event_that_is_not_kept_is_not_replayed(scene):
    """A letter whose event was too large to keep says so, and one that is not there, too."""
    letter = NewDeadLetter("expired", "late", "t", "plant", "plain", event_id=b"i" * 32)
    scene.spool.commit(NewRows(dead_letters=[letter]))
    seq = scene.spool.dead_letters()[0].seq
    assert "not kept" in scene.fails(seq, "order-gone")
    assert f"dead letter {seq + 1}" in scene.fails(seq + 1, "no-such-letter")


def test_a_spool_that_takes_nothing_keeps_the_letter(loaded):
    """A full spool is told as it is, and the letter can be replayed later."""
    made = Scene(loaded, FakeClock(), SpoolOptions(max_rows=0))
    seq = made.refused("sensors/7/a", {"n": 5}, "plain")
    with pytest.raises(SpoolError):
        made.replay.letter(seq)
    assert made.spool.dead_letter(seq) is not None
    assert made.woken == []
    made.spool.close()
