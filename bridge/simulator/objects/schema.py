"""The fields that the simulator knows, in the order in which Argo prints them.

Tables only: the fields of each struct and their kinds. Fields of other types pass through unread. Immutable, so any
thread may read it. Source: Argo field reference of the five releases.

Kinds: `s` string, `b` bool, `i` integer, `A` AnyString (a number or bool becomes a string, an object an empty one),
`I` integer or string, `Q` map of quantities, `o` any object, `x` anything, `@T` struct T, `=T` struct T that is printed
even when absent (`=s` likewise), `[]K` list of K, `{}K` map of strings to K.
"""

from __future__ import annotations

from functools import cache

Fields = dict[str, str]

_ARGUMENTS: Fields = {"parameters": "[]@Parameter", "artifacts": "[]x"}
_CONTAINER: Fields = {
    "name": "=s", "image": "s", "command": "[]s", "args": "[]s", "workingDir": "s", "ports": "[]x", "envFrom": "[]x",
    "env": "[]x", "resources": "=ResourceRequirements", "resizePolicy": "[]x", "restartPolicy": "s",
    "restartPolicyRules": "[]x", "volumeMounts": "[]x", "volumeDevices": "[]x", "livenessProbe": "x",
    "readinessProbe": "x", "startupProbe": "x", "lifecycle": "x", "terminationMessagePath": "s",
    "terminationMessagePolicy": "s", "imagePullPolicy": "s", "securityContext": "x", "stdin": "b", "stdinOnce": "b",
    "tty": "b",
}  # fmt: skip
_STEP: Fields = {
    "name": "s", "template": "s", "inline": "@Template", "arguments": "=Arguments", "templateRef": "@TemplateRef",
    "withItems": "[]x", "withParam": "s", "withSequence": "o", "when": "s", "continueOn": "o", "onExit": "s",
    "hooks": "{}@LifecycleHook",
}  # fmt: skip
_TASK: Fields = {
    "name": "s", "template": "s", "inline": "@Template", "arguments": "=Arguments", "templateRef": "@TemplateRef",
    "dependencies": "[]s", "withItems": "[]x", "withParam": "s", "withSequence": "o", "when": "s", "continueOn": "o",
    "onExit": "s", "depends": "s", "hooks": "{}@LifecycleHook",
}  # fmt: skip
_TEMPLATE: Fields = {
    "name": "s", "inputs": "=Inputs", "outputs": "=Outputs", "nodeSelector": "{}s", "affinity": "x",
    "metadata": "=Metadata", "daemon": "b", "steps": "[][]@WorkflowStep", "container": "@Container",
    "containerSet": "x", "script": "@ScriptTemplate", "resource": "x", "dag": "@DAGTemplate",
    "suspend": "@SuspendTemplate", "data": "x", "http": "x", "plugin": "x", "volumes": "[]x", "initContainers": "[]x",
    "sidecars": "[]x", "archiveLocation": "x", "activeDeadlineSeconds": "I", "retryStrategy": "o", "parallelism": "i",
    "failFast": "b", "tolerations": "[]x", "schedulerName": "s", "priorityClassName": "s", "priority": "i",
    "serviceAccountName": "s", "automountServiceAccountToken": "b", "executor": "x", "hostAliases": "[]x",
    "securityContext": "x", "podSpecPatch": "s", "metrics": "x", "synchronization": "x", "memoize": "x", "timeout": "s",
    "pendingTimeout": "s", "annotations": "{}s", "podResources": "x", "resourceClaims": "[]x",
}  # fmt: skip
_SPEC: Fields = {
    "templates": "[]@Template", "entrypoint": "s", "arguments": "=Arguments", "serviceAccountName": "s",
    "automountServiceAccountToken": "b", "executor": "x", "volumes": "[]x", "volumeClaimTemplates": "[]x",
    "parallelism": "i", "artifactRepositoryRef": "x", "suspend": "b", "nodeSelector": "{}s", "affinity": "x",
    "tolerations": "[]x", "imagePullSecrets": "[]x", "hostNetwork": "b", "dnsPolicy": "s", "dnsConfig": "x",
    "onExit": "s", "ttlStrategy": "@TTLStrategy", "activeDeadlineSeconds": "i", "priority": "i", "schedulerName": "s",
    "podGC": "x", "podPriorityClassName": "s", "podPriority": "i", "hostAliases": "[]x", "securityContext": "x",
    "podSpecPatch": "s", "podDisruptionBudget": "x", "metrics": "x", "shutdown": "s",
    "workflowTemplateRef": "@WorkflowTemplateRef", "synchronization": "x", "volumeClaimGC": "x", "retryStrategy": "o",
    "podMetadata": "@Metadata", "templateDefaults": "o", "archiveLogs": "b", "hooks": "{}@LifecycleHook",
    "workflowMetadata": "x", "artifactGC": "x", "executorPlugins": "[]x", "podResources": "x", "resourceClaims": "[]x",
}  # fmt: skip
_STATUS: Fields = {
    "phase": "s", "startedAt": "s", "finishedAt": "s", "estimatedDuration": "i", "progress": "s", "message": "s",
    "compressedNodes": "s", "nodes": "{}@NodeStatus", "offloadNodeStatusVersion": "s", "storedTemplates": "{}@Template",
    "persistentVolumeClaims": "[]x", "outputs": "@Outputs", "conditions": "[]@Condition", "resourcesDuration": "{}i",
    "storedWorkflowTemplateSpec": "@WorkflowSpec", "synchronization": "x", "artifactRepositoryRef": "x",
    "artifactGCStatus": "x", "taskResultsCompletionStatus": "{}b",
}  # fmt: skip
_NODE: Fields = {
    "id": "=s", "name": "=s", "displayName": "s", "type": "=s", "templateName": "s", "templateRef": "@TemplateRef",
    "templateScope": "s", "phase": "=s", "boundaryID": "s", "message": "s", "startedAt": "s", "finishedAt": "s",
    "progress": "s", "resourcesDuration": "{}i", "nodeFlag": "x", "inputs": "@Inputs", "outputs": "@Outputs",
    "children": "[]s", "outboundNodes": "[]s", "hostNodeName": "s", "taskResultSynced": "b",
}  # fmt: skip

