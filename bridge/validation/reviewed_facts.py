"""Facts that Argo's field reference does not state in machine-readable form: enums and required fields, reviewed.

Declared like `corrections`: an entry names its fields, releases and source, and fails the generation if it no longer
fits. The reference's free text is not a reliable source (half of what looks like an enum is not one), so each enum is
written down here and checked against the text where the text lists it.

Not required here, although Argo's own JSON Schema requires it, because Argo accepts manifests without it: container and
script images, ``ScriptTemplate.source``, ``VolumeMount.mountPath`` and ``.name``, ``ConfigMapKeySelector.key``,
``SecretKeySelector.key``, ``Memoize.maxAge``, ``Gauge.realtime``, ``EnvVar.name``, ``MetricLabel.value``, ``HTTP.url``,
HTTP headers, ``ArtifactPaths.name``, root ``metadata``; the location keys of artifacts (an artifact repository
completes them); everything in a status, which Argo writes itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.validation.versions import ALL, Releases, since, until


@dataclass(frozen=True, slots=True)
class Enum:
    """The values of string fields; ``{{...}}`` is accepted besides them, as in Argo.

    `in_text`: the releases whose reference lists these values in the field's description; checked there. To Go, "" is
    the same as an absent field, so it is one of the values wherever the field may be absent (unless it is a pointer,
    for which "" is a distinct value).
    """

    fields: tuple[str, ...]
    values: tuple[str, ...]
    in_text: Releases | None
    source: str
    releases: Releases = ALL


@dataclass(frozen=True, slots=True)
class Required:
    """Fields without which Argo refuses an object of the type, or can never run it."""

    type: str
    fields: tuple[str, ...]
    releases: Releases = ALL


_TEXT = "the field's description, 0 false rejects on Argo's own manifests"

ENUMS = (
    Enum(
        (
            "Container.imagePullPolicy",
            "UserContainer.imagePullPolicy",
            "ScriptTemplate.imagePullPolicy",
            "ContainerNode.imagePullPolicy",
        ),
        ("", "Always", "IfNotPresent", "Never"),
        ALL,
        _TEXT,
    ),
    Enum(("WorkflowSpec.dnsPolicy",), ("", "ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"), ALL, _TEXT),
    Enum(
        ("PodGC.strategy",),
        ("", "OnPodCompletion", "OnPodSuccess", "OnWorkflowCompletion", "OnWorkflowSuccess"),
        ALL,
        _TEXT,
    ),
    Enum(("VolumeClaimGC.strategy",), ("", "OnWorkflowCompletion", "OnWorkflowSuccess"), ALL, _TEXT),
    Enum(("ResourceTemplate.action",), ("apply", "create", "delete", "get", "patch", "replace"), ALL, _TEXT),
    Enum(("ResourceTemplate.mergeStrategy",), ("", "json", "merge", "strategic"), ALL, _TEXT),
    Enum(
        ("S3Artifact.addressingStyle", "S3ArtifactRepository.addressingStyle"),
        ("", "path", "virtual-hosted"),
        ALL,
        _TEXT,
        since("4.1"),
    ),
    Enum(("ContainerPort.protocol",), ("", "SCTP", "TCP", "UDP"), ALL, _TEXT),
    Enum(("Toleration.effect",), ("", "NoExecute", "NoSchedule", "PreferNoSchedule"), ALL, _TEXT),
    Enum(("Toleration.operator",), ("", "Equal", "Exists"), ALL, _TEXT, until("4.0")),
    Enum(("Toleration.operator",), ("", "Equal", "Exists", "Gt", "Lt"), ALL, _TEXT, since("4.1")),
    Enum(("LabelSelectorRequirement.operator",), ("DoesNotExist", "Exists", "In", "NotIn"), ALL, _TEXT),
    Enum(("NodeSelectorRequirement.operator",), ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"), ALL, _TEXT),
    Enum(("SeccompProfile.type",), ("Localhost", "RuntimeDefault", "Unconfined"), ALL, _TEXT),
    Enum(("AppArmorProfile.type",), ("Localhost", "RuntimeDefault", "Unconfined"), ALL, _TEXT, since("3.6")),
    Enum(("PodSecurityContext.fsGroupChangePolicy",), ("Always", "OnRootMismatch"), ALL, _TEXT),
    Enum(("PodSecurityContext.seLinuxChangePolicy",), ("MountOption", "Recursive"), ALL, _TEXT, since("3.6")),
    Enum(("PodSecurityContext.supplementalGroupsPolicy",), ("Merge", "Strict"), ALL, _TEXT, since("3.6")),
    Enum(
        ("PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy",),
        ("AlwaysAllow", "IfHealthyBudget"),
        ALL,
        _TEXT,
        since("3.6"),
    ),
    Enum(("ContainerResizePolicy.resourceName",), ("cpu", "memory"), ALL, _TEXT, since("3.6")),
    Enum(
        ("PodCertificateProjection.keyType",),
        ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"),
        ALL,
        _TEXT,
        since("4.1"),
    ),
    # The list is in the text of 3.5 only; Kubernetes' values have not changed since.
    Enum(("Container.terminationMessagePolicy",), ("", "FallbackToLogsOnError", "File"), ALL, _TEXT),
    Enum(("HTTPGetAction.scheme",), ("", "HTTP", "HTTPS"), until("3.5"), _TEXT),
    # The text never lists these.
    Enum(("CronWorkflowSpec.concurrencyPolicy",), ("", "Allow", "Forbid", "Replace"), None, "CRD 4.0 and 4.1"),
    Enum(
        ("RetryStrategy.retryPolicy",),
        ("", "Always", "OnError", "OnFailure", "OnTransientError"),
        None,
        "CRD; argo lint",
    ),
    Enum(("Gauge.operation",), ("", "Add", "Set", "Sub"), None, "CRD 4.0 and 4.1"),
    Enum(
        ("ArtifactGC.strategy", "WorkflowLevelArtifactGC.strategy"),
        ("", "Never", "OnWorkflowCompletion", "OnWorkflowDeletion"),
        None,
        "CRD",
    ),
)

# Argo's JSON Schema, without what the module docstring names; 0 false rejects on Argo's own manifests.
REQUIRED = (
    Required("Artifact", ("name",)),
    Required("Cache", ("configMap",)),
    Required("ClusterWorkflowTemplate", ("spec",)),
    Required("ContainerNode", ("name",)),
    Required("ContainerSetRetryStrategy", ("retries",)),
    Required("ContainerSetTemplate", ("containers",)),
    Required("Counter", ("value",)),
    Required("CronWorkflow", ("spec",)),
    Required("CronWorkflowSpec", ("schedule", "workflowSpec"), until("3.5")),
    # `schedule` or `schedules`: either may be given, so neither can be required.
    Required("CronWorkflowSpec", ("workflowSpec",), Releases("3.6", "3.7")),
    Required("CronWorkflowSpec", ("schedules", "workflowSpec"), since("4.0")),
    Required("DAGTask", ("name",)),
    Required("DAGTemplate", ("tasks",)),
    Required("Data", ("source", "transformation")),
    Required("Event", ("selector",)),
    Required("ExecutorPlugin", ("metadata", "spec"), since("4.1")),
    Required("ExecutorPluginSidecar", ("container",), since("4.1")),
    Required("ExecutorPluginSpec", ("sidecar",), since("4.1")),
    Required("Gauge", ("value",)),
    Required("GitArtifact", ("repo",)),
    Required("Header", ("name", "value")),
    Required("Histogram", ("buckets", "value")),
    Required("LabelValueFrom", ("expression",)),
    Required("ManifestFrom", ("artifact",)),
    Required("Memoize", ("cache", "key")),
    Required("MetricLabel", ("key",)),
    Required("Metrics", ("prometheus",)),
    Required("OAuth2EndpointParam", ("key",)),
    Required("Parameter", ("name",)),
    Required("Prometheus", ("help", "name")),
    Required("ResourceTemplate", ("action",)),
    Required("StopStrategy", ("expression",), since("3.6")),
    Required("Submit", ("workflowTemplateRef",)),
    Required("SyncDatabaseRef", ("key",), since("3.7")),
    Required("TransformationStep", ("expression",)),
    Required("UserContainer", ("name",)),
    Required("Workflow", ("spec",)),
    Required("WorkflowEventBinding", ("spec",)),
    Required("WorkflowEventBindingSpec", ("event",)),
    Required("WorkflowTemplate", ("spec",)),
    # From Kubernetes: the API server refuses a pod without them when the step starts.
    Required("AWSElasticBlockStoreVolumeSource", ("volumeID",)),
    Required("AppArmorProfile", ("type",), since("3.6")),
    Required("AzureDiskVolumeSource", ("diskName", "diskURI")),
    Required("AzureFileVolumeSource", ("secretName", "shareName")),
    Required("CSIVolumeSource", ("driver",)),
    Required("CephFSVolumeSource", ("monitors",)),
    Required("CinderVolumeSource", ("volumeID",)),
    Required("ClusterTrustBundleProjection", ("path",), since("3.6")),
    Required("ContainerPort", ("containerPort",)),
    Required("ContainerResizePolicy", ("resourceName", "restartPolicy"), since("3.6")),
    Required("ContainerRestartRule", ("action",), since("4.1")),
    Required("ContainerRestartRuleOnExitCodes", ("operator",), since("4.1")),
    Required("DownwardAPIVolumeFile", ("path",)),
    Required("FileKeySelector", ("key", "path", "volumeName"), since("4.1")),
    Required("FlexVolumeSource", ("driver",)),
    Required("GCEPersistentDiskVolumeSource", ("pdName",)),
    Required("GRPCAction", ("port",)),
    Required("GitRepoVolumeSource", ("repository",)),
    Required("GlusterfsVolumeSource", ("endpoints", "path")),
    Required("HTTPGetAction", ("port",)),
    Required("HostAlias", ("ip",), since("3.6")),
    Required("HostPathVolumeSource", ("path",)),
    Required("ISCSIVolumeSource", ("iqn", "lun", "targetPortal")),
    Required("KeyToPath", ("key", "path")),
    Required("LabelSelectorRequirement", ("key", "operator")),
    Required("NFSVolumeSource", ("path", "server")),
    Required("NodeSelector", ("nodeSelectorTerms",)),
    Required("NodeSelectorRequirement", ("key", "operator")),
    Required("ObjectFieldSelector", ("fieldPath",)),
    Required("OwnerReference", ("apiVersion", "kind", "name", "uid")),
    Required("PersistentVolumeClaimTemplate", ("spec",)),
    Required("PersistentVolumeClaimVolumeSource", ("claimName",)),
    Required("PhotonPersistentDiskVolumeSource", ("pdID",)),
    Required("PodAffinityTerm", ("topologyKey",)),
    Required("PodCertificateProjection", ("keyType", "signerName"), since("4.1")),
    Required("PodResourceClaim", ("name",), since("4.1")),
    Required("PortworxVolumeSource", ("volumeID",)),
    Required("PreferredSchedulingTerm", ("preference", "weight")),
    Required("QuobyteVolumeSource", ("registry", "volume")),
    Required("RBDVolumeSource", ("image", "monitors")),
    Required("ResourceClaim", ("name",), since("3.6")),
    Required("ResourceFieldSelector", ("resource",)),
    Required("ScaleIOVolumeSource", ("gateway", "secretRef", "system")),
    Required("SeccompProfile", ("type",)),
    Required("ServiceAccountTokenProjection", ("path",)),
    Required("SleepAction", ("seconds",), since("3.6")),
    Required("Sysctl", ("name", "value")),
    Required("TCPSocketAction", ("port",)),
    Required("TypedLocalObjectReference", ("kind", "name")),
    Required("TypedObjectReference", ("kind", "name"), since("3.6")),
    Required("Volume", ("name",)),
    Required("VolumeDevice", ("devicePath", "name")),
    Required("VsphereVirtualDiskVolumeSource", ("volumePath",)),
    Required("WeightedPodAffinityTerm", ("podAffinityTerm", "weight")),
)
