"""One client fills the spool while the Argo Server is away."""

from __future__ import annotations

from bridge.simulator import FaultKind, InjectedFault
from tests.hostile.attack import TRIGGER, Attack, Group, counted, reply
from tests.hostile.stage import DEVICE, LINE_CONTROL, NAMESPACE, OPERATOR, PREFIX, WITHIN_S, Stage
from tests.support.bridge_files import TEMPLATE
from tests.support.transport_ends import wait_until

ROWS = 60
OVER = 8
"""Fewer than a broker sends before the first is acknowledged (Mosquitto's default: 20)."""


def fill_and_ask(stage: Stage) -> None:
    """Send more than fits; a device's event and a terminate are stored all the same, a get is answered."""
    away = stage.simulator.faults.add(InjectedFault(FaultKind.STATUS, path=r"/api/v1/workflows", status=503))
    mark, before = len(stage.heard), len(stage.started())
    for number in range(ROWS + OVER):
        body = {"submit": {"template": TEMPLATE, "parameters": {"n": f"flood-{number}"}}}
        stage.publish(LINE_CONTROL, TRIGGER, body)
    stage.publish(DEVICE, "sensors/normal/boiler/behind/temperature", {"n": "behind"})
    for operation in ("get", "terminate"):
        body = {"workflowId": "no-such", "namespace": NAMESPACE, "requestId": operation}
        stage.publish(OPERATOR, f"{PREFIX}/{operation}", body)

    def answers() -> list[object]:
        bodies = [one.body for one in stage.heard[mark:]]
        return [body.get("requestId") for body in bodies if isinstance(body, dict)]

    wait_until(lambda: "get" in answers(), "the reply to get", WITHIN_S)
    wait_until(lambda: stage.metrics()["spool_waiting"] == ROWS + 2, "all that has room in the spool", WITHIN_S)
    stage.simulator.faults.remove(away)
    wait_until(lambda: "terminate" in answers(), "the reply to terminate", WITHIN_S)
    wait_until(lambda: len(stage.started()) - before == ROWS + OVER + 1, "every workflow", WITHIN_S)


GROUP = Group(
    "full-spool",
    (
        Attack(
            "a spool full of triggers",
            fill_and_ask,
            reply(404, topic=f"{PREFIX}/response/terminate"),
            reply(503, topic=f"{PREFIX}/response/get"),
            counted("dead_letters_total", 0, reason="server-error"),  # a read that failed is none
            workflows=ROWS + OVER + 1,
            cpu_s=10.0,
        ),
    ),
    more=f"spool: {{max-rows: {ROWS}}}",
)
