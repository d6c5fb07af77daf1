"""The parts wired together, without a socket: nothing that a client sends is unexpected."""

from __future__ import annotations

import asyncio
import copy
from random import Random
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.simulator.engine import Engine
from bridge.simulator.faults import Faults
from bridge.simulator.http.parsing import ParsedRequest
from bridge.simulator.http.wire import HttpServer
from bridge.simulator.objects.pod_logs import LogQuery, lines_of
from bridge.simulator.options import SimulatorOptions

WORKFLOW: dict[str, Any] = {
    "metadata": {"name": "w", "labels": {"a": "b"}, "annotations": {"simulator.argo-bridge/duration": "0"}},
    "spec": {
        "entrypoint": "main",
        "onExit": "leaf",
        "suspend": False,
        "ttlStrategy": {"secondsAfterCompletion": 0},
        "activeDeadlineSeconds": 100,
        "arguments": {"parameters": [{"name": "p", "value": "1", "valueFrom": {"default": "x"}}]},
        "hooks": {"running": {"template": "leaf"}},
        "templateDefaults": {"retryStrategy": {"limit": 1}},
        "templates": [
            {
                "name": "main",
                "parallelism": 2,
                "failFast": True,
                "steps": [
                    [
                        {
                            "name": "a",
                            "template": "leaf",
                            "when": "1 < 2",
                            "withItems": [1, "x", {"k": 2}],
                            "continueOn": {"failed": True},
                            "hooks": {"exit": {"template": "leaf", "arguments": {"parameters": [{"name": "q"}]}}},
                            "arguments": {"parameters": [{"name": "q", "value": "{{item}}"}]},
                        },
                        {"name": "b", "template": "graph", "withSequence": {"start": "1", "end": "2", "format": "n%d"}},
                    ]
                ],
            },
            {
                "name": "graph",
                "dag": {
                    "target": "y",
                    "tasks": [
                        {"name": "x", "template": "leaf", "withParam": '["a", ["b"]]'},
                        {"name": "y", "template": "leaf", "depends": "x && x.AnySucceeded && !x.Errored"},
                    ],
                },
            },
            {
                "name": "leaf",
                "annotations": {"workflows.argoproj.io/display-name": "leaf {{inputs.parameters.q}}"},
                "retryStrategy": {"limit": "1", "retryPolicy": "Always"},
                "metadata": {"annotations": {"simulator.argo-bridge/exit-code": "0"}},
                "inputs": {"parameters": [{"name": "q", "default": "d"}]},
                "outputs": {"parameters": [{"name": "o", "globalName": "g", "valueFrom": {"path": "/o"}}]},
                "container": {"image": "x", "args": ["echo {{inputs.parameters.q}}"]},
            },
        ],
    },
    "status": {"phase": "", "startedAt": None},
}
SUSPENDED: dict[str, Any] = {
    "id": "w",
    "name": "w",
    "type": "Suspend",
    "phase": "Running",
    "inputs": {"parameters": [{"name": "q", "value": "1"}]},
    "outputs": {"parameters": [{"name": "o", "globalName": "g", "valueFrom": {"supplied": {}, "default": "d"}}]},
    "children": ["w-1"],
}
FAILED: dict[str, Any] = {
    "id": "w-1",
    "name": "w.a",
    "type": "Pod",
    "templateName": "leaf",
    "phase": "Failed",
    "boundaryID": "w",
    "startedAt": "2026-01-01T00:00:00Z",
    "resourcesDuration": {"cpu": 1, "memory": 2},
}
STATUS: dict[str, Any] = {
    "phase": "Failed",
    "startedAt": "2026-01-01T00:00:00Z",
    "finishedAt": None,
    "nodes": {"w": SUSPENDED, "w-1": FAILED},
    "outputs": {"parameters": [{"name": "g", "value": "v"}]},
    "conditions": [{"type": "Completed", "status": "True"}],
    "storedWorkflowTemplateSpec": {"arguments": {}, "templates": [{"name": "leaf", "suspend": {}}]},
}
VERBS: list[tuple[str, dict[str, Any]]] = [
    ("set", {"nodeFieldSelector": "id=w", "outputParameters": '{"o": "1"}'}),
    ("resume", {"nodeFieldSelector": "id=w"}),
    ("suspend", {}),
    ("resume", {}),
    ("retry", {"parameters": ["p=2"]}),
    ("stop", {}),
    ("resubmit", {"parameters": ["p=2"]}),
    ("retry", {"restartSuccessful": True, "nodeFieldSelector": "id=w"}),
]


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a value."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += paths_of(item, (*path, key))
    return found


