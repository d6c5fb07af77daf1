"""Runs declarations and bindings one after another; if the broker refuses one, only its channel is lost.

Thread: the loop's. Decides nothing: each step handles its response.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pika import exceptions


@dataclass(frozen=True, slots=True)
class BrokerCall:
    """One request: a method of pika's channel, and its arguments.

    `answered` gets the response, or `refused` the reply code and text. It is skipped if `is_needed`, asked just before,
    says no.
    """

    method: str
    arguments: dict[str, Any]
    answered: Callable[[Any], None]
    refused: Callable[[int, str], None]
    is_needed: Callable[[], bool] | None = None


class Steps:
    """Runs steps on a connection, and reports when all are done or refused; never if the connection ends first."""

    def __init__(self, connection: Any, steps: Iterable[BrokerCall], done: Callable[[], None]) -> None:
        self._connection = connection
        self._steps = deque(steps)
        self._done = done
        self._channel: Any = None
        self._asked: BrokerCall | None = None

    def run(self) -> None:
        """Start."""
        self._next()

    def cancel(self) -> None:
        """Stop, without any report."""
        self._steps.clear()
        self._done = lambda: None

    def _next(self) -> None:
        while self._steps and (is_needed := self._steps[0].is_needed) is not None and not is_needed():
            self._steps.popleft()
        if not self._steps:
            channel, self._channel = self._channel, None
            if channel is not None and channel.is_open:
                channel.close()
            self._done()
        elif self._channel is None:
            self._connection.channel(on_open_callback=self._opened)
        else:
            self._asked = self._steps.popleft()
            getattr(self._channel, self._asked.method)(**self._asked.arguments, callback=self._answered)

    def _opened(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._closed)
        self._next()

    def _answered(self, answer: Any) -> None:
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.answered(answer)
            self._next()

    def _closed(self, channel: Any, reason: Exception) -> None:
        if channel is not self._channel:
            return
        self._channel = None
        asked, self._asked = self._asked, None
        # Anything else is the end of the connection, which is reported elsewhere.
        if isinstance(reason, exceptions.ChannelClosedByBroker):
            if asked is not None:
                asked.refused(reason.reply_code, reason.reply_text)
            self._next()
