"""Argo's own example manifests of 4.1: read where they are, never copied (they and their prose are not ours)."""

import pytest

from bridge.configfile.kubernetes_yaml import read_manifests
from bridge.configfile.nodes import plain
from bridge.configfile.problems import Problems
from bridge.validation.library import SchemaLibrary
from bridge.validation.references import GivenTemplates
from bridge.validation.validator import KINDS

LIBRARY = SchemaLibrary()

# Not Argo's kinds.
OTHER_KINDS = {"testvolume.yaml": "PersistentVolumeClaim"}

# Invalid as they stand: file -> (code, pointer or position) and why.
INVALID = {
    # The key `annotations` stands twice in `metadata`; Argo's strict reader refuses it as well.
    "k8s-patch-json-workflow.yaml": "k8s-patch-json-workflow.yaml:13:3: duplicate-key",
    # A label value that ends in "-" (generateName was put below labels); Kubernetes refuses to create it.
    "fun-with-gifs.yaml": "bad-label /metadata/labels/generateName",
}

# The fields of 4.1's examples that an older release lacks, by the release that brought them.
NEEDS_4_1 = {
    "pod-resources.yaml": {"podResources"},
    "resource-claims.yaml": {"resourceClaims"},
    "resource-claims-template-override.yaml": {"resourceClaims"},
}
NEEDS_4_0 = NEEDS_4_1 | {"artifact-passing-explicit-plugin.yaml": {"plugin"}}
NEEDS_3_7 = NEEDS_4_0 | {
    "synchronization-db-tmpl-level.yaml": {"database"},
    "synchronization-db-wf-level.yaml": {"database"},
}
NEEDS_3_6 = {
    **NEEDS_4_0,
    "resource-claims.yaml": {"resourceClaims", "claims"},
    "resource-claims-template-override.yaml": {"resourceClaims", "claims"},
    "synchronization-db-tmpl-level.yaml": {"semaphores"},
    "synchronization-db-wf-level.yaml": {"semaphores"},
    "synchronization-wf-level.yaml": {"semaphores"},
    "cron-when.yaml": {"schedules", "when"},
    "cron-workflow-multiple-schedules.yaml": {"schedules"},
    "cron-workflow.yaml": {"schedules"},
    "dag-inline-cronworkflow.yaml": {"schedules"},
    "dag-daemon-retry-strategy.yaml": {"mutexes"},
}
LACKING = {"4.1.2": {}, "4.0.10": NEEDS_4_1, "3.7.18": NEEDS_4_0, "3.6.19": NEEDS_3_7, "3.5.15": NEEDS_3_6}


def read_all(folder):
    """(file, kind, manifest) of every document, and the readers' problems by file."""
    manifests, problems = [], Problems()
    for path in sorted(folder.glob("*.yaml")):
        for tree in read_manifests(path.read_bytes(), path.name, problems):
            data = plain(tree)
            manifests.append((path.name, data["kind"], data))
    return manifests, problems


@pytest.mark.parametrize("version", LACKING)
def test_the_examples_pass_but_for_those_that_name_a_field_the_release_lacks(version, examples_folder):
    """Nothing that Argo takes is refused, and what a release would drop silently is named."""
    manifests, problems = read_all(examples_folder)
    assert len(manifests) > 100
    given = GivenTemplates([(kind, data) for _, kind, data in manifests])
    validator, refused = LIBRARY.validator(version), {}
    for name, kind, data in manifests:
        if kind not in KINDS:
            assert OTHER_KINDS[name] == kind
            continue
        found = [*validator.problems(data, kind), *given.check(data, kind)]
        if name in INVALID:
            assert [f"{one.code} {one.pointer}" for one in found] in ([], [INVALID[name]])
            found = []
        if found:
            assert {one.code for one in found} == {"unknown-field"}, [one.text for one in found]
            refused.setdefault(name, set()).update(str(one.path[-1]) for one in found)
    assert refused == LACKING[version]
    assert [one.render().partition(": the key")[0] for one in problems.in_order()] == [
        INVALID["k8s-patch-json-workflow.yaml"]
    ]


def test_a_field_that_a_release_lacks_is_told_with_the_releases_that_have_it(examples_folder):
    """The hint that an operator of an older cluster needs, for each example that has such a field."""
    told = set()
    for name, kind, data in read_all(examples_folder)[0]:
        if name in NEEDS_3_6:
            for one in LIBRARY.validator("3.5.15").problems(data, kind):
                assert one.releases, one.text
                assert "4.1" in one.releases
                told.add(name)
    assert told == NEEDS_3_6.keys()
