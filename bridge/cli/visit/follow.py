"""Follows workflows until they finish, through their status messages, for commands with ``--wait``.

A request's reply names its workflow. A sensor message has no reply: its workflow is the one that the matching mappings
are first seen to start right after it. If there are several, all are followed.

Thread: the command's main thread.
"""

from __future__ import annotations

import time

from bridge.cli import exit_codes
from bridge.cli.views.send import SendView
from bridge.cli.visit.broker import BrokerVisit
from bridge.cli.visit.listeners import Listening
from bridge.cli.visit.status_message import WorkflowStatus, read_status
from bridge.core.model import Message

GATHER_S = 1.0
"""Workflows that start within this time of the first one may come from the same message."""
SETTLE_S = 2.0
"""A retained end may be that of an earlier workflow with this name, until the first status of its successor."""


class NamedWorkflow:
    """The end of the workflow in a retained topic. Pure: it processes messages and the time.

    `begins_anew`: the workflow had finished and is being rerun, so the end that its topic retains is the old one.
    """

    def __init__(self, topic: str, *, begins_anew: bool = False) -> None:
        self.topic = topic
        self._waits_for_news = begins_anew
        self._old_end: WorkflowStatus | None = None
        self._settles_at_s = 0.0
        self.status: WorkflowStatus | None = None
        self.is_gone = False

    def take(self, message: Message, now_s: float) -> WorkflowStatus | None:
        """Process one message; returns the state to show, or None."""
        if message.topic != self.topic:
            return None
        if not message.payload:
            self.is_gone = self.status is not None and not self.status.has_ended
            return None
        status = read_status(message.payload)
        if status is None or self._is_old(status, is_retained=message.retain):
            return None
        self.is_gone = False
        self._settles_at_s = now_s + SETTLE_S if message.retain else now_s
        self.status = status
        return status

    def _is_old(self, status: WorkflowStatus, *, is_retained: bool) -> bool:
        if not self._waits_for_news:
            return False
        if status.has_ended and is_retained:
            self._old_end = status
            return True
        # The old end may be sent again. A new one began later, and may have ended in the same second.
        old = self._old_end
        is_old = status.has_ended and old is not None and _times(status) == _times(old)
        self._waits_for_news = is_old
        return is_old

    @property
    def settles_at_s(self) -> float | None:
        """Time from which the state is final; None while it is not an end."""
        return self._settles_at_s if self.is_gone or (self.status and self.status.has_ended) else None


def _times(status: WorkflowStatus) -> tuple[str, str]:
    return status.started_at, status.finished_at


class StartedWorkflows:
    """The workflows that start after a sensor message. Pure, as above.

    For a mapping with a status topic, the device's topic identifies the workflow for certain. For a mapping without
    one, every workflow that starts at this moment counts. `listeners`: the mappings that may have started them; None =
    any.
    """

    def __init__(self, bridge_id: str, listeners: tuple[Listening, ...] | None, state_topic: str) -> None:
        self._bridge_id = bridge_id
        self.state_topic = state_topic
        self.listeners = listeners
        self._device_topics = {one.mapping: one.status_topic for one in listeners or () if one.status_topic}
        self._known: set[str] = set()
        self._is_sent = False
        self._closes_at_s = 0.0
        self._topics: dict[str, str] = {}
        self.followed: dict[str, WorkflowStatus] = {}
        self.gone: set[str] = set()

    @property
    def device_topics(self) -> frozenset[str]:
        """The status topics of the device."""
        return frozenset(self._device_topics.values())

    def sent(self) -> None:
        """Note that the message was sent: new workflows count as started by it from now on."""
        self._is_sent = True

    def take(self, message: Message, now_s: float) -> WorkflowStatus | None:
        """Process one message; returns the state to show, or None."""
        if not message.payload:
            uid = self._topics.get(message.topic, "")
            if uid and not self.followed[uid].has_ended:
                self.gone.add(uid)
            return None
        status = read_status(message.payload)
        if status is None or status.bridge != self._bridge_id or not status.uid or status.uid in self._known:
            return None
        uid = status.uid
        if uid not in self.followed:
            if message.retain or not self._is_sent:
                self._known.add(uid)
                return None
            if not self._is_ours(message.topic, status, now_s):
                return None
        if message.topic.endswith(f"/{status.ref}"):
            self._topics[message.topic] = uid
        if self.followed.get(uid) == status:
            return None
        self.followed[uid] = status
        return status

    def _is_ours(self, topic: str, status: WorkflowStatus, now_s: float) -> bool:
        if status.mapping in self._device_topics:
            is_ours = topic == self._device_topics[status.mapping]
        elif self.listeners is None:
            is_ours = status.mapping != ""
        else:
            is_ours = any(status.mapping == one.mapping for one in self.listeners)
        if is_ours and not self.followed:
            self._closes_at_s = now_s + GATHER_S
        return is_ours and now_s <= self._closes_at_s

    @property
    def is_ambiguous(self) -> bool:
        """Whether more workflows started than one message can have started."""
        return len(self.followed) > (1 if self.listeners is None else len(self.listeners))

    @property
    def settles_at_s(self) -> float | None:
        """Time from which the states are final; None while any has not finished, or none started."""
        over = [status.has_ended or uid in self.gone for uid, status in self.followed.items()]
        return self._closes_at_s if over and all(over) else None


