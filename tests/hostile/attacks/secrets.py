"""An Argo Server that repeats the token that it was sent, and texts that a terminal would obey."""

from __future__ import annotations

from bridge.simulator import FaultKind, InjectedFault
from tests.hostile.attack import TRIGGER, Attack, Group, dead_letter, not_said, reply
from tests.hostile.stage import LINE_CONTROL, NAMESPACE, TOKEN, Stage
from tests.support.bridge_files import TEMPLATE


def answered(stage: Stage, status: int, message: str) -> None:
    """Let the simulated Argo Server refuse one create in these words."""
    stage.simulator.faults.add(
        InjectedFault(
            FaultKind.STATUS, "POST", f"/workflows/{NAMESPACE}$", "told-", count=1, status=status, message=message
        )
    )
    body = {"submit": {"template": TEMPLATE, "parameters": {"n": f"told-{status}"}}}
    stage.publish(LINE_CONTROL, TRIGGER, body)


def repeats_the_token(stage: Stage) -> None:
    """The whole header comes back in the text of a 401."""
    answered(stage, 401, f"token not valid: Authorization: Bearer {TOKEN}")


def commands_a_terminal(stage: Stage) -> None:
    """The text of a refusal clears the screen and turns what follows around."""
    answered(stage, 400, "spec is invalid \x1b[2J\u202egnp.exe")


GROUP = Group(
    "secrets",
    (
        Attack("a 401 that repeats the token", repeats_the_token, dead_letter("not-authenticated"), not_said(TOKEN)),
        Attack("a refusal that commands a terminal", commands_a_terminal, reply(400, "gnp.exe"), not_said("\u202e")),
    ),
)
