"""Replays a dead letter: its events go back to dispatch, or its message is parsed again.

An event that failed in dispatch keeps its identity and its workflow's name. A refused message is parsed as by ingest,
but only by the mapping that refused it, because the others have handled it. Its delivery identity is derived from the
dead letter, and the letter is removed in the commit that stores the event: however often a replay is tried or
interrupted, it leads to one event. A replay that cannot succeed changes nothing.

Limits: never sends a reply or a notification; the sender was told of the failure.

Thread: the ``control`` thread of a running bridge, or the command's own if no bridge runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bridge.core.errors import PermanentError
from bridge.core.log import fields, logger
from bridge.core.model import NO_PROPERTIES, Message
from bridge.interface import messages
from bridge.interface.operations import Operation
from bridge.interface.replies import Refusal
from bridge.interface.topics import Request, Topics
from bridge.pipeline.intake import identity
from bridge.pipeline.intake.identity import Deliveries, DeliveryIdentity
from bridge.pipeline.intake.mapped import MappedEvents
from bridge.pipeline.intake.operations import OperationIntake, is_spooled
from bridge.pipeline.intake.requests import Requests
from bridge.pipeline.outbox import SET_ASIDE
from bridge.spool.records import DeadLetter, NewEvent, Replayed
from bridge.spool.store import Spool

_log = logger(__name__)

DELIVERY_BYTES = 16


class Replay:
    """Replays dead letters one by one.

    Args:
        spool: the dead letters, and where their events go.
        topics: the bridge's.
        requests: reads trigger messages.
        operations: reads the other requests.
        mapped: evaluates mappings.
        max_payload_bytes: larger payloads are refused.
        on_stored: called with the lanes that have new rows, to wake dispatch.
    """

    def __init__(
        self,
        *,
        spool: Spool,
        topics: Topics,
        requests: Requests,
        operations: OperationIntake,
        mapped: MappedEvents,
        max_payload_bytes: int,
        on_stored: Callable[[frozenset[str]], None],
    ) -> None:
        self._spool = spool
        self._topics = topics
        self._requests = requests
        self._operations = operations
        self._mapped = mapped
        self._max_payload_bytes = max_payload_bytes
        self._on_stored = on_stored

    def letter(self, seq: int) -> Replayed:
        """Replay one dead letter; returns after the commit.

        Raises:
            PermanentError: it was not replayed and still exists: ``no-such-letter``, ``order-gone``, ``payload-cut``,
                ``not-replayable``, ``nothing-to-do``, or the reason for which it is refused again.
            SpoolError: it still exists; a retry may succeed later.
        """
        kept = self._spool.dead_letter(seq)
        if kept is None:
            raise _no_such_letter(seq)
        events = () if kept.letter.event_id else tuple(self._events(kept))
        if kept.letter.event_id and not kept.kept:
            text = (
                "its event was not kept: it was too large for its share of dead-letters.max-bytes, or is from an "
                "older release"
            )
            raise PermanentError(text, code="order-gone", hint="publish it again")
        replayed = self._spool.replay(seq, events)
        if replayed is None:
            raise _no_such_letter(seq)
        keys = fields(
            action="replay", letter=seq, code=kept.letter.reason, mapping=kept.letter.mapping, topic=kept.letter.topic
        )
        _log.info("replayed a dead letter: %d events wait again", replayed.waiting, extra=keys)
        if replayed.lanes:
            self._on_stored(replayed.lanes)
        return replayed

    def _events(self, kept: DeadLetter) -> Iterator[NewEvent]:
        message = self._message(kept)
        delivery = _LetterDeliveries(kept).of(message)
        meaning = self._topics.parse(message.topic)
        if isinstance(meaning, Request):
            yield self._requested(message, meaning, delivery)
        elif meaning is not None or self._topics.is_interface(message.topic):
            raise PermanentError(
                "its topic belongs to the interface and never starts a workflow", code="not-replayable"
            )
        else:
            yield from self._mapped_events(kept.letter.mapping, message, delivery)

    def _message(self, kept: DeadLetter) -> Message:
        letter = kept.letter
        if letter.reason == SET_ASIDE:
            raise PermanentError("it is a message of the bridge itself", code="not-replayable")
        if letter.payload_bytes > self._max_payload_bytes:
            limit = self._max_payload_bytes
            text = f"its payload has {letter.payload_bytes} bytes, the maximum is {limit} (interface.max-payload)"
            raise PermanentError(text, code="payload-too-large")
        text = ""
        if letter.payload_bytes > len(letter.payload):
            text = f"its payload is incomplete: only {len(letter.payload)} of {letter.payload_bytes} bytes were kept"
        elif letter.properties is None:
            text = "its message is incomplete: its user properties were too large"
        if text:
            raise PermanentError(text, code="payload-cut", hint="publish it again")
        properties = letter.properties or NO_PROPERTIES
        return Message(letter.connection, letter.topic, letter.payload, properties=properties)

    def _requested(self, message: Message, request: Request, delivery: DeliveryIdentity) -> NewEvent:
        if not is_spooled(request.operation):
            text = (
                f"a read cannot be replayed, because nobody would get the reply; send {request.operation.value} again"
            )
            raise PermanentError(text, code="not-replayable")
        body = messages.decode_request(message)
        self._requests.check_operation(request.operation)
        if request.operation is Operation.TRIGGER:
            return self._requests.trigger(message, request, body, delivery)
        return self._operations.event(message, request, body, delivery)

    def _mapped_events(self, mapping: str, message: Message, delivery: DeliveryIdentity) -> Iterator[NewEvent]:
        matches = [match for match in self._mapped.matches(message) if mapping in ("", match.mapping.name)]
        if not matches:
            which = f'mapping "{mapping}"' if mapping else "a mapping"
            raise PermanentError(f"no {which} matches its topic any more", code="nothing-to-do")
        results = [self._mapped.result(match, message, delivery) for match in matches]
        for result in results:
            if isinstance(result, Refusal):
                raise PermanentError(
                    f"refused again: {result.message}", code=result.reason, details=tuple(result.details)
                )
        events = [result for result in results if isinstance(result, NewEvent)]
        if not events:
            raise PermanentError("it starts no workflow: `when` is false", code="nothing-to-do")
        yield from events


class _LetterDeliveries(Deliveries):
    """Gives the message of a dead letter its delivery id: always the same, and different from every other message's."""

    def __init__(self, kept: DeadLetter) -> None:
        super().__init__(lambda *_: None)
        letter = kept.letter
        # Its number alone would be repeated in a newly created spool.
        numbers = (str(kept.seq), repr(kept.first_wall_s))
        origin = identity.digest("dead-letter", *numbers, letter.connection, letter.topic, letter.payload_digest)
        self._delivery_id = origin[:DELIVERY_BYTES]

    def identify(self, message: Message) -> tuple[bytes, None]:  # noqa: ARG002 - there is one message only
        """Return the delivery id; nothing needs to store it, because the letter does."""
        return self._delivery_id, None


def _no_such_letter(seq: int) -> PermanentError:
    return PermanentError(f"no dead letter {seq}", code="no-such-letter")
