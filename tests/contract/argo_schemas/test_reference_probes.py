"""Each place where Argo's field reference is wrong or silent, probed in every release.

The verdicts are those of Argo's own strict decoder (`argo lint --offline`) of the same release.
"""

from copy import deepcopy

import pytest

from bridge.validation.library import SchemaLibrary
from bridge.validation.versions import Releases, since, until

LIBRARY = SchemaLibrary()
ALL = LIBRARY.versions


def wf(**spec):
    """A valid workflow with more in its spec."""
    template = {"name": "main", "container": {"image": "x"}}
    return {"metadata": {"generateName": "a-"}, "spec": {"entrypoint": "main", "templates": [template], **spec}}


def tmpl(**more):
    """A workflow whose template has more."""
    manifest = wf()
    manifest["spec"]["templates"][0].update(more)
    return manifest


def ctr(**more):
    """A workflow whose container has more."""
    return tmpl(container={"image": "x", **more})


def typed(**template):
    """A workflow with one template of another type."""
    manifest = wf()
    manifest["spec"]["templates"] = [{"name": "main", **template}]
    return manifest


def step(**more):
    """A workflow whose second template calls the first from a step."""
    manifest = wf()
    call = {"name": "a", "template": "main", **more}
    manifest["spec"]["templates"].append({"name": "s", "steps": [[call]]})
    return manifest


def param(**more):
    """A workflow with one parameter."""
    return wf(arguments={"parameters": [{"name": "p", **more}]})


def cron(**more):
    """The spec of a CronWorkflow."""
    return {"spec": {"workflowSpec": wf()["spec"], **more}}


def input_artifact(**more):
    """A workflow with one input artifact."""
    return tmpl(inputs={"artifacts": [{"name": "a", "path": "/a", **more}]})


def binding(**submit):
    """A WorkflowEventBinding."""
    return {"spec": {"event": {"selector": "true"}, "submit": {"workflowTemplateRef": {"name": "t"}, **submit}}}


PVC = {"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": "1Gi"}, "limits": {"storage": 1}}}}
HISTOGRAM = {"name": "n", "help": "h", "histogram": {"value": "1", "buckets": [1, 2.5]}}
RETRY = {"limit": "10", "backoff": {"factor": 2, "duration": "1m"}, "affinity": {"nodeAntiAffinity": {}}}

