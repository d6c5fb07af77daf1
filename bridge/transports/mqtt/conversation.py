"""The traffic on one network connection, turn by turn: read, pass in, acknowledge, publish, keep alive.

Runs on the transport's thread, which provides the parts that outlive a connection. It never reconnects.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from bridge.core.clock import Clock
from bridge.core.errors import cut
from bridge.core.log import SeldomLog, fields, logger
from bridge.core.metrics import Metrics
from bridge.core.model import OutgoingMessage
from bridge.transports.base import Listener, PublishResult, Session
from bridge.transports.deliveries import BrokerDelivery
from bridge.transports.intake import Batch
from bridge.transports.mqtt.intake import MqttIntake
from bridge.transports.mqtt.keepalive import KeepAlive
from bridge.transports.mqtt.link import Connack, Link, Puback, Suback
from bridge.transports.mqtt.options import MqttOptions, MqttVersion
from bridge.transports.mqtt.packet_reader import PUBLISH, ProtocolError
from bridge.transports.mqtt.probe import Probe
from bridge.transports.mqtt.problems import LinkLost, reason_name
from bridge.transports.mqtt.publish_packet import parse_publish
from bridge.transports.mqtt.subscriptions import FILTERS_PER_PACKET, Subscriptions
from bridge.transports.outgoing import Handed, Outgoing
from bridge.transports.wakeup import Wakeup

_log = logger(__name__)

_GONE = select.POLLERR | select.POLLHUP | select.POLLRDHUP | select.POLLNVAL
_PINGREQ = b"\xc0\x00"
_PUBACK = b"\x40\x02"
_PUBREC = b"\x50\x02"
_QOS_2 = 0x04


class Stop(NamedTuple):
    """Deadlines after a stop was requested: for work in progress, and for the end (monotonic seconds)."""

    drain_until_s: float
    end_s: float


class Conversation:
    """One network connection in use. All that it gets but the link outlives it.

    Attributes:
        connack: the broker's acceptance; None before.
        accepted_at_s: its time, in monotonic seconds; None before.
        probe: tests whether messages are delivered.
    """

    def __init__(
        self,
        link: Link,
        *,
        options: MqttOptions,
        intake: MqttIntake,
        outgoing: Outgoing,
        subscriptions: Subscriptions,
        wakeup: Wakeup,
        listener: Listener,
        metrics: Metrics,
        clock: Clock,
        seldom: SeldomLog,
    ) -> None:
        self._link = link
        self._options = options
        self._intake = intake
        self._outgoing = outgoing
        self._subscriptions = subscriptions
        self._wakeup = wakeup
        self._listener = listener
        self._metrics = metrics
        self._clock = clock
        self._seldom = seldom
        self.probe = Probe(options, outgoing, clock)
        self._name = options.name
        self._has_properties = options.version is MqttVersion.V5
        now_s = clock.monotonic_s()
        self._keepalive = KeepAlive(0, now_s)
        self._accept_by_s = now_s + options.connect_timeout_s
        self._poll = select.poll()
        self._poll.register(wakeup.fileno(), select.POLLIN)
        self._has_more = False
        self._was_reading = True
        self._was_ready = False
        self.connack: Connack | None = None
        self.accepted_at_s: float | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the broker has accepted us and answered every SUBSCRIBE. Thread: any."""
        return self.connack is not None and self._subscriptions.is_settled

    def run(self, stop: Callable[[], Stop | None]) -> None:
        """Run until `stop` returns something; then finish work in progress and disconnect.

        Raises:
            LinkLost: the connection ended first.
        """
        try:
            while (stopping := stop()) is None:
                self._turn(is_stopping=False)
            while self._is_busy() and self._clock.monotonic_s() < stopping.drain_until_s:
                self._turn(is_stopping=True, latest_s=stopping.drain_until_s)
        except LinkLost as lost:
            if lost.by_peer:
                self._read_last_words()
            raise
        except ProtocolError as error:
            raise self._link.malformed(str(error)) from error
        self._link.disconnect(stopping.end_s)

    def _is_busy(self) -> bool:
        return self.connack is not None and (self._outgoing.count > 0 or self._link.socket.wants_write)

    @property
    def _is_behind(self) -> bool:
        """Whether there is work with messages read already."""
        return self._has_more or self._intake.has_left

    def _turn(self, *, is_stopping: bool, latest_s: float = float("inf")) -> None:
        self._say_what_is_due()
        is_reading = is_stopping or not self._intake.is_paused()
        if is_reading and not self._was_reading:
            self._keepalive.heard(self._clock.monotonic_s())
        self._was_reading = is_reading
        is_readable = self._wait(latest_s, is_reading=is_reading)
        if is_reading:
            heard = is_readable and not self._is_behind and self._link.read()
            if heard:
                self._keepalive.heard(self._clock.monotonic_s())
            self._handle_packets(is_stopping=is_stopping)
            self._check_alive(was_heard=heard)
        if not is_stopping:
            self._intake.retry()

    # What we say.

    def _say_what_is_due(self) -> None:
        link = self._link
        if self.connack is not None:
            if self._subscriptions.has_news:
                self._send_subscriptions()
            # Each alone, so that it is known which of them ended the connection.
            if not self._outgoing.is_unanswered and (optional := self._subscriptions.optional_changes()):
                self._subscriptions.asking(self._link.subscribe(optional))
            if self._outgoing.count and not self._subscriptions.is_asking:
                while (taken := self._outgoing.take()) is not None:
                    self._send(taken)
            if acked := self._intake.deliveries.take_acknowledged():
                link.socket.write(b"".join([delivery.acknowledgement for delivery in acked]))
            self.probe.check(self._clock.monotonic_s())
            if self._keepalive.is_ping_due(self._clock.monotonic_s()):
                link.socket.write(_PINGREQ)
                self._keepalive.pinged(self._clock.monotonic_s())
        if link.socket.wants_write and link.flush():
            self._keepalive.sent(self._clock.monotonic_s())
            self._outgoing.written(link.socket.sent_bytes)
        self._announce_ready()

    def _send_subscriptions(self) -> None:
        self._was_ready = False
        subscriptions = self._subscriptions
        subscribe, unsubscribe = subscriptions.changes()
        for start in range(0, len(unsubscribe), FILTERS_PER_PACKET):
            filters = unsubscribe[start : start + FILTERS_PER_PACKET]
            subscriptions.unsubscribing(self._link.unsubscribe(filters), tuple(filters))
        for start in range(0, len(subscribe), FILTERS_PER_PACKET):
            wanted = subscribe[start : start + FILTERS_PER_PACKET]
            subscriptions.subscribing(self._link.subscribe(wanted), tuple(each.topic_filter for each in wanted))

    def _announce_ready(self) -> None:
        if not self._was_ready and self.is_ready:
            self._was_ready = True
            for problem in self._subscriptions.problems:
                _log.error("%s", problem.message, extra=fields(connection=self._name, code=problem.code))
            self._listener.ready(self._name)

    def _send(self, handed: Handed) -> None:
        message, _ = handed
        if message.retain and not self._options.retain:
            if not message.payload:
                self._outgoing.finish(handed, PublishResult.CONFIRMED)  # there is nothing to clear
                return
            message = replace(message, retain=False)
        try:
            packet_id = self._link.publish(message)
        except ValueError as error:
            self._say_refused(message, f"cannot publish: {error}")
            self._outgoing.finish(handed, PublishResult.REFUSED)
            return
        if message.qos:
            self._outgoing.await_confirmed(packet_id, handed)
        else:
            self._outgoing.await_written(self._link.socket.written_bytes, handed)

    def _say_refused(self, message: OutgoingMessage, text: str) -> None:
        # One line per minute, whatever the topic: if one is refused, thousands may be.
        keys = fields(action="publish", connection=self._name, topic=cut(message.topic))
        self._seldom.warning("refused", "%s", text, **keys)

    # What we hear.

    def _wait(self, latest_s: float, *, is_reading: bool) -> bool:
        """Wait until there is work; True if the broker's side is readable (or closed)."""
        sock = self._link.socket
        mask = (select.POLLIN if is_reading else select.POLLRDHUP) | (select.POLLOUT if sock.wants_write else 0)
        self._poll.register(sock.fileno(), mask)
        timeout_s = 0.0
        if not (is_reading and (self._is_behind or sock.pending())):
            now_s = self._clock.monotonic_s()
            limit_s = self._accept_by_s if self.connack is None else latest_s
            timeout_s = min(
                self._keepalive.next_check_s(now_s),
                self.probe.next_check_s(now_s),
                self._intake.next_retry_s(),
                max(0.0, limit_s - now_s),
                3600.0,
            )
        # Rounded up: a poll that returns too early would spin.
        events = dict(self._poll.poll(int(timeout_s * 1000) + (timeout_s > 0)))
        if self._wakeup.fileno() in events:
            self._wakeup.clear()
        event = events.get(sock.fileno(), 0)
        if not is_reading and event & _GONE:
            raise self._link.closed("")
        return bool(event & (select.POLLIN | _GONE)) or (is_reading and sock.pending() > 0)

    def _handle_packets(self, *, is_stopping: bool) -> None:
        """Handle the packets that were read, up to one batch."""
        intake = self._intake
        if intake.has_left and not is_stopping:
            intake.hand_in_left()
            return
        batch: Batch = []
        count_limit, bytes_limit = intake.room()
        size_bytes = 0
        self._has_more = False
        for packet in self._link.packets():
            if packet[0] & 0xF0 == PUBLISH:
                if is_stopping:
                    continue  # not acknowledged, so the broker redelivers it
                delivery = self._delivery(packet)
                if delivery is not None:
                    batch.append(delivery)
                    size_bytes += delivery.size_bytes
                    if len(batch) >= count_limit or size_bytes >= bytes_limit:
                        self._has_more = True
                        break
            else:
                self._link.control(packet)
                self._act_on_answers()
        if batch:
            intake.hand_in(batch)

    def _delivery(self, packet: bytes) -> BrokerDelivery[bytes] | None:
        if self.connack is None:
            raise ProtocolError("a PUBLISH before CONNACK")
        message = parse_publish(packet, self._name, has_properties=self._has_properties)
        acknowledgement = b""
        if message.qos:
            # QoS 2 only comes from a session that another program subscribed; paho answers the broker's PUBREL.
            acknowledgement = (_PUBREC if packet[0] & _QOS_2 else _PUBACK) + message.packet_id.to_bytes(2, "big")
        delivery = self._intake.deliveries.arrived(message, acknowledgement)
        self.probe.heard()
        if message.topic:
            if message.topic != self.probe.topic:
                return delivery
            delivery.ack()
            return None
        self._metrics.messages_skipped.labels(cause="bad-topic").inc()
        _log.warning("skipped a message whose topic is not a topic name", extra=fields(connection=self._name))
        delivery.ack()
        return None

    def _act_on_answers(self) -> None:
        link, subscriptions = self._link, self._subscriptions
        if self.connack is None and link.connack is not None:
            self._accept(link.connack)
        while link.answers:
            answer = link.answers.popleft()
            if isinstance(answer, Suback):
                if answer.codes is None:
                    subscriptions.unsuback(answer.packet_id)
                else:
                    subscriptions.suback(answer.packet_id, answer.codes)
                    self.probe.subscribed(subscriptions.granted_optional)
            else:
                self._puback(answer)

    def _puback(self, answer: Puback) -> None:
        if answer.code < 0x80:
            self._outgoing.answered(answer.packet_id, PublishResult.CONFIRMED)
        elif (message := self._outgoing.denied(answer.packet_id)) is not None:
            text = f"the broker refused a message: {reason_name(answer.code)}; check its access rules"
            self._say_refused(message, text)

    def _accept(self, connack: Connack) -> None:
        now_s = self._clock.monotonic_s()
        self._keepalive = KeepAlive(connack.keepalive_s, now_s)
        is_lost = self._subscriptions.connected(is_new_session=not connack.session_present)
        self._metrics.connects.labels(connection=self._name).inc()
        self._metrics.connected.labels(connection=self._name).set(1)
        self.accepted_at_s = now_s
        self.connack = connack
        session = Session.RESUMED if connack.session_present else Session.NEW
        _log.info("connected, session %s", session.value, extra=fields(connection=self._name))
        if is_lost and self._options.session_expiry_s:
            text = (
                "the broker no longer has the session of client id %s, and its queued messages are lost: another "
                "client used this id with a clean start, the session expired, or the broker lost its data"
            )
            keys = fields(connection=self._name, code="session-lost")
            _log.warning(text, self._options.client_id, extra=keys)
        self._listener.connected(self._name, session)
        self._outgoing.open(connack.receive_maximum)

    def _check_alive(self, *, was_heard: bool) -> None:
        now_s = self._clock.monotonic_s()
        if self.connack is None:
            if now_s >= self._accept_by_s:
                raise self._link.closed("no CONNACK in time", is_silent=True)
        elif not was_heard and not self._is_behind and self._keepalive.is_dead(now_s):
            raise self._link.closed("the broker no longer answers", is_silent=True)

    def _read_last_words(self) -> None:
        """Continue to read after a failed write or a hang-up: a refusal or DISCONNECT with the reason may be there."""
        try:
            while self._link.read():
                for packet in self._link.packets():
                    if packet[0] & 0xF0 != PUBLISH:
                        self._link.control(packet)
                        if self.connack is not None:
                            self._act_on_answers()
        except ProtocolError:
            return
        except LinkLost as lost:
            if not lost.by_peer:
                raise
