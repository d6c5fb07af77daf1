"""What one connection must still get: changed topics, messages in flight, and our retained messages there.

Bookkeeping only: it publishes nothing and reads no clock. Never a queue: a topic is changed or not, and its value at
the time of sending is sent. Owned by the status thread through `bridge.status.shown.publisher`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice

from bridge.core.model import WorkflowRef
from bridge.spool.records import RetainedTopic
from bridge.transports.base import Session, Transport

Key = tuple[str, str]
"""(topic, "") for a retained topic; (stream topic, uid) for the last state of one workflow on the stream."""

WINDOW = 100
SETTLE_S = 1.0
MAX_SETTLE_S = 10.0
REFUSED_PAUSE_S = 30.0
RECENT_S = 120.0
_MAX_RECENT = 20_000
_MAX_ECHOES = 4


class Echoes:
    """Our own messages on retained topics that will come back: all others are from someone else.

    For each topic the last `_MAX_ECHOES` are remembered. Messages lost with a connection do not come back; if an echo
    is then confused with another message, this costs one publish too few or too many.
    """

    def __init__(self) -> None:
        self._digests: dict[str, tuple[bytes, ...]] = {}

    def sent(self, topic: str, digest: bytes) -> None:
        """Note that a value is published."""
        digests = self._digests.pop(topic, ())
        self._digests[topic] = (*digests[1 - _MAX_ECHOES :], digest)
        if len(self._digests) > _MAX_RECENT:
            del self._digests[next(iter(self._digests))]

    def expect(self, topic: str, digest: bytes) -> bool:
        """Return whether this message was expected back; it is then no longer expected."""
        digests = self._digests.get(topic, ())
        if digest not in digests:
            return False
        rest = digests[digests.index(digest) + 1 :]
        if rest:
            self._digests[topic] = rest
        else:
            del self._digests[topic]
        return True


class Link:
    """One connection.

    Attributes:
        owned: topics that may have a retained message of ours, with the workflow of their row in the spool.
        unsaved: topics found retained without a row; the row is written before anything else.
        released: cleared topics whose row can be deleted.
        dirty: keys to publish, in the order of their changes.
        held: like dirty, but only if the broker does not already have the same (start-up).
        in_flight: passed to the transport; key -> token.
        refused: refused by the broker; key -> when to try again.
        seen: digests of the retained messages from the broker; kept until the start-up is over, and after each
            reconnect until it is settled.
        foreign: owned topics whose last message is another bridge's, which we must not clear.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.name = transport.name
        self.is_ready = False
        self.settled_at_s = float("inf")
        self.retry_at_s = 0.0
        self.owned: dict[str, WorkflowRef] = {}
        self.unsaved: dict[str, WorkflowRef] = {}
        self.released: dict[str, WorkflowRef] = {}
        self.dirty: dict[Key, None] = {}
        self.held: dict[Key, None] = {}
        self.in_flight: dict[Key, int] = {}
        self.refused: dict[Key, float] = {}
        self.seen: dict[str, bytes] = {}
        self.foreign: set[str] = set()
        self._settled_by_s = float("inf")
        self._recent: dict[Key, float] = {}
        self.echoes = Echoes()

    @property
    def is_settled(self) -> bool:
        """Whether everything that can be sent now was sent and acknowledged."""
        return not self.is_ready or not (self.dirty or self.held or self.in_flight or self.released)

    def mark(self, key: Key, *, initial: bool = False) -> None:
        """Note that the value of `key` changed; `initial`: possibly unchanged since before this process started."""
        if initial and key not in self.dirty:
            self.held[key] = None
            return
        self.held.pop(key, None)
        if key not in self.refused:
            self.dirty[key] = None

    def mark_cleared(self, key: Key, now_s: float) -> None:
        """Note that `key` has no value any more; before the link is settled it may turn out to be another bridge's."""
        self.discard(key)
        self.mark(key, initial=now_s < self.settled_at_s)

    def discard(self, key: Key) -> None:
        """Note that `key` need not be published."""
        self.dirty.pop(key, None)
        self.held.pop(key, None)
        self.refused.pop(key, None)

    def wants(self, key: Key) -> bool:
        """Whether `key` must still be sent or is in flight."""
        return key in self.dirty or key in self.held or key in self.in_flight or key in self.refused

    def connected(self, session: Session, shown: Collection[Key], now_s: float) -> None:
        """Note that the broker accepted us.

        A broker that kept the session may still have lost its last unsaved seconds (Mosquitto writes to disk once per
        ``autosave_interval``). So recently acknowledged messages are sent again, and all others are compared with the
        retained messages it delivers. A broker that kept nothing has lost everything.

        `shown` are the keys that have a value. An owned topic without one is undecided, or dirty already.
        """
        self.seen.clear()
        self.foreign.clear()
        for topic in self.owned:
            if (topic, "") in shown:
                self.mark((topic, ""), initial=session is not Session.NEW)
        self._forget_before(now_s - RECENT_S)
        for key in self._recent:
            if not key[1]:
                self.mark(key)

    def ready(self, now_s: float) -> None:
        """Note that publishing may begin; refused messages may be allowed now."""
        self.is_ready = True
        self.retry_at_s = 0.0
        self.settled_at_s = now_s + SETTLE_S
        self._settled_by_s = now_s + MAX_SETTLE_S
        self._again(self.refused)

    def heard(self, now_s: float) -> None:
        """Note that the broker still delivers retained messages: wait for the rest, `MAX_SETTLE_S` in total."""
        if now_s < self.settled_at_s < float("inf"):
            self.settled_at_s = min(now_s + SETTLE_S, self._settled_by_s)

    def let_go(self, topic: str) -> None:
        """Note that a topic no longer has our message: its row can be deleted."""
        self.unsaved.pop(topic, None)
        self.foreign.discard(topic)
        ref = self.owned.pop(topic, None)
        if ref is not None:
            self.released[topic] = ref

    def disconnected(self) -> None:
        """Note that messages in flight may be lost."""
        self.is_ready = False
        self.settled_at_s = float("inf")
        self._again(self.in_flight)

    def _again(self, place: dict[Key, int] | dict[Key, float]) -> None:
        keys = list(place)
        place.clear()
        for key in keys:
            self.mark(key)

    def published(self, key: Key, now_s: float) -> None:
        """Remember an acknowledged publish for a while."""
        self._recent.pop(key, None)
        self._recent[key] = now_s
        self.foreign.discard(key[0])
        self._forget_before(now_s - RECENT_S)

    def _forget_before(self, limit_s: float) -> None:
        while self._recent:
            key, at_s = next(iter(self._recent.items()))
            if at_s >= limit_s and len(self._recent) <= _MAX_RECENT:
                return
            del self._recent[key]

    def retry_refused(self, now_s: float) -> None:
        """Retry messages that were refused long enough ago."""
        due = [key for key, at_s in self.refused.items() if at_s <= now_s]
        for key in due:
            del self.refused[key]
            self.mark(key)

    def sendable(self) -> list[Key]:
        """Return the dirty keys that can be sent now: as many as the window has room for, none that is in flight."""
        room = WINDOW - len(self.in_flight)
        return list(islice(self._free(), max(0, room)))

    def _free(self) -> Iterator[Key]:
        return (key for key in self.dirty if key not in self.in_flight)

    def row(self, topic: str, ref: WorkflowRef) -> RetainedTopic:
        """Return the spool row saying that `topic` of this connection shows `ref`."""
        return RetainedTopic(self.name, topic, ref.namespace, ref.name, ref.uid)