ODD = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", "{{item}}", "exit 2", "a && (b", [], [[]], [{}], {}, {"name": 1}]
)


def put(value: Any, path: tuple[Any, ...], item: Any) -> Any:
    """A copy of a value with something else at one place."""
    changed = copy.deepcopy(value)
    target = changed
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = item
    return changed


def answer_all(requests: list[ParsedRequest], *, at_the_end: bool = False) -> tuple[list[int], list[BaseException]]:
    """Statuses of some requests and what was unexpected; their logs can be read after each.

    After each request, or `at_the_end` only, all workflows live their lives.
    """

    async def run() -> tuple[list[int], list[BaseException]]:
        options = SimulatorOptions(container_s=0.0, reaction_s=0.0, list_lag_s=0.0, seed=1)
        engine = Engine(options, Faults(Random(1)), asyncio.get_running_loop())
        statuses = []
        for request in requests:
            engine.controller.away = at_the_end and request is not requests[-1]
            statuses.append(engine.api.answer(request).status)
            for workflow in engine.store.workflows.values():
                lines_of(workflow, LogQuery())
            while engine.controller.run_due():
                pass
        engine.close()
        return statuses, engine.api.unexpected

    return asyncio.run(run())


def request(method: str, path: str, body: Any = None, query: str = "") -> ParsedRequest:
    """A request as the parser makes it."""
    data = b"" if body is None else orjson.dumps(body)
    return ParsedRequest(method, path, query, {}, data, len(data))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(paths_of(WORKFLOW)), ODD)
def test_no_manifest_is_unexpected(path: tuple[Any, ...], item: Any) -> None:
    """Whatever stands at any place of a manifest, it is refused or lives its life, and can be listed and read."""
    create = "/api/v1/workflows/argo"
    changed = put(WORKFLOW, path, item)
    requests = [
        request("POST", create, {"workflow": changed}),
        request("GET", create),
        request("GET", create, query="fields=metadata,items.status.nodes"),
        request("GET", f"{create}/w"),
    ]
    statuses, unexpected = answer_all(requests)
    assert unexpected == []
    assert statuses[0] in (200, 400, 404)
    assert statuses[1:3] == [200, 200]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(paths_of(STATUS)), ODD, st.integers(0, len(VERBS) - 1))
def test_no_status_is_unexpected(path: tuple[Any, ...], item: Any, first: int) -> None:
    """Whatever a client writes into the status of a workflow, it is refused, or every verb and the logs bear it."""
    path_of_w = "/api/v1/workflows/argo/w"
    workflow = {**WORKFLOW, "spec": {**WORKFLOW["spec"], "ttlStrategy": {}}, "status": put(STATUS, path, item)}
    verbs = [request("PUT", f"{path_of_w}/{verb}", body) for verb, body in VERBS[first:] + VERBS[:first]]
    create = request("POST", "/api/v1/workflows/argo", {"workflow": workflow})
    assert answer_all([create, *verbs, request("GET", path_of_w)], at_the_end=True)[1] == []


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20), st.sampled_from(["GET", "POST", "PUT", "DELETE", "x"]))
def test_no_path_is_unexpected(path: str, query: str, method: str) -> None:
    """Whatever path or query comes, there is an answer."""
    keys = ("listOptions.limit", "listOptions.continue", "listOptions.fieldSelector", "fields", "createdAfter")
    requests = [request(method, f"/api/v1/{path}"), request(method, f"/api/v1/workflows/argo/{path}")]
    requests += [ParsedRequest("GET", "/api/v1/workflows/argo", "", {}, _params={key: query}) for key in keys]
    assert answer_all(requests)[1] == []


def test_a_connection_that_comes_while_the_server_goes_is_cut() -> None:
    """What was accepted just before the end is not left open, which a later collection of garbage would complain of."""

    class Transport(asyncio.Transport):
        aborted = False

        def abort(self) -> None:
            self.aborted = True

    async def scene() -> bool:
        server = HttpServer(lambda _: None, tuple)
        server.abort_all()
        transport = Transport()
        server.protocol().connection_made(transport)
        return transport.aborted

    assert asyncio.run(scene())


def test_a_good_manifest_reaches_its_end() -> None:
    """The manifest that the others vary is accepted, and its TTL deletes it at its end."""
    create = "/api/v1/workflows/argo"
    requests = [request("POST", create, {"workflow": WORKFLOW}), request("GET", f"{create}/w"), request("GET", create)]
    assert answer_all(requests) == ([200, 404, 200], [])
