"""Asks a running bridge for something through its broker, and waits for the answer.

Thread: the command's main thread.
"""

from __future__ import annotations

import time

from bridge.cli.views.send import SendView
from bridge.cli.visit.broker import BrokerVisit, Presence
from bridge.cli.visit.request import Question, Reply
from bridge.core.model import Message

ANSWER_S = 10.0
"""What is left for the answer where nothing is heard of the bridge."""
PATIENCE_S = 1.0
"""A wait that is longer is told."""


class Asking:
    """One request and its replies.

    Args:
        question: what to ask.
        visit: entered, not yet connected.
        view: shows what is waited for.
        until_s: when to give up, on the monotonic clock; may be moved.

    Attributes:
        aside: what arrived on other topics while a reply was waited for.
        is_sent: the broker has the request.
    """

    def __init__(self, question: Question, visit: BrokerVisit, view: SendView, until_s: float) -> None:
        self._question = question
        self._visit = visit
        self._view = view
        self.until_s = until_s
        self.aside: list[Message] = []
        self.is_sent = False

    def ask(self, status_topic: str = "") -> Reply | None:
        """Connect, send the request once the bridge is there, and return its reply; None, and said so, if none came.

        Args:
            status_topic: a retained topic to be told of from before the request on, "" for none.

        Raises:
            BridgeError: the broker cannot be reached, or takes or gives less than is needed; the code says why.
        """
        live, retained = frozenset({self._question.reply_topic}), frozenset({status_topic} - {""})
        self._visit.subscribe(live=live, retained=retained)
        self._view.wait_for("connecting")
        self._visit.await_ready(left_s(self.until_s))
        if not await_bridge(self._visit, self._view, self.until_s):
            return None
        self._visit.publish(self._question.message, left_s(self.until_s))
        self.is_sent = True
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
        why = problem.message if problem else "check that the bridge is running; its log shows what it received"
        self._view.say(f"no reply in time on {self._question.reply_topic}: {why}")
        return None


def await_bridge(visit: BrokerVisit, view: SendView, until_s: float) -> bool:
    """Return whether the bridge takes messages: one that is still starting is waited for. What it is not, is said.

    A bridge that nothing is heard of may be there all the same, and this user not allowed to hear so: then most of the
    time is waited, and it counts as there.

    Args:
        visit: connected.
        view: shows what is waited for.
        until_s: when to give up, on the monotonic clock.
    """
    began_s = time.monotonic()
    unheard_until_s = max(until_s - ANSWER_S, (began_s + until_s) / 2)
    is_said = False
    while visit.presence is not Presence.ONLINE:
        now_s = time.monotonic()
        if visit.presence is Presence.UNKNOWN and now_s >= unheard_until_s:
            return True
        if now_s >= until_s:
            view.say(f"nothing was sent: {visit.absence}")
            return False
        if not is_said and now_s - began_s >= PATIENCE_S:
            view.say(f"waiting for the bridge: {visit.absence}")
            is_said = True
        visit.await_news(until_s - now_s)
    return True


def left_s(until_s: float) -> float:
    """Return the seconds until `until_s` on the monotonic clock, at least 0."""
    return max(0.0, until_s - time.monotonic())