def follow_named(
    visit: BrokerVisit, followed: NamedWorkflow, view: SendView, until_s: float, *, any_end: bool = False
) -> int:
    """Wait until one workflow finishes, or until `until_s` on the monotonic clock.

    Returns:
        An exit code: 0 Succeeded (`any_end`: ended in any way), 1 ended otherwise or deleted, 4 neither in time.
    """
    visit.subscribe(retained=frozenset({followed.topic}))
    view.wait_for("waiting for its next status" if followed.status else "waiting for its first status")
    if _watch(visit, followed, view, until_s):
        states = [followed.status] if followed.status and not followed.is_gone else []
        if not states:
            view.say("the workflow was deleted before it finished")
        return exit_codes.OK if any_end else _verdict(states)
    shown = f"{followed.status.ref} is {followed.status.phase}" if followed.status else "no status for it arrived"
    return _no_end(visit, shown, view)


def follow_started(visit: BrokerVisit, started: StartedWorkflows, view: SendView, until_s: float) -> int:
    """Wait until the workflows started by a sensor message, which was sent, finish, or until `until_s`.

    Returns:
        An exit code: 0 all Succeeded, 1 any ended otherwise or was deleted, 4 nothing started or ended in time.
    """
    if started.listeners == ():
        view.say("no workflow can start: no mapping in this configuration matches this topic")
        return exit_codes.NO_ANSWER
    view.wait_for("waiting for a workflow to start")
    ended = _watch(visit, started, view, until_s)
    states = list(started.followed.values())
    if not states:
        view.say(
            "no workflow started in time: no mapping triggered, or the bridge is not running; check its log "
            f"and the topic {started.state_topic}"
        )
        return exit_codes.NO_ANSWER
    if started.is_ambiguous:
        names = ", ".join(f"{state.ref} ({state.mapping})" for state in states)
        view.say(f"ambiguous: more workflows started after the message than it can have started: {names}")
    if not ended:
        running = ", ".join(f"{state.ref} is {state.phase}" for state in states if not state.has_ended)
        return _no_end(visit, running, view)
    for uid in started.gone:
        view.say(f"{started.followed[uid].ref} was deleted before it finished")
    return exit_codes.PROBLEMS if started.gone else _verdict(states)


def _watch(visit: BrokerVisit, followed: NamedWorkflow | StartedWorkflows, view: SendView, until_s: float) -> bool:
    """Pass messages to `followed` until it is final; False if it is not before `until_s`."""
    while (now_s := time.monotonic()) < until_s:
        settles_at_s = followed.settles_at_s
        if settles_at_s is not None and now_s >= settles_at_s:
            return True
        wait_until_s = until_s if settles_at_s is None else min(until_s, settles_at_s)
        message = visit.next(wait_until_s - now_s)
        status = followed.take(message, time.monotonic()) if message is not None else None
        if status is not None:
            view.progressed(status)
    return False


def _verdict(states: list[WorkflowStatus]) -> int:
    return exit_codes.OK if states and all(state.has_succeeded for state in states) else exit_codes.PROBLEMS


def _no_end(visit: BrokerVisit, shown: str, view: SendView) -> int:
    problem = f"; {visit.problem.message}" if visit.problem else ""
    view.say(f"not finished in time: {shown}{problem}; the workflow continues; use --timeout to wait longer")
    return exit_codes.NO_ANSWER