# fmt: off
_STRUCTS: dict[str, Fields] = {
    "WorkflowCreateRequest": {
        "namespace": "s",
        "workflow": "@Workflow",
        "instanceID": "s",
        "serverDryRun": "b",
        "createOptions": "o",
    },
    "WorkflowSuspendRequest": {"name": "s", "namespace": "s"},
    "WorkflowTerminateRequest": {"name": "s", "namespace": "s"},
    "WorkflowResumeRequest": {"name": "s", "namespace": "s", "nodeFieldSelector": "s"},
    "WorkflowStopRequest": {"name": "s", "namespace": "s", "nodeFieldSelector": "s", "message": "s"},
    "WorkflowSetRequest": {
        "name": "s",
        "namespace": "s",
        "nodeFieldSelector": "s",
        "message": "s",
        "phase": "s",
        "outputParameters": "s",
    },
    "WorkflowRetryRequest": {
        "name": "s",
        "namespace": "s",
        "restartSuccessful": "b",
        "nodeFieldSelector": "s",
        "parameters": "[]s",
    },
    "WorkflowResubmitRequest": {"name": "s", "namespace": "s", "memoized": "b", "parameters": "[]s"},
    "RetryArchivedWorkflowRequest": {
        "uid": "s",
        "name": "s",
        "namespace": "s",
        "restartSuccessful": "b",
        "nodeFieldSelector": "s",
        "parameters": "[]s",
    },
    "ResubmitArchivedWorkflowRequest": {
        "uid": "s",
        "name": "s",
        "namespace": "s",
        "memoized": "b",
        "parameters": "[]s",
    },
    "WorkflowLintRequest": {"namespace": "s", "workflow": "@Workflow"},
    "WorkflowSubmitRequest": {
        "namespace": "s",
        "resourceKind": "s",
        "resourceName": "s",
        "submitOptions": "@SubmitOpts",
    },
    "SubmitOpts": {
        "name": "s",
        "generateName": "s",
        "entryPoint": "s",
        "parameters": "[]s",
        "serviceAccount": "s",
        "dryRun": "b",
        "serverDryRun": "b",
        "labels": "s",
        "ownerReference": "o",
        "annotations": "s",
        "podPriorityClassName": "s",
        "priority": "i",
    },
    "CreateCronWorkflowRequest": {"namespace": "s", "cronWorkflow": "@CronWorkflow", "createOptions": "o"},
    "UpdateCronWorkflowRequest": {"name": "s", "namespace": "s", "cronWorkflow": "@CronWorkflow"},
    "LintCronWorkflowRequest": {"namespace": "s", "cronWorkflow": "@CronWorkflow"},
    "CronWorkflowSuspendRequest": {"name": "s", "namespace": "s"},
    "CronWorkflowResumeRequest": {"name": "s", "namespace": "s"},
    "WorkflowTemplateLintRequest": {"namespace": "s", "template": "@WorkflowTemplate", "createOptions": "o"},
    "ClusterWorkflowTemplateLintRequest": {"template": "@ClusterWorkflowTemplate", "createOptions": "o"},
    "WorkflowTemplateCreateRequest": {
        "name": "s",
        "namespace": "s",
        "template": "@WorkflowTemplate",
        "createOptions": "o",
    },
    "WorkflowTemplateUpdateRequest": {"name": "s", "namespace": "s", "template": "@WorkflowTemplate"},
    "ClusterWorkflowTemplateCreateRequest": {"template": "@ClusterWorkflowTemplate", "createOptions": "o"},
    "ClusterWorkflowTemplateUpdateRequest": {"name": "s", "template": "@ClusterWorkflowTemplate"},
    "Workflow": {"metadata": "=ObjectMeta", "spec": "=WorkflowSpec", "status": "@WorkflowStatus"},
    "WorkflowStatus": _STATUS,
    "NodeStatus": _NODE,
    "Condition": {"type": "=s", "status": "=s", "message": "s"},
    "WorkflowTemplate": {"metadata": "=ObjectMeta", "spec": "=WorkflowSpec"},
    "ClusterWorkflowTemplate": {"metadata": "=ObjectMeta", "spec": "=WorkflowSpec"},
    "CronWorkflow": {"metadata": "=ObjectMeta", "spec": "=CronWorkflowSpec", "status": "o"},
    "CronWorkflowSpec": {
        "workflowSpec": "=WorkflowSpec",
        "schedule": "s",
        "concurrencyPolicy": "s",
        "suspend": "b",
        "startingDeadlineSeconds": "i",
        "successfulJobsHistoryLimit": "i",
        "failedJobsHistoryLimit": "i",
        "timezone": "s",
        "workflowMetadata": "@ObjectMeta",
        "stopStrategy": "o",
        "schedules": "[]s",
        "when": "s",
    },
    "ObjectMeta": {
        "name": "s",
        "generateName": "s",
        "namespace": "s",
        "selfLink": "s",
        "uid": "s",
        "resourceVersion": "s",
        "generation": "i",
        "creationTimestamp": "s",
        "deletionTimestamp": "s",
        "deletionGracePeriodSeconds": "i",
        "labels": "{}s",
        "annotations": "{}s",
        "ownerReferences": "[]x",
        "finalizers": "[]s",
        "managedFields": "[]x",
    },
    "WorkflowSpec": _SPEC,
    "Template": _TEMPLATE,
    "WorkflowStep": _STEP,
    "DAGTask": _TASK,
    "DAGTemplate": {"target": "s", "tasks": "[]@DAGTask", "failFast": "b"},
    "Arguments": _ARGUMENTS,
    "Inputs": _ARGUMENTS,
    "Outputs": {"parameters": "[]@Parameter", "artifacts": "[]x", "result": "s", "exitCode": "s"},
    "Parameter": {
        "name": "=s",
        "default": "A",
        "value": "A",
        "valueFrom": "@ValueFrom",
        "globalName": "s",
        "enum": "[]A",
        "description": "A",
    },
    "ValueFrom": {
        "path": "s",
        "jsonPath": "s",
        "jqFilter": "s",
        "event": "s",
        "parameter": "s",
        "supplied": "x",
        "configMapKeyRef": "x",
        "default": "A",
        "expression": "s",
    },
    "Container": _CONTAINER,
    "ScriptTemplate": {**_CONTAINER, "source": "s"},
    "ResourceRequirements": {"limits": "Q", "requests": "Q", "claims": "[]x"},
    "SuspendTemplate": {"duration": "s"},
    "TTLStrategy": {"secondsAfterCompletion": "i", "secondsAfterSuccess": "i", "secondsAfterFailure": "i"},
    "WorkflowTemplateRef": {"name": "s", "clusterScope": "b"},
    "TemplateRef": {"name": "s", "template": "s", "clusterScope": "b"},
    "LifecycleHook": {"template": "s", "arguments": "=Arguments", "templateRef": "@TemplateRef", "expression": "s"},
    "Metadata": {"annotations": "{}s", "labels": "{}s"},
}
# fmt: on

