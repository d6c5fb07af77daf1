"""Bad input: an error where its sender sees it, a dead letter, a figure, a log line, and the bridge goes on."""

from __future__ import annotations

import threading

import orjson
import pytest

from bridge.argo.manifests import Manifests
from bridge.mapping.compiled import Mapping
from bridge.pipeline.intake import ingest
from bridge.pipeline.intake.requests import Requests
from tests.support.bridge_files import TEMPLATE
from tests.support.spine import DEAD_LETTER, RESPONSE, TRIGGER, Spine, mapping, submit
from tests.support.transport_ends import wait_until

KIND = {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "x"}}]}


def manifest(**keys):
    """A trigger message with a manifest, whose top-level keys `keys` replace or extend."""
    return {"namespace": "factory", "workflow": {"metadata": {"name": "w"}, "spec": KIND} | keys}


REQUESTS = {
    "not JSON": (b"{'a'}", 400, "invalid-json", "not JSON"),
    "not UTF-8": (b'{"requestId": "\xff"}', 400, "invalid-json", "not UTF-8"),
    "empty": (b"", 400, "invalid-json", "not JSON"),
    "an array": (b"[1]", 400, "invalid-request", "found an array"),
    "too large": (b'"' + b"x" * 262_144 + b'"', 413, "payload-too-large", "the maximum is 262144"),
    "too deep": (b"[" * 200 + b"]" * 200, 400, "too-deep", "100"),
    "far too deep": (b"[" * 100_000, 400, "too-deep", "100"),
    "a key twice": (b'{"workflow": {}, "workflow": {}}', 400, "duplicate-key", '"workflow" twice'),
    "an unknown key": (submit(namspace="factory"), 400, "unknown-key", 'did you mean "namespace"?'),
    "an unknown key of submit": (submit(submit={"templte": "x"}), 400, "unknown-key", 'did you mean "template"?'),
    "neither workflow nor submit": ({"namespace": "factory"}, 400, "invalid-request", "either workflow or submit"),
    "a forbidden namespace": (submit(namespace="kube-system"), 403, "forbidden-namespace", "not allowed"),
    "a name of 70 characters": (submit(submit={"template": "t", "name": "n" * 70}), 400, "invalid-workflow", "63"),
    "a manifest's long name": (manifest(metadata={"name": "n" * 70}), 400, "invalid-workflow", "has 70 characters"),
    "a missing template": (submit(submit={"template": "gone"}), 404, "template-not-found", "create the template"),
    "a status": (manifest(status={"phase": "Succeeded"}), 400, "invalid-workflow", "status is Argo's to write"),
    "a label of the bridge": (
        manifest(metadata={"name": "w", "labels": {"argo-bridge/bridge": "x"}}),
        400,
        "invalid-workflow",
        "belong to the bridge",
    ),
    "an annotation of the bridge": (
        submit(submit={"template": TEMPLATE, "annotations": {"argo-bridge/event": "x"}}),
        400,
        "invalid-workflow",
        "belong to the bridge",
    ),
    "a label of Argo": (
        manifest(metadata={"name": "w", "labels": {"workflows.argoproj.io/phase": "Succeeded"}}),
        400,
        "invalid-workflow",
        "belong to Argo",
    ),
    "another namespace within": (
        manifest(metadata={"name": "w", "namespace": "lab"}),
        400,
        "invalid-workflow",
        'the request\'s namespace is "factory"',
    ),
    "braces": (
        submit(submit={"template": TEMPLATE, "parameters": {"n": "{{=1+1}}"}}),
        400,
        "template-braces",
        "which Argo would expand",
    ),
    "an unknown field": (
        manifest(spec=KIND | {"entrypont": "main"}),
        400,
        "invalid-workflow",
        'did you mean "entrypoint"?',
    ),
}


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_bad_request_is_refused_where_its_sender_sees_it(version, tmp_path, mosquitto):
    """Each gets its code and a sentence, a dead letter and a count; none starts a workflow; the next good one does."""
    topic = "argo/workflows/response/mine/answers" if version == "5" else RESPONSE
    with Spine(tmp_path, mosquitto, version=version) as spine:
        for count, (name, (body, code, reason, text)) in enumerate(REQUESTS.items(), 1):
            spine.publish(
                TRIGGER, body, ResponseTopic="argo/workflows/response/mine/answers", CorrelationData=name.encode()
            )
            reply = spine.messages(topic, count)[-1]
            answer = orjson.loads(reply.payload)
            assert text in answer["error"], name
            assert "workflowId" not in answer, name
            if version == "5":
                assert dict(reply.properties.UserProperty)["code"] == str(code), name
                assert reply.properties.CorrelationData == name.encode()
            notice = spine.bodies(DEAD_LETTER, count)[-1]
            assert (notice["reason"], notice["topic"]) == (reason, TRIGGER), name
            assert "payload" not in notice
        reasons = {reason for _, _, reason, _ in REQUESTS.values()}
        counted = sum(spine.bridge.count("dead_letters_total", reason=reason) for reason in reasons)
        assert counted == len(REQUESTS)
        spine.fence()
        assert len(spine.simulator.created) == 1  # the fence
        left = spine.left_behind()
        assert {letter.letter.reason for letter in left.dead_letters} == reasons
        assert sum(letter.count for letter in left.dead_letters) == len(REQUESTS)
        assert left.reports == []


