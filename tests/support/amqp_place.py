"""A broker with names of one test's own, for tests of the AMQP transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge.core.model import OutgoingMessage
from bridge.transports.base import PublishResult
from tests.support.amqp_client import AmqpClient
from tests.support.transport_ends import Outcomes, wait_until


@dataclass
class Place:
    """A broker with names of one test's own.

    client: another client of it, connected.
    """

    broker: Any
    maker: Any
    client: AmqpClient
    name: str

    def make(self, *filters: str, **options: Any) -> Any:
        """A transport that is not started."""
        url = options.pop("url", self.broker.url)
        return self.maker.make_amqp(url, *filters, **{"exchange": self.name, "bridge_id": self.name} | options)

    def start(self, *filters: str, **options: Any) -> Any:
        """A transport that is starting."""
        wired = self.make(*filters, **options)
        wired.transport.start()
        return wired

    def queue(self, kind: str) -> str:
        """The name of a queue."""
        return f"argo-bridge.{self.name}.{kind}"

    def login(self, user: str, tmp_path: Any) -> dict[str, str]:
        """Options that log in as a user, whose password is its name."""
        path = tmp_path / "password"
        path.write_text(f"{user}\n")
        return {"username": user, "password_file": path}


class Owner:
    """Owns some messages, as the outbox does: publishes what is lost again once the connection is ready."""

    def __init__(self, wired, topics):
        self._wired = wired
        self._topics = topics
        self.ended = {}

    def publish_all(self):
        """Return once each was confirmed or refused."""
        while missing := [each for each in self._topics if each not in self.ended]:
            wait_until(lambda: self._wired.transport.is_ready, "ready")
            outcomes = {payload: Outcomes() for payload in missing}
            taken = {
                payload: outcome
                for payload, outcome in outcomes.items()
                if self._wired.transport.publish(OutgoingMessage(self._topics[payload], payload), outcome)
            }
            wait_until(lambda taken=taken: all(one.results for one in taken.values()), "an end of each")
            lost = PublishResult.LOST
            self.ended |= {payload: one.results[0] for payload, one in taken.items() if one.results[0] is not lost}
