"""Triggers whose create Argo answers with 5xx for good, among others that it takes."""

from __future__ import annotations

from bridge.simulator import FaultKind, InjectedFault
from tests.hostile.attack import TRIGGER, Attack, Group, dead_letter, reply
from tests.hostile.stage import LINE_CONTROL, NAMESPACE, Stage
from tests.support.bridge_files import TEMPLATE

POISON = "poison-row"


def poison(stage: Stage, count: int, **fault: object) -> None:
    """Send triggers whose create gets an error from the simulated Argo Server."""
    keys = {"kind": FaultKind.STATUS, "method": "POST", "path": f"/workflows/{NAMESPACE}$", "request": POISON, **fault}
    stage.simulator.faults.clear()
    stage.simulator.faults.add(InjectedFault(**keys))  # type: ignore[arg-type]  # keys of a Fault
    for number in range(count):
        body = {"submit": {"template": TEMPLATE, "parameters": {"n": f"{POISON}-{number}"}}}
        stage.publish(LINE_CONTROL, TRIGGER, body)


def never_answered(stage: Stage) -> None:
    """Thirty, and all of them still wait when the normal event comes, and after the restarts."""
    poison(stage, 30, message="etcdserver: something odd")


def too_large(stage: Stage) -> None:
    """One that kube takes for too large, told as a 500."""
    poison(stage, 1, message="etcdserver: request is too large")


GROUP = Group(
    "poison-rows",
    (
        Attack("a create that is too large for etcd", too_large, dead_letter("workflow-too-large"), reply(413)),
        Attack("thirty creates that are answered 500", never_answered),
    ),
    outlasts=True,
)