ACCEPTED = [
    # R1: types without a table
    ("IntOrString as a number", tmpl(retryStrategy={"limit": 3})),
    ("IntOrString as text", tmpl(retryStrategy=RETRY)),
    ("IntOrString in a sequence", step(withSequence={"start": 1, "end": "{{x}}"})),
    ("IntOrString as a deadline", tmpl(activeDeadlineSeconds="{{inputs.parameters.t}}")),
    ("IntOrString as a port", ctr(livenessProbe={"tcpSocket": {"port": "web"}})),
    ("Quantity as a number", ctr(resources={"limits": {"cpu": 1}, "requests": {"cpu": 0.5, "memory": "64Mi"}})),
    ("Quantity with an exponent", ctr(resources={"limits": {"cpu": "1e3", "memory": "+.5E"}})),
    ("Quantity as a size limit", wf(volumes=[{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}])),
    ("Time", {**wf(), "metadata": {"name": "a", "creationTimestamp": "2026-01-31T12:00:00Z"}}),
    ("Time as null", {**wf(), "metadata": {"name": "a", "creationTimestamp": None}}),
    ("Amount", tmpl(metrics={"prometheus": [HISTOGRAM]})),
    ("Item of any kind", step(withItems=["a", 1, 1.5, True, None, [1, [2]], {"a": {"b": []}}])),
    ("Plugin", typed(plugin={"any": {"thing": [1]}})),
    ("FieldsV1", {**wf(), "metadata": {"name": "a", "managedFields": [{"fieldsV1": {"f:spec": {".": {}}}}]}}),
    ("empty types", input_artifact(archive={"none": {}})),
    ("empty types 2", input_artifact(archive={"zip": {}})),
    ("supplied", tmpl(inputs={"parameters": [{"name": "a", "valueFrom": {"supplied": {}}}]})),
    # R2: maps that read like links
    ("hooks of a workflow", wf(hooks={"exit": {"template": "main"}, "any": {"template": "main", "expression": "x"}})),
    ("hooks of a step", step(hooks={"exit": {"template": "main"}})),
    ("labelsFrom", wf(workflowMetadata={"labelsFrom": {"a": {"expression": "x"}}})),
    ("resources of a claim", wf(volumeClaimTemplates=[PVC])),
    ("status of a workflow", {**wf(), "status": {"nodes": {"a": {"id": "a", "name": "a", "type": "Pod"}}}}),
    # R3: Map<K,V> holds values of type K
    (
        "maps of the status",
        {**wf(), "status": {"resourcesDuration": {"cpu": 3}, "taskResultsCompletionStatus": {"a": True}}},
    ),
    # R4: AnyString
    ("a number as a value", param(value=0, default=1.5, description=3, enum=[0, 1.5, True, "x"])),
    ("a boolean as a value", param(value=True)),
    ("a number as valueFrom.default", param(valueFrom={"path": "/x", "default": 3})),
    # R6: null is unset
    (
        "null everywhere",
        {"metadata": None, "spec": {**wf()["spec"], "arguments": {"parameters": None}, "volumes": None}},
    ),
    ("null metadata of a template", tmpl(metadata=None)),
    ("null labels", {**wf(), "metadata": {"name": "a", "labels": None}}),
    ("null scalars", tmpl(daemon=None, parallelism=None, serviceAccountName=None)),
    ("null in lists and maps", {**ctr(args=[None]), "metadata": {"name": "a", "labels": {"a": None}}}),
    # R7
    ("bytes in base64", typed(http={"url": "http://x", "bodyFrom": {"bytes": "aGVsbG8="}})),
    ("an inline template in a task", typed(dag={"tasks": [{"name": "a", "inline": {"container": {"image": "x"}}}]})),
    # HTTPHeader: Argo's has valueFrom
    (
        "a header from a secret",
        typed(http={"url": "http://x", "headers": [{"name": "a", "valueFrom": {"secretKeyRef": {}}}]}),
    ),
    ("a header of a probe", ctr(livenessProbe={"httpGet": {"port": 80, "httpHeaders": [{"name": "a", "value": "b"}]}})),
    # section 4: never required
    ("a container without an image", tmpl(container={"args": ["x"]})),
    ("a script without image and source", typed(script={"command": ["sh"]})),
    ("a mount without a path", ctr(volumeMounts=[{}])),
    ("azure by key", input_artifact(azure={"blob": "b"})),
    ("an artifact location without its key", input_artifact(gcs={}, oss={}, hdfs={}, artifactory={}, http={})),
    ("artifact paths without a name", typed(data={"source": {"artifactPaths": {}}, "transformation": []})),
    ("a cache without a key", tmpl(memoize={"key": "k", "cache": {"configMap": {"name": "c"}}})),
    ("memoize without maxAge", tmpl(memoize={"key": "k", "cache": {"configMap": {}}})),
    ("a gauge without realtime", tmpl(metrics={"prometheus": [{"name": "n", "help": "h", "gauge": {"value": "1"}}]})),
    ("no metadata", {"spec": wf()["spec"]}),
    ("an unnamed variable", ctr(env=[{"value": "x"}])),
    ("a secret without a key", ctr(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}])),
    ("a status in progress", {**wf(), "status": {"nodes": {"a": {}}}}),
    # section 5: enums let {{...}} through
    ("an enum as an expression", ctr(imagePullPolicy="{{inputs.parameters.p}}")),
    ("an action as an expression", typed(resource={"action": "{{inputs.parameters.a}}"})),
    ("an unset strategy", wf(podGC={"strategy": ""}, artifactGC={"strategy": ""})),
    ("an unset policy", ctr(imagePullPolicy="", terminationMessagePolicy="")),
    ("an unset retry policy", tmpl(retryStrategy={"retryPolicy": ""})),
]

