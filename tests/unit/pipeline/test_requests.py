"""Every bad request gets its exact sentence; every good one is complete when it is stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pipeline_fakes import TOPICS, IngestBench, request, sensor

from bridge.core.errors import PermanentError
from bridge.pipeline.cluster import ClusterSchema
from bridge.validation.library import SchemaLibrary

RUN = {"template": "boil"}
LIBRARY = SchemaLibrary()
MANIFEST = {
    "metadata": {"name": "example-workflow", "namespace": "factory", "labels": {"team": "a"}},
    "spec": {
        "entrypoint": "main",
        "templates": [{"name": "main", "container": {"image": "example/image", "command": ["echo"]}}],
    },
}


@pytest.fixture
def bench(tmp_path: Path) -> IngestBench:
    """A bench that checks by the newest known schema."""
    bench = IngestBench(tmp_path)
    bench.check = ClusterSchema(LIBRARY, LIBRARY.newest, None).check
    return bench


def error_of(bench: IngestBench, message: object) -> tuple[str, dict[str, object]]:
    """Reason and reply of a request that is refused; it leaves exactly one dead letter, reply and notice."""
    assert [delivery.acks for delivery in bench.receive(message)] == [1]
    (letter,) = bench.spool.real.dead_letters()
    (reply,) = bench.replies()
    notices = [json.loads(one.payload) for one in bench.sent() if one.topic == "argo/workflows/dead-letter"]
    assert [notice["reason"] for notice in notices] == [letter.letter.reason]
    assert notices[0]["message"] == letter.letter.message == reply["error"]
    assert bench.waiting() == []
    assert "workflowId" not in reply
    return letter.letter.reason, reply


INVALID = f"Invalid workflow definition for Argo {LIBRARY.newest}: "


@pytest.mark.parametrize(
    ("message", "reason", "text"),
    [
        (request(b"{"), "invalid-json", "the payload is not JSON: Expecting property name enclosed in double quotes"),
        (request(b"\xff\xfe"), "invalid-json", "the payload is not UTF-8: byte 0"),
        (request(b'{"a":1,"a":2}'), "duplicate-key", 'the payload has the key "a" twice in one object'),
        (request(b"[" * 200 + b"]" * 200), "too-deep", "the payload is nested more than 100 levels deep"),
        (request([]), "invalid-request", "a request must be a JSON object, found an array"),
        (request({}), "invalid-request", "a trigger message must have either workflow or submit, found neither"),
        (
            request({"workflw": MANIFEST}),
            "unknown-key",
            'unknown key "workflw" in the trigger message; did you mean "workflow"?',
        ),
        (request({"submit": RUN, "namespace": "kube-system"}), "forbidden-namespace", "not allowed here"),
        (
            request({"submit": RUN, "namespace": "lab"}, topic="argo/workflows/trigger/factory"),
            "namespace-mismatch",
            'the topic says namespace "factory", the body "lab"',
        ),
        (request({"submit": RUN}, topic="argo/workflows/trigger/"), "forbidden-namespace", 'namespace "" is not'),
        (request(topic="argo/workflows/stop"), "invalid-request", "the stop request has no workflowId"),
        (request(topic="argo/workflows/suspend"), "forbidden-operation", "suspend is not allowed on this bridge"),
        (request({"submit": RUN, "requestId": "x" * 2000}), "invalid-request", "requestId is longer than 1024 bytes"),
        (
            sensor(b"x" * 300_000, topic="argo/workflows/trigger"),
            "payload-too-large",
            "the payload has 300000 bytes, the maximum is 262144 (interface.max-payload)",
        ),
        (request({"workflow": MANIFEST | {"status": {}}}), "invalid-workflow", "Invalid workflow definition: /status:"),
        (request({"workflow": {"metadata": {}}}), "invalid-workflow", "Invalid workflow definition: /spec:"),
        (
            request({"workflow": {"spec": MANIFEST["spec"] | {"entrypont": "x"}}}),
            "invalid-workflow",
            INVALID + 'unknown field "entrypont"',
        ),
        (request({"workflow": MANIFEST | {"metadata": {"name": "Not Good"}}}), "invalid-workflow", INVALID),
        (request({"submit": {"template": "a\nb"}}), "bad-name", 'template: "a\\nb" is not a Kubernetes name'),
        (request({"submit": {"clusterTemplate": "../x"}}), "bad-name", 'template: "../x" is not a Kubernetes name'),
        (request({"submit": RUN | {"name": "n" * 64}}), "invalid-workflow", "has 64 characters, 63 is the limit"),
        (request({"submit": RUN | {"labels": {"a b": "c"}}}), "invalid-workflow", INVALID),
        (
            request({"submit": RUN | {"annotations": {"argo-bridge/event": "x"}}}),
            "invalid-workflow",
            "keys argo-bridge/* belong to the bridge",
        ),
        (
            request({"submit": RUN | {"parameters": {"p": "{{workflow.name}}"}}}),
            "template-braces",
            "Invalid workflow definition: submit.parameters.p contains {{, which Argo would expand",
        ),
        (
            request(
                {
                    "workflow": {
                        "spec": MANIFEST["spec"] | {"arguments": {"parameters": [{"name": "n", "value": 2**70}]}}
                    }
                }
            ),
            "invalid-workflow",
            "more than 64 bits",
        ),
    ],
)
def test_bad_input_has_its_sentence(bench: IngestBench, message: object, reason: str, text: str) -> None:
    """The reply, the dead letter and the notice all say the same, and what to change."""
    found, reply = error_of(bench, message)
    assert found == reason
    assert text in str(reply["error"])


def test_each_finding_is_a_detail(bench: IngestBench) -> None:
    """A sender sees every mistake of a manifest at once, each with its pointer."""
    spec = MANIFEST["spec"] | {"entrypont": "x", "parallelism": "five"}
    _, reply = error_of(bench, request({"workflow": {"spec": spec}, "requestId": "r"}))
    assert {"/spec/entrypont", "/spec/parallelism"} <= {detail["pointer"] for detail in reply["details"]}
    assert reply["requestId"] == "r"


def test_a_refused_operation_is_answered_on_its_own_topic(bench: IngestBench) -> None:
    """Each operation has a response topic of its own, and the request's id comes back."""
    _, reply = error_of(bench, request({"requestId": 3}, topic="argo/workflows/stop/factory"))
    assert reply["requestId"] == 3
    assert "argo/workflows/response/stop" in {message.topic for message in bench.sent()}


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"response_topic": "elsewhere"}, "interface.response-topics"),
        ({"reply_queue": "elsewhere"}, "interface.reply-queues"),
    ],
)
def test_a_reply_that_may_not_go_where_it_should_goes_to_the_response_topic(
    bench: IngestBench, given: dict[str, str], key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With its Correlation Data and a user property that says why; counted, and logged once with the key to set."""
    properties = given | {"correlation_data": b"c"}
    bench.receive(request({}, properties=properties), request(properties=properties))
    (reply,) = [one for one in bench.sent() if one.topic != TOPICS.dead_letter]
    assert (reply.topic, reply.queue, reply.correlation_data) == ("argo/workflows/response/trigger", "", b"c")
    assert dict(reply.user)["reply-address-refused"] == f"it is not one of {key}"
    (row,) = bench.waiting()
    (address,) = row.replies
    assert (address.topic, address.queue, address.refused) == (reply.topic, "", f"it is not one of {key}")
    assert bench.count("replies_unsendable_total", cause="reply-address") == 2
    (line,) = [record.getMessage() for record in caplog.records if key in record.getMessage()]
    assert "elsewhere" in line


def test_the_seeds_example_is_stored_as_it_stands(bench: IngestBench) -> None:
    """The given name is kept, the manifest loses only what the bridge writes itself."""
    bench.receive(request({"namespace": "lab", "workflow": MANIFEST | {"metadata": {"name": "example-workflow"}}}))
    (row,) = bench.waiting()
    order = row.event.order
    assert (order.namespace, order.name, row.event.lane) == ("lab", "example-workflow", "trigger:lab")
    assert json.loads(order.manifest) == {"metadata": {}, "spec": MANIFEST["spec"]}
    assert row.replies[0].topic == "argo/workflows/response/trigger"


@pytest.mark.parametrize(
    ("body", "base"),
    [
        ({"submit": RUN}, "boil"),
        ({"submit": RUN | {"generateName": "Heat.Up-"}}, "heat-up"),
        ({"workflow": {"spec": {"workflowTemplateRef": {"name": "from-ref"}}}}, "from-ref"),
        ({"workflow": {"spec": MANIFEST["spec"]}}, "workflow"),
        ({"workflow": {"metadata": {"generateName": "gen-"}, "spec": MANIFEST["spec"]}}, "gen"),
    ],
)
def test_a_name_is_fixed_when_the_row_is_written(bench: IngestBench, body: object, base: str) -> None:
    """BASE-HASH: an RFC 1123 label of at most 63 characters, base from generateName, template or the rest."""
    bench.receive(request(body))
    (row,) = bench.waiting()
    name, _, digest = row.event.order.name.rpartition("-")
    assert (name, len(digest)) == (base, 16)


def test_submit_keeps_parameters_beside_a_shared_manifest(bench: IngestBench) -> None:
    """Two submissions of one template share the manifest, and differ in their parameters."""
    for value in (1, 2):
        bench.receive(request({"submit": RUN | {"parameters": {"p": value}, "labels": {"a": "b"}}}))
    first, second = (row.event.order for row in bench.waiting())
    assert first.manifest == second.manifest
    assert (first.parameters, second.parameters) == ({"p": "1"}, {"p": "2"})


@pytest.mark.parametrize(("expiry_s", "max_age_s"), [(None, 7 * 86400.0), (60.0, 60.0), (0.0, 0.0), (1e9, 7 * 86400.0)])
def test_message_expiry_bounds_a_request(bench: IngestBench, expiry_s: float | None, max_age_s: float) -> None:
    """A request is worthless after its Message Expiry, and after seven days in any case."""
    bench.receive(request(properties={"message_expiry_s": expiry_s}))
    (row,) = bench.waiting()
    assert row.event.max_age_s == max_age_s


def test_correlation_data_and_request_id_are_never_an_identity(bench: IngestBench) -> None:
    """Clients count them from 1: two requests that share both are two events."""
    asked = request({"submit": RUN, "requestId": 1}, properties={"correlation_data": b"1"})
    bench.receive(asked, asked)
    assert len(bench.waiting()) == 2


def test_a_refusal_is_counted_and_its_code_travels_beside_it(bench: IngestBench) -> None:
    """dead_letters by reason, replies by code."""
    error_of(bench, request({"submit": RUN, "namespace": "x"}))
    assert bench.count("dead_letters_total", reason="forbidden-namespace") == 1
    assert bench.count("replies_total", code="403") == 1


def test_the_check_that_fails_is_the_one_the_service_gives(bench: IngestBench) -> None:
    """What the cluster's schema refuses is refused with its own words and details."""

    def check(_workflow: object) -> None:
        raise PermanentError("Invalid workflow definition for Argo 9", code="invalid-workflow", details=({"a": 1},))

    bench.check = check
    _, reply = error_of(bench, request())
    assert reply == {"error": "Invalid workflow definition for Argo 9", "details": [{"a": 1}]}