def test_the_request_id_comes_back_with_the_error(tmp_path, mosquitto):
    """Also the sender of a bad request finds its answer, as long as the body can be read."""
    with Spine(tmp_path, mosquitto) as spine:
        reply = spine.ask(submit(namespace="kube-system", requestId=[1]))
        assert reply["requestId"] == [1]
        assert "not allowed" in reply["error"]


@pytest.mark.parametrize(
    "topic",
    [
        "answers/#",
        "+/answers",
        "$SYS/x",
        "a/" * 250,
        TRIGGER,
        f"{TRIGGER}/x",
        "argo/workflows/status/factory/w",
        "argo/workflows/report/factory",
        "argo/bridge/under-test/availability",
        "victim",
    ],
)
def test_a_response_topic_that_may_not_be_is_told_where_replies_go_without_one(topic, tmp_path, mosquitto):
    """The workflow runs all the same, and no request is made of an answer; the bridge publishes nothing there."""
    with Spine(tmp_path, mosquitto, more="interface: {response-topics: ['a/#', 'argo/#']}") as spine:
        for body in (submit(), b"bad"):
            spine.publish(TRIGGER, body, ResponseTopic=topic, CorrelationData=b"c")
        spine.fence()
        told = [dict(one.properties.UserProperty) for one in spine.messages(RESPONSE, 3)[:2]]
        assert all(properties["reply-address-refused"] for properties in told)
        assert [one.properties.CorrelationData for one in spine.on(RESPONSE)[:2]] == [b"c", b"c"]
        assert not any(
            b"workflowId" in one.payload or b"error" in one.payload for one in spine.on(topic) if topic != TRIGGER
        )
        assert len(spine.simulator.created) == 2
        assert [letter["reason"] for letter in spine.bodies(DEAD_LETTER)] == ["invalid-json"]


MAPPINGS = (
    mapping("counted", "sensors/{site}/{device}", "event-id: payload.n")
    + mapping("schema", "strict/{device}", "payload: {schema: {type: object, required: [n]}}")
    + mapping("conditional", "maybe/{device}", "when: payload.n > 1.0")
)


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("sensors/a/1", b"{", "invalid-payload"),
        ("sensors/a/1", b"[1]", "expression-error"),
        ("sensors/a/1", b'{"m": 1}', "expression-error"),
        ("sensors/a/1", b'{"n": "{{workflow.name}}"}', "template-braces"),
        ("sensors/a/1", b'{"n": 1, "n": 2}', "duplicate-key"),
        ("sensors/a/1", b"[" * 5000, "invalid-payload"),
        ("sensors/a/1", b"x" * 262_145, "payload-too-large"),
        ("strict/1", b'{"m": 1}', "payload-schema"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value[:16]),
)
def test_a_bad_event_is_a_dead_letter_and_no_more(topic, payload, reason, tmp_path, mosquitto):
    """Its reason and its payload are kept, and the device's next message is an event as always."""
    with Spine(tmp_path, mosquitto, MAPPINGS) as spine:
        spine.publish(topic, payload)
        spine.publish(topic, b'{"n": 5}')
        (notice,) = spine.bodies(DEAD_LETTER)
        assert (notice["reason"], notice["topic"], notice["payloadBytes"]) == (reason, topic, len(payload))
        spine.fence()
        spine.await_numbers(5)
        assert spine.bridge.count("dead_letters_total", reason=reason) == 1
        (letter,) = spine.left_behind().dead_letters
        assert letter.letter.payload == payload[: 64 * 1024]


def test_a_condition_that_cannot_be_told_does_not_trigger(tmp_path, mosquitto):
    """A missing field or a wrong type is no event and no dead letter: it is counted, and the log says it once."""
    with Spine(tmp_path, mosquitto, MAPPINGS) as spine:
        for payload in (b"{}", b'{"n": "5"}', b'{"n": 1}', b'{"n": 2}'):
            spine.publish("maybe/1", payload)
        spine.fence()
        spine.await_numbers(2)
        assert spine.bridge.count("expression_errors_total", mapping="conditional") == 2
        assert spine.on(DEAD_LETTER) == []


def test_a_topic_that_nobody_mapped_leads_to_nothing(tmp_path, mosquitto):
    """No workflow and no dead letter, and neither does a topic of the interface that means nothing."""
    with Spine(tmp_path, mosquitto, MAPPINGS) as spine:
        for topic in ("other/topic", "sensors/a/1/deeper", "argo/workflows/unknown"):
            spine.publish(topic, {"n": 1})
        spine.fence()
        assert spine.numbers == []
        assert spine.on(DEAD_LETTER) == []


