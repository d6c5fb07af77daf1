"""No two different inputs share an identity, and only DUP=1 finds an old one."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.core.model import Message
from bridge.pipeline.intake import identity
from bridge.pipeline.intake.identity import Deliveries

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=4)
PARTS = st.lists(ANY_TEXT, max_size=4)


@given(PARTS, PARTS)
def test_different_parts_have_different_digests(first: list[str], second: list[str]) -> None:
    """Parts never run together: ("ab", "c") is not ("a", "bc")."""
    assert (identity.digest(*first) == identity.digest(*second)) == (first == second)


NAMED = st.one_of(
    st.tuples(st.just("mapped"), ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT),
    st.tuples(st.just("requested"), ANY_TEXT, ANY_TEXT, st.tuples(ANY_TEXT) | st.tuples(ANY_TEXT, ANY_TEXT)),
    st.tuples(st.just("delivered"), st.binary(max_size=4), ANY_TEXT),
)


def event_id(named: tuple[object, ...]) -> bytes:
    """The identity of one generated input."""
    kind, *parts = named
    makers = {
        "mapped": identity.mapped_event,
        "requested": identity.requested_event,
        "delivered": identity.delivered_event,
    }
    return makers[str(kind)](*parts)


@given(NAMED, NAMED)
def test_no_two_inputs_share_an_event_id(first: tuple[object, ...], second: tuple[object, ...]) -> None:
    """Kinds, bridges, mappings, topics and ids all tell events apart, and nothing else does."""
    assert (event_id(first) == event_id(second)) == (first == second)
    assert len(event_id(first)) == 32


def delivery(packet_id: int, *, dup: bool = False, payload: bytes = b"p", qos: int = 1) -> Message:
    """One delivery."""
    return Message("plant", "t", payload, qos=qos, dup=dup, packet_id=packet_id)


class Remembered:
    """The spool's memory of deliveries, newest first, and how often it was asked."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int, bytes], bytes] = {}
        self.asked = 0

    def __call__(self, *key: object) -> bytes | None:
        self.asked += 1
        return self.rows.get(key)

    def receive(self, message: Message, deliveries: Deliveries | None = None) -> bytes:
        """Identify one message and commit its row."""
        found = (deliveries or Deliveries(self)).of(message)
        delivery_id = found.id()
        assert found.id() == delivery_id
        if found.row is not None:
            self.rows[found.row.connection, found.row.packet_id, found.row.digest] = found.row.delivery_id
        return delivery_id


@given(st.lists(st.tuples(st.integers(1, 2), st.sampled_from([b"a", b"b"]), st.booleans()), max_size=12))
def test_dup_finds_the_last_delivery_of_its_packet_id_and_content(arrivals: list[tuple[int, bytes, bool]]) -> None:
    """DUP=1 is the newest delivery of that packet id and content; DUP=0 is always a new one."""
    memory, newest, seen = Remembered(), {}, set()
    for packet_id, payload, dup in arrivals:
        found = memory.receive(delivery(packet_id, dup=dup, payload=payload))
        expected = newest.get((packet_id, payload)) if dup else None
        assert found == expected if expected else found not in seen
        newest[packet_id, payload] = found
        seen.add(found)


def test_a_redelivery_within_one_batch_is_found_before_its_commit() -> None:
    """Both deliveries of one message may be in the same batch."""
    memory = Remembered()
    deliveries = Deliveries(memory)
    first = deliveries.of(delivery(7)).id()
    assert deliveries.of(delivery(7, dup=True)).id() == first


def test_qos_0_is_never_remembered() -> None:
    """QoS 0 is never redelivered: always a new event, without a row."""
    deliveries = Deliveries(Remembered())
    first, second = (deliveries.of(delivery(0, qos=0, dup=True)) for _ in range(2))
    assert first.id() != second.id()
    assert first.row is None


def test_nothing_is_looked_up_for_an_event_that_has_a_name() -> None:
    """The delivery id is drawn only where an event needs it."""
    memory = Remembered()
    found = Deliveries(memory).of(delivery(7, dup=True))
    assert (found.row, memory.asked) == (None, 0)
