"""Makes transports with recording ends, for tests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bridge.core.backoff import Backoff
from bridge.core.metrics import Metrics
from bridge.core.model import OutgoingMessage
from bridge.transports.amqp.options import AmqpOptions, DeliveryMemory
from bridge.transports.amqp.transport import AmqpTransport
from bridge.transports.base import Transport
from bridge.transports.mqtt.options import FilterMemory, MqttOptions, MqttVersion
from bridge.transports.mqtt.transport import MqttTransport
from tests.support.transport_ends import Outcomes, RecordingListener, RecordingReceiver, reports_of, wait_until

QUICK = Backoff(initial_s=0.02, cap_s=0.05)


@dataclass
class Wired:
    """A transport with its two ends and its figures."""

    transport: Transport
    receiver: RecordingReceiver
    listener: RecordingListener
    metrics: Metrics

    def await_ready(self) -> Wired:
        """Return once connected and subscribed."""
        wait_until(lambda: self.transport.is_ready, f"ready; {self.transport!r} {self.transport.problems}")
        return self

    def await_problem(self, code: str) -> str:
        """Return the message of the problem with `code`, once there is one."""
        wait_until(lambda: code in self.problem_codes, f"problem {code}; {self.transport!r}")
        return next(problem.message for problem in self.transport.problems if problem.code == code)

    @property
    def problem_codes(self) -> list[str]:
        """The codes of what is wrong now."""
        return [problem.code for problem in self.transport.problems]

    def await_payloads(self, *payloads: bytes) -> None:
        """Return once exactly these payloads were received, in this order."""
        expected = list(payloads)
        wait_until(lambda: len(self.receiver.deliveries) >= len(expected), f"{len(expected)} messages")
        assert self.receiver.payloads == expected

    def publish(self, topic: str, payload: bytes, **options: Any) -> Outcomes:
        """Publish one message that must be taken; returns what will be told of it."""
        outcomes = Outcomes()
        assert self.transport.publish(OutgoingMessage(topic, payload, **options), outcomes)
        return outcomes


class TransportMaker:
    """Makes transports, and stops them all at the end."""

    def __init__(self) -> None:
        self._made: list[Transport] = []

    def make(
        self,
        url: str,
        *filters: str,
        retained: tuple[str, ...] = (),
        receiver: RecordingReceiver | None = None,
        memory: FilterMemory | None = None,
        **options: Any,
    ) -> Wired:
        """Make one, with `filters` wanted, and do not start it; `options` are those of MqttOptions."""
        base = MqttOptions(
            name="plant",
            url=url,
            client_id="bridge-under-test",
            version=MqttVersion.V311,
            backoff=QUICK,
            taken_over_backoff=QUICK,
        )
        wired_receiver = receiver or RecordingReceiver()
        listener, metrics = RecordingListener(), Metrics()
        transport = MqttTransport(
            replace(base, **options), wired_receiver, listener, metrics, reports_of(metrics), memory=memory
        )
        transport.subscribe(frozenset(filters), frozenset(retained))
        self._made.append(transport)
        return Wired(transport, wired_receiver, listener, metrics)

    def start(self, url: str, *filters: str, **options: Any) -> Wired:
        """Make one and start it."""
        wired = self.make(url, *filters, **options)
        wired.transport.start()
        return wired

    def make_amqp(
        self,
        url: str,
        *filters: str,
        receiver: RecordingReceiver | None = None,
        memory: FilterMemory | None = None,
        deliveries: DeliveryMemory | None = None,
        **options: Any,
    ) -> Wired:
        """Make one for AMQP, with `filters` wanted, and do not start it; `options` are those of AmqpOptions."""
        base = AmqpOptions(name="plant", url=url, bridge_id="under-test", backoff=QUICK, prefix="requests", retry_s=0.5)
        wired_receiver = receiver or RecordingReceiver()
        listener, metrics = RecordingListener(), Metrics()
        transport = AmqpTransport(
            replace(base, **options),
            wired_receiver,
            listener,
            metrics,
            reports_of(metrics),
            memory=memory,
            deliveries=deliveries,
        )
        transport.subscribe(frozenset(filters), frozenset())
        self._made.append(transport)
        return Wired(transport, wired_receiver, listener, metrics)

    def start_amqp(self, url: str, *filters: str, **options: Any) -> Wired:
        """Make one for AMQP and start it."""
        wired = self.make_amqp(url, *filters, **options)
        wired.transport.start()
        return wired

    def stop_all(self) -> None:
        """Stop all; each must come to its end in time."""
        late = [transport for transport in self._made if transport.stop(15)]
        assert not late
