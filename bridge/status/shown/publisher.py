"""Brings every connection to the newest value of every status topic, and clears topics without a value.

The rules for a retained topic: its row is in the spool before the first publish, and is deleted after the broker has
acknowledged the clearing publish. So everything a crash leaves behind is found again. It decides nothing about
workflows.

Thread: the status thread owns it; `problem` may be read from any thread.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

from bridge.core import log
from bridge.core.clock import Clock
from bridge.core.errors import SpoolError
from bridge.core.model import HealthProblem, OutgoingMessage, WorkflowRef
from bridge.spool.records import RetainedTopic
from bridge.spool.store import Spool
from bridge.status.decided.transitions import Statement, digest_of
from bridge.status.seen.events import Event
from bridge.status.shown.destination import REFUSED_PAUSE_S, Key, Link
from bridge.transports.base import PublishDone, PublishResult, Session, SetAside, Transport

_LOG = log.logger(__name__)
_SPOOL_PAUSE_S = 2.0
_FULL_PAUSE_S = 0.05
_MAX_UNSENT_GONE = 1000
_REMEMBER_S = 10.0
MEND_PAUSE_S = 1.0


class Publisher:
    """The values of topics, and for each connection those it must still get.

    `signal` passes the ends of publishes from transport threads to the status thread.
    """

    def __init__(
        self,
        *,
        store: Spool,
        transports: Sequence[Transport],
        clock: Clock,
        stream: str,
        signal: Callable[[Event], None],
        set_aside: SetAside,
    ) -> None:
        self._store = store
        self._clock = clock
        self._stream = stream
        self._signal = signal
        self._links = {transport.name: Link(transport) for transport in transports}
        self._values: dict[Key, Statement] = {}
        self._gone: dict[Key, None] = {}
        self._told: dict[str, set[str]] = {}
        self._token = 0
        self._spool_retry_at_s = 0.0
        self._initial_until_s = float("inf")
        self._seldom = log.SeldomLog(_LOG, self._clock.monotonic_s)
        self._mended = log.Throttle(MEND_PAUSE_S)
        self._set_aside = set_aside
        self.problem: HealthProblem | None = None

    def adopt(self, row: RetainedTopic, *, saved: bool) -> bool:
        """Take over a topic that may have a retained message of ours; False if its connection is not configured.

        `saved`: the row is in the spool.
        """
        link = self._links.get(row.connection)
        if link is None:
            return False
        if row.topic not in link.owned and row.topic not in link.unsaved:
            (link.owned if saved else link.unsaved)[row.topic] = WorkflowRef(row.namespace, row.name, row.uid)
        return True

    def show(self, statement: Statement, topics: Iterable[str], *, initial: bool) -> None:
        """Make `statement` the retained value of `topics`: PREFIX/status/NAMESPACE/NAME first, then a mapping's own.

        `initial`: it may be older than this process, and is not sent again to a broker that already has it.
        """
        for position, topic in enumerate(topics):
            self._set((topic, ""), statement, initial=initial and position == 0)

    def tell(self, statement: Statement, topics: Iterable[str], *, initial: bool) -> None:
        """Send `statement` as the last state of its workflow to `topics`, not retained; `initial` as with `show`."""
        for topic in topics:
            self._told.setdefault(statement.ref.uid, set()).add(topic)
            self._set((topic, statement.ref.uid), statement, initial=initial)

    def _set(self, key: Key, statement: Statement, *, initial: bool) -> None:
        self._values[key] = statement
        self._gone.pop(key, None)
        for link in self._links.values():
            if not key[1]:
                # Its row still exists, so it is owned again.
                ref = link.released.pop(key[0], None)
                if ref is not None:
                    link.owned[key[0]] = ref
            link.mark(key, initial=initial)

    def clear(self, topic: str) -> None:
        """Clear a retained topic; only on connections that may have something there."""
        key = (topic, "")
        self._values.pop(key, None)
        now = self._clock.monotonic_s()
        for link in self._links.values():
            if topic in link.owned or topic in link.unsaved:
                link.mark_cleared(key, now)
            else:
                link.discard(key)

    def forget(self, uid: str) -> None:
        """Forget a deleted workflow: after sending its last state, the streams forget it (at most 1,000 unsent)."""
        for topic in self._told.pop(uid, ()):
            key = (topic, uid)
            if key in self._values:
                self._gone[key] = None
                self._drop_if_told(key)
        while len(self._gone) > _MAX_UNSENT_GONE:
            oldest = next(iter(self._gone))
            for link in self._links.values():
                link.discard(oldest)
                link.in_flight.pop(oldest, None)
            self._drop_if_told(oldest)

    def _drop_if_told(self, key: Key) -> None:
        if key[1] and not any(link.wants(key) for link in self._links.values()):
            # Without retain nothing is ever sent again, so a value that was sent everywhere is no longer needed.
            self._values.pop(key, None)
            self._gone.pop(key, None)

    def connected(self, connection: str, session: Session) -> None:
        """A broker accepted us."""
        self._links[connection].connected(session, self._values, self._clock.monotonic_s())

    def ready(self, connection: str) -> None:
        """Every SUBACK of a connection arrived."""
        self._links[connection].ready(self._clock.monotonic_s())

    def disconnected(self, connection: str) -> None:
        """Note that a connection is gone; messages in flight will be sent again."""
        self._links[connection].disconnected()

    def seen(self, connection: str, topic: str, digest: bytes) -> None:
        """Note a broker's retained message; if it is not our value, it is replaced."""
        link, now = self._links[connection], self._clock.monotonic_s()
        link.heard(now)
        if not self._start_is_over or now < link.settled_at_s:
            link.seen[topic] = digest
        key = (topic, "")
        value = self._values.get(key)
        if value and not link.wants(key) and digest != self._digest(link, value):
            link.mark(key)

    def live(self, connection: str, topic: str, digest: bytes) -> None:
        """Note a message just published to a retained topic; if it is not ours, our value is published again.

        At once, and then at most once a second: another client's message stays no longer than that.
        """
        link, now, key = self._links[connection], self._clock.monotonic_s(), (topic, "")
        value = self._values.get(key)
        if link.echoes.expect(topic, digest):
            return
        if topic in link.seen:
            link.seen[topic] = digest  # the broker no longer holds what it did when we subscribed
        if value is None or link.wants(key) or digest == self._digest(link, value):
            return
        text = "another client overwrote a retained topic; it is published again"
        self._seldom.warning(connection, text, action="mend", connection=connection, topic=topic)
        if self._mended.allow(f"{connection} {topic}", now)[0]:
            link.mark(key)
        else:
            link.refused[key] = now + MEND_PAUSE_S

    def foreign(self, connection: str, topic: str) -> None:
        """Note that the last message of a topic is another bridge's: we do not clear or replace it."""
        link = self._links[connection]
        link.heard(self._clock.monotonic_s())
        if topic in link.owned or topic in link.unsaved:
            link.foreign.add(topic)

    def initial_done(self) -> None:
        """Note that every namespace was listed: the brokers' initial messages are kept for only 10 more seconds."""
        if self._initial_until_s == float("inf"):
            self._initial_until_s = self._clock.monotonic_s() + _REMEMBER_S

    def ended(self, connection: str, key: Key, token: int, *, is_confirmed: bool) -> None:
        """Process the outcome of a publish; `token` says which, and an older one is ignored."""
        link = self._links[connection]
        if link.in_flight.get(key) != token:
            return
        del link.in_flight[key]
        if not is_confirmed:
            self._refused(link, key)
            return
        link.published(key, self._clock.monotonic_s())
        if key[1]:
            self._drop_if_told(key)
        elif key not in self._values and not link.wants(key):
            # The clearing publish was acknowledged: if the value had gone meanwhile, the key would be dirty.
            link.let_go(key[0])

    def _refused(self, link: Link, key: Key) -> None:
        link.dirty.pop(key, None)
        # A lost connection also says False; then `ready` retries at once. The transport reports a refusal.
        link.refused[key] = self._clock.monotonic_s() + REFUSED_PAUSE_S

    @property
    def is_settled(self) -> bool:
        """Whether every connection that is up has everything."""
        return all(link.is_settled for link in self._links.values())

    def next_due_s(self) -> float:
        """Return the seconds until `pump` may have work; infinity if only an event can change that."""
        now = self._clock.monotonic_s()
        times = [time for link in self._links.values() if link.is_ready for time in self._due(link)]
        return max(0.0, min(times, default=float("inf")) - now)

    def _due(self, link: Link) -> Iterable[float]:
        if link.dirty and link.sendable():
            yield max(link.retry_at_s, self._spool_retry_at_s if self.problem else 0.0)
        if link.held:
            yield link.settled_at_s
        if link.released or link.unsaved:
            yield self._spool_retry_at_s
        yield from link.refused.values()

    def pump(self) -> None:
        """Publish everything that can be published now."""
        now = self._clock.monotonic_s()
        ready = [link for link in self._links.values() if link.is_ready]
        for link in ready:
            link.retry_refused(now)
            self._settle(link, now)
        may_write = self._write_rows(ready, now)
        for link in ready:
            if link.retry_at_s <= now:
                self._send(link, now, may_write=may_write)

    def _settle(self, link: Link, now: float) -> None:
        if now < link.settled_at_s:
            return
        held, link.held = link.held, {}
        for key in held:
            value = self._values.get(key)
            if value is not None and link.seen.get(self._own_topic(key, value)) == self._digest(link, value):
                self._drop_if_told(key)
            elif value is not None or not key[1]:
                link.mark(key)
        if self._start_is_over:
            link.seen.clear()

    @property
    def _start_is_over(self) -> bool:
        return self._clock.monotonic_s() >= self._initial_until_s

    def _own_topic(self, key: Key, value: Statement) -> str:
        return f"{self._stream}/{value.ref.namespace}/{value.ref.name}" if key[1] else key[0]

    def _digest(self, link: Link, value: Statement) -> bytes:
        limit = link.transport.max_publish_bytes
        return value.digest if value.size <= limit else digest_of(value.payload(limit))

    def _write_rows(self, links: Sequence[Link], now: float) -> bool:
        """Commit the rows of ownership before anything is published because of them; False if the spool cannot."""
        if self.problem and now < self._spool_retry_at_s:
            return False
        gone = [link.row(topic, ref) for link in links for topic, ref in link.released.items()]
        new = [link.row(topic, ref) for link in links for topic, ref in link.unsaved.items()]
        new += [link.row(topic, ref) for link in links for topic, ref in self._unowned(link)]
        try:
            if gone:
                self._store.release(gone)
            if new:
                self._store.retain(new)
        except SpoolError as error:
            self.problem = HealthProblem("status-spool", f"cannot store which topics are retained: {error}")
            self._spool_retry_at_s = now + _SPOOL_PAUSE_S
            return False
        self.problem = None
        for link in links:
            link.released.clear()
            link.unsaved.clear()
        for row in new:
            self._links[row.connection].owned[row.topic] = WorkflowRef(row.namespace, row.name, row.uid)
        return True

    def _unowned(self, link: Link) -> Iterable[tuple[str, WorkflowRef]]:
        for key in link.sendable():
            value = self._values.get(key)
            if value is not None and not key[1] and link.owned.get(key[0]) != value.ref:
                yield key[0], value.ref

    def _send(self, link: Link, now: float, *, may_write: bool) -> None:
        for key in link.sendable():
            value = self._values.get(key)
            is_retained = not key[1]
            if value is None and (not is_retained or key[0] in link.foreign):
                link.dirty.pop(key)
                if is_retained:
                    link.let_go(key[0])
                continue
            if not may_write and value is not None and is_retained and link.owned.get(key[0]) != value.ref:
                continue
            payload = b"" if value is None else value.payload(link.transport.max_publish_bytes)
            message = OutgoingMessage(key[0], payload, qos=1, retain=is_retained, content_type=_type_of(payload))
            if is_retained:
                link.seen.pop(key[0], None)  # it no longer holds that
                link.echoes.sent(key[0], digest_of(payload) if value is None else self._digest(link, value))
            self._token += 1
            link.in_flight[key] = self._token
            link.dirty.pop(key)
            if not link.transport.publish(message, self._done(link.name, message, key, self._token)):
                del link.in_flight[key]
                link.dirty[key] = None
                link.retry_at_s = now + _FULL_PAUSE_S
                return

    def _done(self, connection: str, message: OutgoingMessage, key: Key, token: int) -> PublishDone:
        def done(result: PublishResult) -> None:
            self._signal(functools.partial(self.ended, connection, key, token, is_confirmed=bool(result)))
            if result is PublishResult.SET_ASIDE:
                self._set_aside(connection, message)

        return done


def _type_of(payload: bytes) -> str:
    return "application/json" if payload else ""