REFUSED = [
    ("IntOrString as a fraction", tmpl(retryStrategy={"limit": 1.5}), "/spec/templates/0/retryStrategy/limit"),
    ("IntOrString as a boolean", tmpl(retryStrategy={"limit": True}), "/spec/templates/0/retryStrategy/limit"),
    (
        "Quantity as an expression",
        ctr(resources={"limits": {"cpu": "{{x}}"}}),
        "/spec/templates/0/container/resources/limits/cpu",
    ),
    (
        "a bad quantity",
        ctr(resources={"limits": {"cpu": "1 core"}}),
        "/spec/templates/0/container/resources/limits/cpu",
    ),
    ("a bad time", {**wf(), "metadata": {"creationTimestamp": "yesterday"}}, "/metadata/creationTimestamp"),
    ("no plugin", typed(plugin={}), "/spec/templates/0/plugin"),
    ("two plugins", typed(plugin={"a": {}, "b": {}}), "/spec/templates/0/plugin"),
    (
        "a field in an empty type",
        input_artifact(archive={"none": {"a": 1}}),
        "/spec/templates/0/inputs/artifacts/0/archive/none/a",
    ),
    ("a number as a variable", ctr(env=[{"name": "A", "value": 1}]), "/spec/templates/0/container/env/0/value"),
    ("a number as an argument", ctr(args=[1]), "/spec/templates/0/container/args/0"),
    ("a number as a label", {**wf(), "metadata": {"labels": {"a": 1}}}, "/metadata/labels/a"),
    ("a boolean as an annotation", {**wf(), "metadata": {"annotations": {"a": True}}}, "/metadata/annotations/a"),
    ("a number as a duration", typed(suspend={"duration": 20}), "/spec/templates/0/suspend/duration"),
    ("text as an integer", wf(parallelism="10"), "/spec/parallelism"),
    ("text as a boolean", wf(hostNetwork="true"), "/spec/hostNetwork"),
    ("text as a deadline of a workflow", wf(activeDeadlineSeconds="10"), "/spec/activeDeadlineSeconds"),
    ("text as a port", ctr(ports=[{"containerPort": "80"}]), "/spec/templates/0/container/ports/0/containerPort"),
    ("an overflow", ctr(ports=[{"containerPort": 2**31}]), "/spec/templates/0/container/ports/0/containerPort"),
    ("an overflow of int64", wf(parallelism=2**63), "/spec/parallelism"),
    ("bad base64", typed(http={"url": "x", "bodyFrom": {"bytes": "a b"}}), "/spec/templates/0/http/bodyFrom/bytes"),
    ("a flat list of steps", typed(steps=[{"name": "a"}]), "/spec/templates/0/steps/0"),
    ("hooks of a template", tmpl(hooks={"exit": {"template": "main"}}), "/spec/templates/0/hooks"),
    ("a list as a value", param(value=[]), "/spec/arguments/parameters/0/value"),
    ("a map as a value", param(value={}), "/spec/arguments/parameters/0/value"),
    ("an unknown field below a step", step(arguments={"foo": 1}), "/spec/templates/1/steps/0/0/arguments/foo"),
    ("another apiVersion", {**wf(), "apiVersion": "argoproj.io/v1"}, "/apiVersion"),
    (
        "valueFrom in a header of a probe",
        ctr(livenessProbe={"httpGet": {"port": 1, "httpHeaders": [{"name": "a", "valueFrom": {}}]}}),
        "/spec/templates/0/container/livenessProbe/httpGet/httpHeaders/0/valueFrom",
    ),
    ("an unnamed artifact", tmpl(inputs={"artifacts": [{"path": "/a"}]}), "/spec/templates/0/inputs/artifacts/0"),
    ("an unnamed parameter", wf(arguments={"parameters": [{"value": "x"}]}), "/spec/arguments/parameters/0"),
    ("a dag without tasks", typed(dag={}), "/spec/templates/0/dag"),
    ("a resource without an action", typed(resource={}), "/spec/templates/0/resource"),
    ("git without a repository", input_artifact(git={}), "/spec/templates/0/inputs/artifacts/0/git"),
    ("a metric without help", tmpl(metrics={"prometheus": [{"name": "n"}]}), "/spec/templates/0/metrics/prometheus/0"),
    ("a bad strategy", wf(podGC={"strategy": "Never"}), "/spec/podGC/strategy"),
    (
        "a bad retry policy",
        tmpl(retryStrategy={"retryPolicy": "Sometimes"}),
        "/spec/templates/0/retryStrategy/retryPolicy",
    ),
    ("a bad action", typed(resource={"action": "make"}), "/spec/templates/0/resource/action"),
    ("a bad pull policy", ctr(imagePullPolicy="Bogus"), "/spec/templates/0/container/imagePullPolicy"),
]


