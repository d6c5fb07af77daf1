"""Requests a workflow's current status if the broker retains none: for a finished workflow, no more messages come.

Over MQTT the retained topic has it. Thread: the command's main thread.
"""

from __future__ import annotations

import time

import orjson

from bridge.cli.views.send import SendView
from bridge.cli.visit.asking import Asking
from bridge.cli.visit.broker import BrokerVisit
from bridge.cli.visit.follow import NamedWorkflow
from bridge.cli.visit.request import Reply
from bridge.cli.visit.target import Target
from bridge.core.errors import BridgeError
from bridge.core.model import Message
from bridge.interface.operations import Operation
from bridge.interface.topics import RetainedStatus

ANSWERED_WITHIN_S = 10.0


def tell_present(target: Target, visit: BrokerVisit, view: SendView, followed: NamedWorkflow, until_s: float) -> None:
    """Give `followed` the current status of its workflow, if only a request can find it out.

    If a bridge refuses `get` or does not answer it, this does not give up: it waits for the next status.
    """
    place = target.topics.parse(followed.topic)
    if target.retains or followed.settles_at_s is not None or not isinstance(place, RetainedStatus):
        return
    question = target.question(Operation.GET, place.namespace, orjson.dumps({"workflowId": place.name}))
    asking = Asking(question, visit, view, min(until_s, time.monotonic() + ANSWERED_WITHIN_S))
    try:
        reply = asking.ask(followed.topic)
    except BridgeError:  # this user is not allowed to
        reply = None
    for message in (*_status_in(reply, followed.topic), *asking.aside):
        status = followed.take(message, time.monotonic())
        if status is not None:
            view.progressed(status)
            if status.has_ended:
                return


def _status_in(reply: Reply | None, topic: str) -> list[Message]:
    status = reply.body.get("workflowStatus") if reply is not None else None
    return [Message("", topic, orjson.dumps(status))] if isinstance(status, dict) else []
