"""What tests of operations ask, and the workflows that they ask it of: a `Spine` with a few more words."""

from __future__ import annotations

import itertools
from typing import Any

import orjson

from bridge.argo.handles import HttpRequest
from bridge.simulator import FaultKind, InjectedFault
from tests.support.bridge_files import NAMESPACE
from tests.support.spine import Spine
from tests.support.transport_ends import wait_until

PREFIX = "argo/workflows"
WAIT = {"name": "wait", "suspend": {}}
SUSPENDED = {"entrypoint": "wait", "templates": [WAIT]}
"""A workflow that waits for somebody to resume it."""
FAILING = {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "i", "args": ["exit 3"]}}]}
"""A workflow that fails."""
WITHIN_S = 45.0

_numbers = itertools.count(1)


class OperationsSpine(Spine):
    """A `Spine` that asks for operations."""

    def request(self, operation: str, body: dict[str, Any], level: str = "") -> str:
        """Publish one request; returns its ``requestId``."""
        number = f"r{next(_numbers)}"
        self.publish(f"{PREFIX}/{operation}{level}", {"requestId": number} | body)
        return number

    def answers(self, number: str) -> list[dict[str, Any]]:
        """All replies to a request at ``PREFIX/response/OPERATION``."""
        messages = [one for one in list(self.client.messages) if one.topic.startswith(f"{PREFIX}/response/")]
        bodies = [orjson.loads(message.payload) for message in messages]
        return [body for body in bodies if body.get("requestId") == number]

    def operate(self, operation: str, body: dict[str, Any], level: str = "") -> dict[str, Any]:
        """Ask for one operation and return its one reply, without its ``requestId``."""
        number = self.request(operation, body, level)
        wait_until(lambda: self.answers(number), f"the answer to {operation} {body}", WITHIN_S)
        (found,) = self.answers(number)
        return {key: value for key, value in found.items() if key != "requestId"}

    def start_workflow(self, spec: dict[str, Any], phase: str = "Running", namespace: str = NAMESPACE) -> str:
        """Start a workflow by message; returns its name once it is in `phase`."""
        number = self.request("trigger", {"namespace": namespace, "workflow": {"spec": spec}})
        wait_until(lambda: self.answers(number), "the answer to a trigger message", WITHIN_S)
        name = str(self.answers(number)[0]["workflowId"])
        self.await_phase(name, phase, namespace)
        return name

    def status(self, name: str, namespace: str = NAMESPACE) -> dict[str, Any]:
        """A workflow's status as Argo has it, {} where it has none."""
        workflow = self.simulator.workflow(namespace, name)
        return {} if workflow is None else workflow.get("status", {})

    def await_phase(self, name: str, phase: str, namespace: str = NAMESPACE) -> None:
        """Return once a workflow is in `phase`."""
        wait_until(
            lambda: self.status(name, namespace).get("phase") == phase,
            f"{name} to be {phase}, not {self.status(name, namespace)}",
            WITHIN_S,
        )

    def await_gone(self, name: str) -> None:
        """Return once a workflow is deleted."""
        wait_until(lambda: self.simulator.workflow(NAMESPACE, name) is None, f"{name} to be gone", WITHIN_S)

    def put_cron(self, name: str, spec: dict[str, Any]) -> None:
        """Let there be a CronWorkflow."""
        cron = {"metadata": {"name": name}, "spec": {"schedules": ["0 0 1 1 *"], "workflowSpec": spec}}
        body = orjson.dumps({"cronWorkflow": cron})
        self.bridge.service._client.call(
            HttpRequest("POST", f"/api/v1/cron-workflows/{NAMESPACE}", body), "make a cron"
        )

    def cron(self, name: str) -> dict[str, Any]:
        """A CronWorkflow as Argo has it."""
        path = f"/api/v1/cron-workflows/{NAMESPACE}/{name}"
        return self.bridge.service._client.call(HttpRequest("GET", path), "read a cron")

    def lose_answer(self, method: str, path: str) -> InjectedFault:
        """The next such request is carried out, and its connection is cut in place of the answer."""
        return self.simulator.faults.add(InjectedFault(FaultKind.CUT, method=method, path=path, accept=True, count=1))
