"""The whole way of a message over AMQP: `Spine` on RabbitMQ, with an exchange and queues of its own."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from tests.support.amqp_client import DIRECT_REPLY, AmqpClient
from tests.support.bridge_files import CONNECTION
from tests.support.rabbitmq import RabbitMq
from tests.support.spine import TRIGGER, Spine, submit
from tests.support.transport_ends import wait_until


class AmqpSpine(Spine):
    """Everything runs while the context is entered.

    name: of the bridge, and of the exchange where that has no other; `also` are further connections, as flow YAML.
    client: a client that hears everything on the exchange, and its own reply address.
    """

    client: AmqpClient  # type: ignore[assignment]  # it does the same in its own protocol

    def __init__(self, folder: Path, broker: RabbitMq, mappings: str = "", *, amqp: str = "", **files: Any) -> None:
        self.name = files.pop("name", "") or f"spine-{secrets.token_hex(4)}"
        exchange = files.pop("exchange", self.name)
        url = files.pop("broker_url", broker.url)
        also = files.pop("also", "")
        keys = f'url: "{url}", exchange: "{exchange}"{amqp and f", {amqp}"}'
        super().__init__(
            folder,
            broker,  # type: ignore[arg-type]  # only its port and url are used
            mappings,
            bridge_id=self.name,
            connections=f"{{{CONNECTION}: {{amqp: {{{keys}}}}}{also and f', {also}'}}}",
            **files,
        )
        self.client = AmqpClient(broker.port, exchange)
        self.exchange = exchange

    def __enter__(self) -> AmqpSpine:
        super().__enter__()
        self.client.listen_for_replies()
        return self

    def take_argo_away(self) -> None:
        """Stop serving, and return once the bridge has noticed, at the expense of one request."""
        self.simulator.stop_serving()
        self.publish(TRIGGER, submit(), reply_to="argo-bridge.nobody.replies")
        wait_until(lambda: self.bridge.service._gate.is_away, "a gate that is closed")

    def fence(self) -> None:
        """Return once everything published so far was handled, on either queue: what has no topic is answered too."""
        number = f"fence {next(self._fences)}"
        address = {"exchange": "", "key": self.queue("events")}
        self.publish("", b"", reply_to=DIRECT_REPLY, correlation_id=number, **address)
        replies = self.client.replies
        wait_until(lambda: any(one.properties.correlation_id == number for one in list(replies)), f"answer to {number}")
        super().fence()

    def queue(self, kind: str) -> str:
        """The name of one of the bridge's queues."""
        return f"argo-bridge.{self.name}.{kind}"
