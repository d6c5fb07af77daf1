"""``check --live``: checks the Argo Server's version, the bridge's rights and each mapping's template.

Changes nothing: the right to create is tested with a dry run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import orjson

from bridge.argo.direct import DirectClient
from bridge.argo.errors import HINTS, Answer
from bridge.argo.handles import HttpRequest
from bridge.argo.options import (
    VERSION_PATH,
    cluster_template_path,
    template_path,
    watch_path,
    with_query,
    workflow_path,
    workflows_path,
)
from bridge.configfile.problems import Position, Problem
from bridge.mapping.definition import MappingDefinition
from bridge.settings.model import Settings
from bridge.validation.library import SchemaLibrary

_NAME = "argo-bridge-check"
_DRY_RUN = orjson.dumps(
    {
        "serverDryRun": True,
        "workflow": {
            "metadata": {"generateName": f"{_NAME}-"},
            "spec": {"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]},
        },
    }
)


def check_live(settings: Settings, mappings: Iterable[MappingDefinition], config: Path) -> Iterator[Problem | str]:
    """Yield a sentence for each success and a problem for each failure; ends early if the server cannot be reached."""
    options = settings.argo
    at = Position(str(config))
    with DirectClient(options) as client:
        answer = client.ask(HttpRequest("GET", VERSION_PATH))
        version = (answer.body or {}).get("version")
        if not isinstance(version, str):
            yield _problem(at, answer, f"read the version of the Argo Server {options.place}")
            return
        choice = SchemaLibrary().for_version(version if settings.argo.version == "auto" else settings.argo.version)
        note = f" ({choice.note})" if choice.note else ""
        yield f"Argo Server {options.place}: version {version}; workflows are checked as Argo {choice.version}{note}"
        asked = [_rights(client, at, namespace) for namespace in settings.argo.namespaces]
        asked += [_template(client, mapping) for mapping in mappings]
        for found in chain.from_iterable(asked):
            yield found
            # Every further request would get the same response.
            if isinstance(found, Problem) and found.code == "not-authenticated":
                return


def _rights(client: DirectClient, at: Position, namespace: str) -> Iterator[Problem | str]:
    # A watch that is allowed ends after a second with its own frame; headers come with the first byte.
    watch = with_query(
        watch_path(namespace), listOptions__labelSelector=f"{_NAME}=none", listOptions__timeoutSeconds="1"
    )
    tried = {
        "create": HttpRequest("POST", workflows_path(namespace), _DRY_RUN),
        "get": HttpRequest("GET", workflow_path(namespace, _NAME)),
        "list": HttpRequest("GET", with_query(workflows_path(namespace), listOptions__limit="1")),
        "watch": HttpRequest("GET", watch),
    }
    permitted = []
    for verb, request in tried.items():
        answer = client.ask(request)
        if answer.ok or answer.code in ("workflow-not-found", "watch-ended"):
            permitted.append(verb)
        else:
            yield _problem(at, answer, f"{verb} workflows in namespace {namespace}")
    if permitted:
        yield f"namespace {namespace}: the bridge may {', '.join(permitted)} workflows"


def _template(client: DirectClient, mapping: MappingDefinition) -> Iterator[Problem | str]:
    workflow = mapping.workflow
    if workflow.template:
        request = HttpRequest("GET", template_path(workflow.namespace, workflow.template))
        key, what = "template", f"WorkflowTemplate {workflow.template} in namespace {workflow.namespace}"
    elif workflow.cluster_template:
        request = HttpRequest("GET", cluster_template_path(workflow.cluster_template))
        key, what = "cluster-template", f"ClusterWorkflowTemplate {workflow.cluster_template}"
    else:
        return
    answer = client.ask(request)
    if answer.ok:
        yield f"{mapping.label}: {what} exists"
    else:
        yield _problem(mapping.position("workflow", key), answer, f"{mapping.label}: read {what}")


def _problem(at: Position, answer: Answer, action: str) -> Problem:
    code = answer.code if not answer.ok else "not-argo"
    hint = HINTS.get(code)
    text = f"{action}: {answer.message or 'the response has no version'}"
    return Problem(at, code, f"{text}; {hint}" if hint else text)
