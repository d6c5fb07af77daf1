"""Argo as a model that takes operations, and rows that ask for them. No test lives here."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import orjson
from dispatch_fakes import ArgoModel, DispatchBench, error_answer

from bridge.argo.errors import Answer, classify
from bridge.argo.exchanges import HttpRequest
from bridge.argo.names import workflow_name
from bridge.core.model import ReplyAddress, WorkflowOrder
from bridge.interface.operations import OPERATION_MAX_AGE_S, SPECS, Operation
from bridge.pipeline.intake.identity import digest
from bridge.spool.records import Asked, NewEvent


class OperationsModel(ArgoModel):
    """Workflows and CronWorkflows of one namespace, and what was done to them.

    effects: how often each (verb, name) was carried out.
    objects: whole workflows by name, for what the bridge compares.
    """

    def __init__(self) -> None:
        super().__init__()
        self.effects: Counter[tuple[str, str]] = Counter()
        self.objects: dict[str, dict[str, Any]] = {}
        self.crons = {"nightly"}
        self.suspend_nodes: set[str] = set()
        self._second = 0

    def put(self, name: str, phase: str = "Running") -> None:
        """Let there be a workflow, with a uid of its own."""
        self._second += 1
        status: dict[str, Any] = {"phase": phase, "startedAt": self._now(), "finishedAt": None}
        if phase in ("Failed", "Succeeded", "Error"):
            status["finishedAt"] = self._now()
        metadata = {"name": name, "namespace": "factory", "uid": f"uid-{self._second}", "labels": {"line": "3"}}
        self.objects[name] = {"metadata": metadata, "spec": {"entrypoint": "main"}, "status": status}
        self.workflows[name] = metadata

    def _now(self) -> str:
        return f"2026-11-24T14:{self._second // 60:02}:{self._second % 60:02}Z"

    def fail(self, name: str) -> None:
        """Let a workflow end."""
        self._second += 1
        self.objects[name]["status"] |= {"phase": "Failed", "finishedAt": self._now()}

    def archive(self, name: str) -> None:
        """Let only the archive have it."""
        self.objects[name]["metadata"]["labels"]["workflows.argoproj.io/workflow-archiving-status"] = "Persisted"
        del self.workflows[name]

    def _get(self, name: str) -> Answer:
        path = name.partition("?")[0]
        if path not in self.objects:
            return super()._get(path)
        return self._ok(self.objects[path])

    def _carry_out(self, request: HttpRequest) -> Answer:
        levels = urlsplit(request.path).path.split("/")
        if request.method == "DELETE":
            return self._delete(levels[-1])
        if request.method == "PUT" and "cron-workflows" in levels:
            return self._cron(levels[-2], levels[-1])
        if request.method == "PUT":
            return self._verb(levels[-2], levels[-1])
        if levels[-1] == "submit":
            return self._submit(orjson.loads(request.body or b""))
        return super()._carry_out(request)

    def _ok(self, body: dict[str, Any]) -> Answer:
        return classify(200, {}, orjson.dumps(body), 0.0, 0.01)

    def _done(self, verb: str, name: str) -> Answer:
        self.effects[verb, name] += 1
        return self._ok({"metadata": {"name": name}})

    def _delete(self, name: str) -> Answer:
        if name not in self.workflows:
            return error_answer(404, 5, f'workflows.argoproj.io "{name}" not found')
        self.effects["delete", name] += 1
        del self.workflows[name], self.objects[name]
        return self._ok({})

    def _cron(self, name: str, verb: str) -> Answer:
        if name not in self.crons:
            return error_answer(404, 5, f'cronworkflows.argoproj.io "{name}" not found')
        return self._done(verb, name)

    def _verb(self, name: str, verb: str) -> Answer:
        if name not in self.workflows:
            return error_answer(404, 5, f'workflows.argoproj.io "{name}" not found')
        status = self.objects[name]["status"]
        is_ended = status["finishedAt"] is not None
        if verb in ("stop", "terminate") and is_ended:
            return error_answer(500, 13, f'cannot shutdown a completed workflow: workflow: "{name}"')
        if verb == "suspend" and is_ended:
            return error_answer(400, 3, "timed out waiting for the condition: cannot suspend completed workflows")
        if verb == "retry" and status["phase"] != "Failed":
            return error_answer(400, 3, f"Cannot retry a workflow in phase {status['phase']}")
        if verb in ("set", "resume"):
            if name not in self.suspend_nodes:
                text = "currently, set only targets suspend nodes: no suspend nodes matching nodeFieldSelector: id=x"
                return error_answer(500, 13, text)
            self.suspend_nodes.discard(name)
        if verb == "retry":
            self._second += 1
            status |= {"phase": "", "startedAt": self._now(), "finishedAt": None}
        return self._done(verb, name)

    def _submit(self, body: dict[str, Any]) -> Answer:
        options = body["submitOptions"]
        name, cron = options["name"], body["resourceName"]
        if cron not in self.crons:
            return error_answer(404, 5, f'cronworkflows.argoproj.io "{cron}" not found')
        if name in self.workflows:
            return error_answer(409, 6, f'workflows.argoproj.io "{name}" already exists')
        annotations = dict(pair.split("=", 1) for pair in options["annotations"].split(","))
        self.workflows[name] = {"name": name, "annotations": annotations}
        self.created[annotations["argo-bridge/event"]] = self.created.get(annotations["argo-bridge/event"], 0) + 1
        return self._ok({"metadata": self.workflows[name]})


def operation_event(number: int, operation: Operation, target: str = "w", **options: object) -> NewEvent:
    """A row that asks for an operation and is answered at replies/NUMBER."""
    event_id = digest("operation", str(number))
    name = workflow_name(target, event_id) if SPECS[operation].creates else target
    return NewEvent(
        id=event_id,
        lane="operation:factory",
        order=WorkflowOrder("factory", target, b"{}", name),
        mapping="",
        topic=f"argo/workflows/{operation.value}",
        connection="plant",
        payload_digest=digest("payload"),
        order_key=f"operation:factory/{target}",
        max_age_s=OPERATION_MAX_AGE_S,
        reply=ReplyAddress("plant", f"replies/{number}"),
        asked=Asked(operation.value, target, dict(options)),
    )


def model_of(bench: DispatchBench) -> OperationsModel:
    """The model that a bench was made with."""
    assert isinstance(bench.argo, OperationsModel)
    return bench.argo
