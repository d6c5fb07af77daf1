"""`schemas diff`, against what is known to have changed between the releases."""

import pytest
from valid_workflows import LIBRARY

from bridge.validation.differences import differences, notation

# What changed, as written down from Argo's own references (types, fields added, removed, changed).
KNOWN = {
    ("3.5.15", "3.6.19"): [
        "+ CronWorkflowSpec.schedules: list of string",
        "+ CronWorkflowSpec.stopStrategy: StopStrategy",
        "+ Synchronization.mutexes: list of Mutex",
        "+ GitArtifact.insecureSkipTLS: boolean",
        "+ StopStrategy",
        "- ObjectMeta.clusterName: string",
        "- PersistentVolumeClaimStatus.resizeStatus: string",
        "~ PersistentVolumeClaimSpec.dataSourceRef: TypedLocalObjectReference -> TypedObjectReference",
        "~ PersistentVolumeClaimSpec.resources: ResourceRequirements -> VolumeResourceRequirements",
    ],
    ("3.6.19", "3.7.18"): [
        "+ Template.annotations: map of string",
        "+ Backoff.cap: string",
        "+ SemaphoreRef.database: SyncDatabaseRef",
        "- WorkflowSpec.podPriority: integer",
        "- Template.priority: integer",
    ],
    ("3.7.18", "4.0.10"): [
        "+ Artifact.plugin: PluginArtifact",
        "- CronWorkflowSpec.schedule: string",
        "- Synchronization.mutex: Mutex",
        "- Synchronization.semaphore: SemaphoreRef",
        "~ Cache.configMap: ConfigMapKeySelector -> LocalObjectReference",
        "~ CronWorkflowSpec.schedules: now required",
    ],
    ("4.0.10", "4.1.2"): [
        "+ ExecutorPlugin",
        "+ WorkflowSpec.executorPlugins: list of ExecutorPlugin",
        "+ Template.pendingTimeout: string",
        '+ S3Artifact.addressingStyle: "path" | "virtual-hosted"',
        '~ Toleration.operator: "Equal" | "Exists" -> "Equal" | "Exists" | "Gt" | "Lt"',
    ],
}

# Types and fields (of types that both have) that came and went, counted in the references themselves.
COUNTS = {
    ("3.5.15", "3.6.19"): (10, 37, 2),
    ("3.6.19", "3.7.18"): (1, 6, 2),
    ("3.7.18", "4.0.10"): (2, 6, 3),
    ("4.0.10", "4.1.2"): (8, 15, 0),
}


@pytest.mark.parametrize("releases", KNOWN, ids="-".join)
def test_what_changed_between_two_releases_is_listed(releases):
    """Each known change is one line, in the form that people read."""
    lines = [one.render() for one in differences(*map(LIBRARY.schema, releases))]
    assert [line for line in KNOWN[releases] if line not in lines] == []


@pytest.mark.parametrize("releases", COUNTS, ids="-".join)
def test_nothing_else_is_listed(releases):
    """As many types and fields came and went as the references say."""
    found = differences(*map(LIBRARY.schema, releases))
    came = [one.name for one in found if one.mark == "+"]
    gone = [one.name for one in found if one.mark == "-"]
    types = [name for name in came if "." not in name]
    assert (len(types), len(came) - len(types), len(gone)) == COUNTS[releases]


def test_the_way_back_swaps_came_and_went():
    """`diff A B` and `diff B A` tell the same story."""
    there = differences(LIBRARY.schema("3.7.18"), LIBRARY.schema("4.0.10"))
    back = differences(LIBRARY.schema("4.0.10"), LIBRARY.schema("3.7.18"))
    swap = {"+": "-", "-": "+", "~": "~"}
    assert sorted((swap[one.mark], one.name) for one in there) == sorted((one.mark, one.name) for one in back)


def test_a_release_does_not_differ_from_itself():
    """No noise."""
    assert differences(LIBRARY.schema("4.1.2"), LIBRARY.schema("4.1.2")) == []


def test_every_shape_of_field_has_a_name_for_people():
    """Nothing is printed as raw JSON Schema."""
    definitions = LIBRARY.schema("4.1.2")["$defs"]
    shown = {notation(one) for kind in definitions.values() for one in kind.get("properties", {}).values()}
    assert "list of list of WorkflowStep" in shown
    assert not [one for one in shown if "{" in one or not one]
