"""Asks a running bridge for something through its broker, and waits for the answer.

Thread: the command's main thread.
"""

from __future__ import annotations

import time

from bridge.cli.broker_visit import BrokerVisit
from bridge.cli.send_request import Question, Reply
from bridge.cli.send_view import SendView
from bridge.core.model import Message


class Asking:
    """One request and its replies.

    Args:
        question: what to ask.
        visit: entered, not yet connected.
        view: shows what is waited for.
        until_s: when to give up, on the monotonic clock; may be moved.

    Attributes:
        aside: what arrived on other topics while a reply was waited for.
    """

    def __init__(self, question: Question, visit: BrokerVisit, view: SendView, until_s: float) -> None:
        self._question = question
        self._visit = visit
        self._view = view
        self.until_s = until_s
        self.aside: list[Message] = []

    def ask(self, status_topic: str = "") -> Reply | None:
        """Connect, send the request, and return its reply; None, and said so, if none came in time.

        Args:
            status_topic: a retained topic to be told of from before the request on, "" for none.

        Raises:
            BridgeError: the broker cannot be reached, or takes or gives less than is needed; the code says why.
        """
        live, retained = frozenset({self._question.reply_topic}), frozenset({status_topic} - {""})
        self._visit.subscribe(live=live, retained=retained)
        self._view.wait_for("connecting")
        self._visit.await_ready(left_s(self.until_s))
        self._visit.publish(self._question.message, left_s(self.until_s))
        self._view.wait_for(f"waiting for the reply on {self._question.reply_topic}")
        return self.next_reply()

    def next_reply(self) -> Reply | None:
        """Return the next reply; None, and said so, if none came in time."""
        while left_s(self.until_s) > 0:
            message = self._visit.next(left_s(self.until_s))
            if message is None:
                continue
            reply = self._question.reply_in(message)
            if reply is not None:
                return reply
            if message.topic != self._question.reply_topic:
                self.aside.append(message)
        problem = self._visit.problem
        why = problem.message if problem else "is the bridge running? its log tells what it received"
        self._view.say(f"no reply in time on {self._question.reply_topic}: {why}")
        return None


def left_s(until_s: float) -> float:
    """Return the seconds until `until_s` on the monotonic clock, at least 0."""
    return max(0.0, until_s - time.monotonic())
