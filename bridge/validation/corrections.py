"""Mistakes and gaps in Argo's field reference, one declared entry each; `generator` applies them.

An entry states what the reference says and what is true. An entry that no longer fits one of its releases fails the
generation: then the reference, or Argo, has changed, and the entry needs a review. Corrections are made nowhere else.
Enums and required fields, which the reference never has, are in `reviewed_facts`.

Sources named: ORACLE = Argo's ``api/jsonschema/schema.json`` of the release, CRD = its ``manifests/base/crds/full``,
DECODER = the verdict of ``argo lint --offline`` of the same release on hand-written manifests, each for 3.5 to 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bridge.validation.versions import ALL, Releases, since, until

# Words that `means` may use besides the reference's own notation; `generator` has their schemas.
INT32 = "int32"
UINT64 = "uint64"
ANY_STRING = "anystring"
BASE64 = "base64"

# k8s.io/apimachinery resource.Quantity, as the CRDs of all five releases print it.
QUANTITY = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
# RFC 3339 as Go's time package reads it (metav1.Time.UnmarshalJSON).
TIMESTAMP = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.,][0-9]+)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})$"
)


@dataclass(frozen=True, slots=True)
class SpecialType:
    """A type that the reference has without a table, and the schema of its values."""

    name: str
    schema: dict[str, Any]
    source: str
    releases: Releases = ALL


@dataclass(frozen=True, slots=True)
class FieldMeaning:
    """Fields whose notation is as in `reads` but means something else."""

    fields: tuple[str, ...]
    reads: str
    means: str
    source: str
    releases: Releases = ALL


@dataclass(frozen=True, slots=True)
class AddedType:
    """A type that the reference lacks, with the notation of each field."""

    name: str
    source: str
    releases: Releases = ALL
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DroppedType:
    """A type of the reference that no manifest can hold."""

    name: str
    source: str
    releases: Releases = ALL


@dataclass(frozen=True, slots=True)
class RootKind:
    """A kind of manifest: its `kind` and `apiVersion` are constants, and it is an entry point of the schema."""

    name: str
    source: str
    releases: Releases = ALL


_EMPTY = {"type": ["object", "null"], "additionalProperties": False, "properties": {}}

# Rule 1: types without a table. An undeclared one stops the generation.
SPECIAL_TYPES = (
    # A number, or a text that may be an expression; 1.5 and true are refused. ORACLE's "string" alone is too narrow.
    SpecialType("IntOrString", {"type": ["integer", "string", "null"]}, "CRD x-kubernetes-int-or-string; DECODER"),
    # `cpu: 1` and `cpu: 0.5` are accepted; a text that is not a quantity is refused, even {{...}}.
    SpecialType("Quantity", {"type": ["string", "number", "null"], "pattern": QUANTITY}, "CRD pattern; DECODER"),
    SpecialType("Time", {"type": ["string", "null"], "pattern": TIMESTAMP}, "ORACLE; null by DECODER"),
    SpecialType("Amount", {"type": ["number", "null"]}, "ORACLE and CRD"),
    # One element of withItems: anything, including lists and null.
    SpecialType("Item", {}, "DECODER; examples/loops*.yaml"),
    # The plugin's name is the only key; its value is the plugin's own.
    SpecialType("Plugin", {"type": ["object", "null"], "minProperties": 1, "maxProperties": 1}, "DECODER"),
    SpecialType("FieldsV1", {"type": ["object", "null"]}, "ORACLE"),
    # Really empty: an unknown key inside is refused in every release, although ORACLE leaves them open.
    SpecialType("NoneStrategy", _EMPTY, "DECODER"),
    SpecialType("ZipStrategy", _EMPTY, "DECODER"),
    SpecialType("SuppliedValueFrom", _EMPTY, "DECODER"),
    SpecialType("RetryNodeAntiAffinity", _EMPTY, "DECODER"),
)

FIELD_MEANINGS = (
    # Rule 2: a plain link that is really a map to that type; the reference's generator prints both the same way.
    FieldMeaning(
        ("WorkflowSpec.hooks", "WorkflowStep.hooks", "DAGTask.hooks"),
        "LifecycleHook",
        "Map<LifecycleHook>",
        "ORACLE; examples/life-cycle-hooks-wf-level.yaml",
    ),
    FieldMeaning(
        ("WorkflowMetadata.labelsFrom",),
        "LabelValueFrom",
        "Map<LabelValueFrom>",
        "ORACLE; examples/label-value-from-workflow.yaml",
    ),
    FieldMeaning(
        ("ResourceRequirements.limits", "ResourceRequirements.requests"),
        "Quantity",
        "Map<Quantity>",
        "ORACLE; examples/influxdb-ci.yaml",
    ),
    # The type came with Kubernetes 1.29, which Argo uses from 3.6 on.
    FieldMeaning(
        ("VolumeResourceRequirements.limits", "VolumeResourceRequirements.requests"),
        "Quantity",
        "Map<Quantity>",
        "ORACLE, CRD",
        since("3.6"),
    ),
    FieldMeaning(
        ("PersistentVolumeClaimStatus.capacity", "PersistentVolumeClaimStatus.allocatedResources"),
        "Quantity",
        "Map<Quantity>",
        "ORACLE, CRD",
    ),
    FieldMeaning(("WorkflowStatus.nodes",), "NodeStatus", "Map<NodeStatus>", "ORACLE"),
    FieldMeaning(("WorkflowStatus.storedTemplates",), "Template", "Map<Template>", "ORACLE"),
    # Rule 3: Map<K,V> prints the values' type as K, and V is their format; keys are always texts.
    FieldMeaning(
        ("ArtGCStatus.podsRecouped", "ArtGCStatus.strategiesProcessed", "WorkflowStatus.taskResultsCompletionStatus"),
        "Map<boolean,string>",
        "Map<boolean>",
        "ORACLE, CRD",
    ),
    FieldMeaning(
        ("NodeStatus.resourcesDuration", "WorkflowStatus.resourcesDuration"),
        "Map<integer,int64>",
        "Map<integer>",
        "ORACLE, CRD",
    ),
    # Rule 4: Go type AnyString accepts numbers and booleans and converts them to text. It also accepts lists and maps,
    # and silently turns them into "": refused here, on purpose.
    FieldMeaning(
        ("Parameter.value", "Parameter.default", "Parameter.description", "ValueFrom.default"),
        "string",
        ANY_STRING,
        "DECODER; test/e2e/testdata/retry-workflow-with-continueon.yaml",
    ),
    FieldMeaning(("Parameter.enum",), "Array<string>", f"Array<{ANY_STRING}>", "DECODER"),
    # Rule 7: Go's []byte is base64 text in JSON.
    FieldMeaning(("HTTPBodySource.bytes",), "byte", BASE64, "DECODER refuses what is not base64"),
    # `integer` is int64 unless named here: the decoder refuses what overflows the Go type.
    FieldMeaning(
        (
            "Artifact.mode",
            "ArtifactPaths.mode",
            "CronWorkflowSpec.failedJobsHistoryLimit",
            "CronWorkflowSpec.successfulJobsHistoryLimit",
            "OSSLifecycleRule.markDeletionAfterDays",
            "OSSLifecycleRule.markInfrequentAccessAfterDays",
            "TTLStrategy.secondsAfterCompletion",
            "TTLStrategy.secondsAfterFailure",
            "TTLStrategy.secondsAfterSuccess",
            "TarStrategy.compressionLevel",
            "WorkflowSpec.priority",
            "AWSElasticBlockStoreVolumeSource.partition",
            "ConfigMapVolumeSource.defaultMode",
            "ContainerPort.containerPort",
            "ContainerPort.hostPort",
            "DownwardAPIVolumeFile.mode",
            "DownwardAPIVolumeSource.defaultMode",
            "FCVolumeSource.lun",
            "GCEPersistentDiskVolumeSource.partition",
            "GRPCAction.port",
            "ISCSIVolumeSource.lun",
            "KeyToPath.mode",
            "PreferredSchedulingTerm.weight",
            "Probe.failureThreshold",
            "Probe.initialDelaySeconds",
            "Probe.periodSeconds",
            "Probe.successThreshold",
            "Probe.timeoutSeconds",
            "ProjectedVolumeSource.defaultMode",
            "SecretVolumeSource.defaultMode",
            "WeightedPodAffinityTerm.weight",
        ),
        "integer",
        INT32,
        "CRD format int32",
    ),
    FieldMeaning(("WorkflowSpec.podPriority", "Template.priority"), "integer", INT32, "CRD format int32", until("3.6")),
    FieldMeaning(
        ("NodeStatus.failedPodRestarts", "PluginArtifact.connectionTimeoutSeconds"),
        "integer",
        INT32,
        "CRD format int32",
        since("4.0"),
    ),
    FieldMeaning(("PodCertificateProjection.maxExpirationSeconds",), "integer", INT32, "CRD", since("4.1")),
    FieldMeaning(("ContainerRestartRuleOnExitCodes.values",), "Array<integer>", f"Array<{INT32}>", "CRD", since("4.1")),
    # Go type uint64: a negative depth is refused.
    FieldMeaning(("GitArtifact.depth",), "integer", UINT64, "Go type of GitArtifact.Depth"),
)

ADDED_TYPES = (
    # Rule 5: no release's reference has it; ORACLE: the same four fields as WorkflowTemplate.
    AddedType(
        "ClusterWorkflowTemplate",
        "ORACLE; examples/cluster-workflow-template",
        ALL,
        {"apiVersion": "string", "kind": "string", "metadata": "ObjectMeta", "spec": "WorkflowSpec"},
    ),
    # Missing in the reference of 3.5; that of 3.6 has them, with the same fields.
    AddedType(
        "WorkflowEventBinding",
        "ORACLE 3.5; the reference of 3.6",
        until("3.5"),
        {"apiVersion": "string", "kind": "string", "metadata": "ObjectMeta", "spec": "WorkflowEventBindingSpec"},
    ),
    AddedType(
        "WorkflowEventBindingSpec",
        "ORACLE 3.5; the reference of 3.6",
        until("3.5"),
        {"event": "Event", "submit": "Submit"},
    ),
    AddedType("Event", "ORACLE 3.5; the reference of 3.6", until("3.5"), {"selector": "string"}),
    AddedType(
        "Submit",
        "ORACLE 3.5; the reference of 3.6",
        until("3.5"),
        {"arguments": "Arguments", "metadata": "ObjectMeta", "workflowTemplateRef": "WorkflowTemplateRef"},
    ),
)

DROPPED_TYPES = (
    # Responses of the server's API, which no kind refers to.
    DroppedType("InfoResponse", "reachable from no kind", since("3.7")),
    DroppedType("Column", "reachable from InfoResponse alone", since("3.7")),
    DroppedType("Link", "reachable from InfoResponse alone", since("3.7")),
)

# Rule 5: constants of ORACLE. The decoder accepts any apiVersion, the cluster does not.
ROOT_KINDS = (
    RootKind("Workflow", "ORACLE"),
    RootKind("WorkflowTemplate", "ORACLE"),
    RootKind("ClusterWorkflowTemplate", "ORACLE"),
    RootKind("CronWorkflow", "ORACLE"),
    RootKind("WorkflowEventBinding", "ORACLE"),
)
