"""Valid manifests of every feature, each with the releases that have it; written for these tests."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from bridge.validation.library import SchemaLibrary
from bridge.validation.versions import ALL, Releases, since, until

LIBRARY = SchemaLibrary()
NEWEST = "4.1.2"


@dataclass(frozen=True)
class Sample:
    """A valid manifest, and the releases in which it is one."""

    name: str
    manifest: dict[str, Any]
    kind: str = "Workflow"
    releases: Releases = ALL


def workflow(*templates: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A workflow whose entrypoint is its first template."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": "sample-", "labels": {"team": "plant"}},
        "spec": {"entrypoint": templates[0].get("name"), "templates": list(templates), **spec},
    }


def container(name: str = "main", **more: Any) -> dict[str, Any]:
    """A container template."""
    return {"name": name, "container": {"image": "alpine:3", "command": ["echo"], "args": ["hello"], **more}}


def _artifact(**location: Any) -> dict[str, Any]:
    template = container()
    template["inputs"] = {"artifacts": [{"name": "in", "path": "/in", "mode": 420, **location}]}
    return workflow(template)


_KEY = {"name": "store", "key": "secret"}
_STEP = {"name": "one", "template": "work"}

_TEMPLATES = [
    Sample("container", workflow(container(imagePullPolicy="IfNotPresent", env=[{"name": "A", "value": "b"}]))),
    Sample(
        "container whose pull policy is an expression", workflow(container(imagePullPolicy="{{inputs.parameters.p}}"))
    ),
    Sample("script", workflow({"name": "main", "script": {"image": "python:3", "command": ["python"], "source": "1"}})),
    Sample(
        "resource",
        workflow(
            {
                "name": "main",
                "resource": {"action": "create", "manifest": "kind: ConfigMap", "successCondition": "status.ready = 1"},
            }
        ),
    ),
    Sample(
        "steps", workflow({"name": "main", "steps": [[_STEP, {"name": "two", "template": "work"}]]}, container("work"))
    ),
    Sample(
        "dag",
        workflow(
            {
                "name": "main",
                "dag": {
                    "tasks": [
                        {"name": "a", "template": "work"},
                        {"name": "b", "template": "work", "dependencies": ["a"]},
                        {"name": "c", "depends": "a && b", "inline": {"suspend": {}}},
                    ]
                },
            },
            container("work"),
        ),
    ),
    Sample("suspend", workflow({"name": "main", "suspend": {"duration": "20s"}})),
    Sample(
        "http",
        workflow(
            {
                "name": "main",
                "http": {
                    "url": "http://server/",
                    "method": "GET",
                    "headers": [{"name": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                    "bodyFrom": {"bytes": "aGVsbG8="},
                },
            }
        ),
    ),
    Sample("plugin", workflow({"name": "main", "plugin": {"hello": {"deeply": [1, {"free": None}]}}})),
    Sample(
        "containerSet",
        workflow(
            {
                "name": "main",
                "containerSet": {
                    "retryStrategy": {"retries": "3"},
                    "containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "x", "dependencies": ["a"]}],
                },
            }
        ),
    ),
    Sample(
        "data",
        workflow(
            {
                "name": "main",
                "data": {
                    "source": {"artifactPaths": {"name": "files", "s3": {"bucket": "b"}}},
                    "transformation": [{"expression": "filter(data, {# endsWith 'x'})"}],
                },
            }
        ),
    ),
    Sample(
        "hooks",
        workflow(
            {"name": "main", "steps": [[{**_STEP, "hooks": {"running": {"template": "work", "expression": "true"}}}]]},
            container("work"),
            hooks={"exit": {"template": "work"}},
            onExit="work",
        ),
    ),
    Sample(
        "memoize with the key of a config map",
        workflow(
            {**container(), "memoize": {"key": "k", "maxAge": "10s", "cache": {"configMap": {"name": "c", "key": "k"}}}}
        ),
        releases=until("3.7"),
    ),
    Sample(
        "memoize",
        workflow({**container(), "memoize": {"key": "k", "cache": {"configMap": {"name": "c"}}}}),
    ),
    Sample(
        "synchronization, one", workflow(container(), synchronization={"mutex": {"name": "m"}}), releases=until("3.7")
    ),
    Sample(
        "synchronization, several",
        workflow(
            container(),
            synchronization={
                "mutexes": [{"name": "m"}],
                "semaphores": [{"configMapKeyRef": {"name": "c", "key": "k"}}],
            },
        ),
        releases=since("3.6"),
    ),
    Sample(
        "synchronization in a database",
        workflow(container(), synchronization={"semaphores": [{"database": {"key": "k"}}]}),
        releases=since("3.7"),
    ),
    Sample(
        "withItems",
        workflow(
            {"name": "main", "steps": [[{**_STEP, "withItems": ["a", 1, 0.5, True, None, ["x"], {"k": {"v": 1}}]}]]},
            container("work"),
        ),
    ),
    Sample("withParam", workflow({"name": "main", "steps": [[{**_STEP, "withParam": "{{item}}"}]]}, container("work"))),
    Sample(
        "withSequence",
        workflow(
            {"name": "main", "steps": [[{**_STEP, "withSequence": {"count": 3, "format": "%02X"}}]]}, container("work")
        ),
    ),
    Sample(
        "metrics",
        workflow(
            {
                **container(),
                "metrics": {
                    "prometheus": [
                        {
                            "name": "n",
                            "help": "h",
                            "labels": [{"key": "k", "value": "v"}],
                            "gauge": {"value": "1", "realtime": True},
                        },
                        {"name": "o", "help": "h", "histogram": {"value": "1", "buckets": [1, 2.5]}},
                        {"name": "p", "help": "h", "counter": {"value": "1"}, "when": "{{status}} == Failed"},
                    ]
                },
            }
        ),
    ),
    Sample(
        "volumes",
        workflow(
            container(
                volumeMounts=[{"name": "work", "mountPath": "/work"}],
                resources={"limits": {"cpu": 1, "memory": "64Mi"}},
            ),
            volumes=[
                {"name": "work", "emptyDir": {"sizeLimit": "1Gi"}},
                {"name": "c", "configMap": {"name": "c", "defaultMode": 420}},
            ],
            volumeClaimTemplates=[
                {
                    "metadata": {"name": "claim"},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
                }
            ],
            volumeClaimGC={"strategy": "OnWorkflowCompletion"},
        ),
    ),
    Sample("podSpecPatch", workflow(container(), podSpecPatch="containers: []", podGC={"strategy": "OnPodSuccess"})),
    Sample(
        "parameters of all scalar kinds",
        workflow(
            container(),
            arguments={
                "parameters": [
                    {"name": "a", "value": "x"},
                    {"name": "b", "value": 1},
                    {"name": "c", "value": True, "enum": [True, "x"]},
                    {"name": "d", "default": 0.5, "description": 3},
                    {"name": "e", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
                ]
            },
        ),
    ),
    Sample(
        "a probe with a port by name",
        workflow(container(readinessProbe={"httpGet": {"port": "web", "scheme": "HTTP"}, "periodSeconds": 5})),
    ),
    Sample("resources of the pod", workflow(container(), podResources={"limits": {"cpu": "2"}}), releases=since("4.1")),
    Sample(
        "executor plugins",
        workflow(
            container(),
            executorPlugins=[
                {"metadata": {"name": "p"}, "spec": {"sidecar": {"container": {"name": "c", "image": "x"}}}}
            ],
        ),
        releases=since("4.1"),
    ),
    Sample("template of another object", {"metadata": {"name": "a"}, "spec": {"workflowTemplateRef": {"name": "t"}}}),
    Sample(
        "template defaults",
        workflow({"name": "main", "resource": {"manifest": "x"}}, templateDefaults={"resource": {"action": "get"}}),
    ),
]

_ARTIFACTS = [
    Sample("artifact: s3", _artifact(s3={"bucket": "b", "key": "k", "endpoint": "e", "accessKeySecret": _KEY})),
    Sample("artifact: gcs", _artifact(gcs={"bucket": "b", "key": "k", "serviceAccountKeySecret": _KEY})),
    Sample("artifact: oss", _artifact(oss={"bucket": "b", "key": "k", "lifecycleRule": {"markDeletionAfterDays": 3}})),
    Sample("artifact: git", _artifact(git={"repo": "https://server/x.git", "depth": 1, "revision": "main"})),
    Sample("artifact: http", _artifact(http={"url": "http://server/", "headers": [{"name": "a", "value": "b"}]})),
    Sample("artifact: hdfs", _artifact(hdfs={"path": "/x", "addresses": ["a:1"]})),
    Sample("artifact: artifactory", _artifact(artifactory={"url": "http://server/", "usernameSecret": _KEY})),
    Sample("artifact: azure", _artifact(azure={"container": "c", "blob": "b", "endpoint": "e"})),
    Sample("artifact: raw", _artifact(raw={"data": "x"}, archive={"none": {}})),
    Sample("artifact: plugin", _artifact(plugin={"name": "p", "key": "k"}), releases=since("4.0")),
    Sample("artifact: key only", _artifact(s3={"key": "k"}, archive={"tar": {"compressionLevel": 0}})),
]

_CRON = {"concurrencyPolicy": "Replace", "startingDeadlineSeconds": 0, "workflowSpec": workflow(container())["spec"]}
_TEMPLATE = {"metadata": {"name": "t"}, "spec": {"templates": [container()]}}

_KINDS = [
    Sample(
        "cron, one schedule",
        {"kind": "CronWorkflow", "spec": {**_CRON, "schedule": "* * * * *"}},
        "CronWorkflow",
        until("3.7"),
    ),
    Sample(
        "cron, several schedules",
        {"kind": "CronWorkflow", "spec": {**_CRON, "schedules": ["* * * * *"]}},
        "CronWorkflow",
        since("3.6"),
    ),
    Sample("workflow template", {"kind": "WorkflowTemplate", **_TEMPLATE}, "WorkflowTemplate"),
    Sample("cluster workflow template", {"kind": "ClusterWorkflowTemplate", **_TEMPLATE}, "ClusterWorkflowTemplate"),
    Sample(
        "workflow event binding",
        {
            "kind": "WorkflowEventBinding",
            "metadata": {"name": "b"},
            "spec": {
                "event": {"selector": "true"},
                "submit": {
                    "workflowTemplateRef": {"name": "t"},
                    "arguments": {"parameters": [{"name": "a", "valueFrom": {"event": "payload"}}]},
                },
            },
        },
        "WorkflowEventBinding",
    ),
]

SAMPLES = [*_TEMPLATES, *_ARTIFACTS, *_KINDS]
RELEASES = LIBRARY.versions


def sample(name: str) -> dict[str, Any]:
    """A fresh copy of a sample's manifest."""
    return deepcopy(next(one.manifest for one in SAMPLES if one.name == name))


def pointers(manifest: dict[str, Any], version: str = NEWEST, kind: str = "Workflow") -> dict[str, str]:
    """The findings as pointer -> code."""
    return {one.pointer: one.code for one in LIBRARY.validator(version).problems(manifest, kind)}