def test_what_is_not_allowed_says_so(tmp_path, mosquitto):
    """Every operation answers; one that the operator left out is refused as forbidden, not ignored."""
    with Spine(tmp_path, mosquitto, more="interface: {operations: [trigger, stop]}") as spine:
        spine.publish(
            "argo/workflows/retry",
            {"namespace": "factory", "workflowId": "w"},
            ResponseTopic="argo/workflows/response/mine/answers",
        )
        (reply,) = spine.messages("argo/workflows/response/mine/answers")
        assert dict(reply.properties.UserProperty)["code"] == "403"
        assert orjson.loads(reply.payload)["error"] == "retry is not allowed on this bridge"


class PoisonError(Exception):
    """What a handler did not expect."""


@pytest.fixture
def poison(monkeypatch):
    """Handlers that raise for one payload: in a mapping and in a request."""
    evaluate, trigger, met = Mapping.evaluate, Requests.trigger, []

    def raising(self, message, *rest):
        if b"poison" in message.payload:
            met.append(message.payload)
            raise PoisonError("not even a message")
        return evaluate(self, message, *rest)

    def raising_request(self, message, *rest):
        if b"poison" in message.payload:
            met.append(message.payload)
            raise PoisonError("not even a message")
        return trigger(self, message, *rest)

    monkeypatch.setattr(Mapping, "evaluate", raising)
    monkeypatch.setattr(Requests, "trigger", raising_request)
    return met


def test_a_handler_that_raises_meets_its_message_once(tmp_path, mosquitto, poison):
    """It is a dead letter with a report, its neighbours are events, no thread ends, and it never comes again."""
    with Spine(tmp_path, mosquitto, MAPPINGS) as spine:
        for payload in (b'{"n": 1}', b'{"n": "poison"}', b'{"n": 2}'):
            spine.publish("sensors/a/1", payload)
        spine.publish(TRIGGER, submit(requestId="poison"), ResponseTopic="argo/workflows/response/mine/answers")
        (reply,) = spine.messages("argo/workflows/response/mine/answers")
        assert dict(reply.properties.UserProperty)["code"] == "500"
        spine.await_numbers(1, 2)
        spine.restart(lambda: None)
        spine.bridge.await_session("resumed")
        spine.publish("sensors/a/1", b'{"n": 3}')
        spine.fence()
        spine.await_numbers(1, 2, 3)
        assert len(poison) == 2
        assert not spine.bridge.service.liveness()
        left = spine.left_behind()
        assert [letter.letter.reason for letter in left.dead_letters] == ["internal-error", "internal-error"]
        assert len(left.reports) == 2


def test_a_message_that_never_ends_is_noticed(tmp_path, mosquitto, monkeypatch):
    """Liveness tells of a batch that has been under way for too long, and only of that."""
    reading, over = threading.Event(), threading.Event()
    evaluate = Mapping.evaluate

    def endless(self, *rest):
        reading.set()
        assert over.wait(60)
        return evaluate(self, *rest)

    monkeypatch.setattr(Mapping, "evaluate", endless)
    with Spine(tmp_path, mosquitto, MAPPINGS) as spine:
        spine.publish("sensors/a/1", {"n": 1})
        assert reading.wait(30)
        assert not spine.bridge.service.liveness()
        monkeypatch.setattr(ingest, "STANDS_STILL_S", 0.0)
        assert [one.code for one in spine.bridge.service.liveness()] == ["ingest-stands-still"]
        over.set()
        spine.fence()
        wait_until(lambda: not spine.bridge.service.liveness(), "an idle thread")


def test_a_row_that_cannot_be_submitted_ends_no_thread(tmp_path, mosquitto, monkeypatch):
    """A surprise while submitting one row dead-letters that row; the next ones are submitted."""
    create_body = Manifests.create_body

    def raising(self, order, marks):
        if order.parameters.get("n") == "2":
            raise PoisonError("not even a row")
        return create_body(self, order, marks)

    monkeypatch.setattr(Manifests, "create_body", raising)
    with Spine(tmp_path, mosquitto, MAPPINGS) as spine:
        for number in (1, 2, 3):
            spine.publish("sensors/a/1", {"n": number})
        spine.fence()
        spine.await_numbers(1, 3)
        assert [letter["reason"] for letter in spine.bodies(DEAD_LETTER)] == ["internal-error"]
        assert not spine.bridge.service.liveness()


def test_many_of_one_kind_are_counted_on_the_first(tmp_path, mosquitto):
    """A device gone mad does not fill the disk: one dead letter with a count, one log line, every message counted."""
    with Spine(tmp_path, mosquitto, MAPPINGS) as spine:
        spine.client.publish_many("sensors/a/1", [b"{" + bytes([number]) for number in range(100)])
        wait_until(
            lambda: spine.bridge.count("dead_letters_total", reason="invalid-payload") == 100, "a hundred refusals"
        )
        (letter,) = spine.left_behind().dead_letters
        assert letter.count == 100