def found(manifest, version, kind="Workflow"):
    """The pointers of all findings, and of whether the input stayed as it was."""
    before = deepcopy(manifest)
    pointers = [one.pointer for one in LIBRARY.validator(version).problems(manifest, kind)]
    assert manifest == before
    return pointers


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("manifest", [one for _, one in ACCEPTED], ids=[name for name, _ in ACCEPTED])
def test_what_argo_takes_is_taken_in_every_release(manifest, version):
    """Where the reference would refuse it, a correction takes it."""
    assert found(manifest, version) == []


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize(("manifest", "pointer"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_what_argo_refuses_or_drops_is_refused_in_every_release(manifest, pointer, version):
    """At its exact place, and for that alone."""
    assert found(manifest, version) == [pointer]


BY_RELEASE = [
    # R5: kinds
    ("ClusterWorkflowTemplate", {"metadata": {"name": "a"}, "spec": wf()["spec"]}, Releases(), []),
    ("WorkflowEventBinding", binding(arguments={"parameters": []}, metadata={"name": "x"}), Releases(), []),
    ("WorkflowEventBinding", binding(argument={}), Releases(), ["/spec/submit/argument"]),
    ("WorkflowEventBinding", {"spec": {"event": {}}}, Releases(), ["/spec/event"]),
    # section 8: what came and went
    ("CronWorkflow", cron(schedule="* * * * *"), until("3.7"), []),
    ("CronWorkflow", cron(schedule="* * * * *"), since("4.0"), ["/spec/schedule"]),
    ("CronWorkflow", cron(schedules=["* * * * *"]), since("3.6"), []),
    ("CronWorkflow", cron(schedules=["* * * * *"]), until("3.5"), ["/spec/schedules"]),
    ("CronWorkflow", cron(), until("3.5"), ["/spec"]),
    ("CronWorkflow", cron(), Releases("3.6", "3.7"), []),
    ("CronWorkflow", cron(), since("4.0"), ["/spec"]),
    ("Workflow", wf(synchronization={"mutex": {"name": "m"}}), until("3.7"), []),
    ("Workflow", wf(synchronization={"mutex": {"name": "m"}}), since("4.0"), ["/spec/synchronization/mutex"]),
    ("Workflow", wf(synchronization={"semaphore": {"name": "m"}}), since("4.0"), ["/spec/synchronization/semaphore"]),
    ("Workflow", wf(podPriority=1), until("3.6"), []),
    ("Workflow", wf(podPriority=1), since("3.7"), ["/spec/podPriority"]),
    ("Workflow", tmpl(annotations={"a": "b"}), until("3.6"), ["/spec/templates/0/annotations"]),
    ("Workflow", tmpl(annotations={"a": "b"}), since("3.7"), []),
    (
        "Workflow",
        tmpl(memoize={"key": "k", "cache": {"configMap": {"name": "c", "key": "k"}}}),
        since("4.0"),
        ["/spec/templates/0/memoize/cache/configMap/key"],
    ),
    ("Workflow", wf(tolerations=[{"operator": "Gt"}]), until("4.0"), ["/spec/tolerations/0/operator"]),
    ("Workflow", wf(tolerations=[{"operator": "Gt"}]), since("4.1"), []),
    ("Workflow", input_artifact(s3={"addressingStyle": "path"}), since("4.1"), []),
    ("Workflow", input_artifact(s3={"addressingStyle": ""}), since("4.1"), []),
    (
        "Workflow",
        input_artifact(s3={"addressingStyle": "virtual"}),
        since("4.1"),
        ["/spec/templates/0/inputs/artifacts/0/s3/addressingStyle"],
    ),
    ("Workflow", tmpl(pendingTimeout="1m"), until("4.0"), ["/spec/templates/0/pendingTimeout"]),
    ("Workflow", {**wf(), "metadata": {"clusterName": "x"}}, until("3.5"), []),
    ("Workflow", {**wf(), "metadata": {"clusterName": "x"}}, since("3.6"), ["/metadata/clusterName"]),
]
CASES = [(kind, data, version, want) for kind, data, span, want in BY_RELEASE for version in ALL if span.cover(version)]


@pytest.mark.parametrize(("kind", "manifest", "version", "expected"), CASES, ids=[f"{n}" for n in range(len(CASES))])
def test_what_differs_between_releases_differs_here(kind, manifest, version, expected):
    """The schemas really tell releases apart."""
    assert found(manifest, version, kind) == expected


RELATED = ["InfoResponse", "Column", "Link"]


@pytest.mark.parametrize("version", ALL)
def test_answers_of_the_servers_api_are_no_types_of_manifests(version):
    """No kind reaches them."""
    assert not set(RELATED) & set(LIBRARY.schema(version)["$defs"])
