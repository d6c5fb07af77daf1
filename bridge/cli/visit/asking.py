"""Sends a request to a running bridge through its broker, and waits for the reply.

Thread: the command's main thread.
"""

from __future__ import annotations

import time

from bridge.cli.views.send import SendView
from bridge.cli.visit.broker import BrokerVisit, Presence
from bridge.cli.visit.request import Question, Reply
from bridge.core.model import Message

ANSWER_S = 10.0
"""Time reserved for the reply if nothing is known about the bridge."""
PATIENCE_S = 1.0
"""A longer wait is shown to the user."""


class Asking:
    """One request and its replies.

    Attributes:
        until_s: when to give up, on the monotonic clock; may be moved.
        aside: messages that arrived on other topics while waiting for a reply.
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
        """Connect, send the request once the bridge is online, and return its reply; None, reported, if none came.

        `status_topic`: a retained topic to subscribe to before the request, or "".

        Raises:
            BridgeError: the broker cannot be reached, or does not allow what is needed; the code says why.
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
        """Return the next reply. If none comes in time, report it and return None."""
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
    """Return whether the bridge accepts messages. Waits for one that is still starting; reports one that is away.

    If nothing is known, the bridge may be online while this user is not allowed to see it. Then most of the time until
    `until_s` (monotonic) is spent waiting, and the bridge counts as online.
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