# First release (minor) that has the field, or the first without it.
_ADDED: dict[tuple[str, str], tuple[int, int]] = {
    ("Template", "annotations"): (3, 7),
    ("Template", "pendingTimeout"): (4, 1),
    ("Template", "podResources"): (4, 1),
    ("Template", "resourceClaims"): (4, 1),
    ("CronWorkflowSpec", "schedules"): (3, 6),
    ("CronWorkflowSpec", "stopStrategy"): (3, 6),
    ("CronWorkflowSpec", "when"): (3, 6),
    ("WorkflowSpec", "executorPlugins"): (4, 1),
    ("WorkflowSpec", "podResources"): (4, 1),
    ("WorkflowSpec", "resourceClaims"): (4, 1),
    ("Container", "resizePolicy"): (3, 6),
    ("Container", "restartPolicy"): (3, 6),
    ("Container", "restartPolicyRules"): (4, 1),
    ("ScriptTemplate", "resizePolicy"): (3, 6),
    ("ScriptTemplate", "restartPolicy"): (3, 6),
    ("ScriptTemplate", "restartPolicyRules"): (4, 1),
}
_REMOVED: dict[tuple[str, str], tuple[int, int]] = {
    ("CronWorkflowSpec", "schedule"): (4, 0),
    ("WorkflowSpec", "podPriority"): (3, 7),
    ("Template", "priority"): (3, 7),
}

# Fields that one release prints even if they are empty.
_PRINTED_BEFORE = {("CronWorkflowSpec", "schedule", (3, 5)): "=s"}

NODE_ORDER = tuple(_NODE)
STATUS_ORDER = tuple(_STATUS)

METADATA_ORDER = (
    "name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "labels",
    "annotations", "ownerReferences", "finalizers", "managedFields",
)  # fmt: skip


@cache
def structs_of(minor: tuple[int, int]) -> dict[str, Fields]:
    """Return every struct with the fields of release `minor` (major, minor)."""
    tables: dict[str, Fields] = {}
    for struct, fields in _STRUCTS.items():
        tables[struct] = {
            name: _PRINTED_BEFORE.get((struct, name, minor), kind)
            for name, kind in fields.items()
            if _ADDED.get((struct, name), minor) <= minor < _REMOVED.get((struct, name), (99, 0))
        }
    return tables
