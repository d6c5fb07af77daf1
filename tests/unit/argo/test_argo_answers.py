"""What answers mean: real ones of five Argo releases, and any bytes whatever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.argo.errors import (
    Answer,
    AnswerKind,
    Fault,
    PermanentAnswerError,
    TransientAnswerError,
    classify,
    error_of,
    failure,
    is_named,
    named,
    retry_after_s,
    stream_error,
)

RECORDED = json.loads((Path(__file__).parent / "recorded_answers.json").read_text())
RELEASES = {"v3.5.15", "v3.6.19", "v3.7.18", "v4.0.10", "v4.1.2"}

# Beginnings of exchange names with the code that each must get in every release; the longest one that fits holds.
EXPECTED = {
    "archive: archived retry while live": "already-exists",
    "archive: delete again": "workflow-not-found",
    "archive: delete archived again": "not-in-archive",
    "auth: expired or unknown": "not-authenticated",
    "auth: malformed": "not-authenticated",
    "auth: may create and read": "not-permitted",
    "auth: may create and read: create": "ok",
    "auth: may nothing": "not-permitted",
    "binding:": "not-permitted",
    "binding: not json": "invalid",
    "create:": "invalid",
    "create: minimal": "ok",
    "create: missing template ref": "template-not-found",
    "create: no such namespace": "namespace-not-found",
    "create: same name again": "already-exists",
    "cron:": "cron-not-found",
    "cron: bad schedule": "invalid",
    "cron: create": "invalid",
    "etcd-stuck:": "server-error",
    "etcd-stuck: etcd-stopped: get template": "template-not-found",
    "events:": "not-authenticated",
    "events: no auth header": "not-permitted",
    "events: not json": "invalid",
    "info: version": "ok",
    "info: bad token": "not-authenticated",
    "info: unknown route": "unknown-route",
    "info: wrong method": "unknown-route",
    "kube-away:": "server-error",
    "kube-away: watch while kube-apiserver is killed": "watch-ended",
    "lifecycle: delete": "ok",
    "lifecycle: delete again": "workflow-not-found",
    "lifecycle: missing": "workflow-not-found",
    "lifecycle: retry": "invalid",
    "lifecycle: set without selector": "invalid",
    "lifecycle: stop again": "already-ended",
    "lifecycle: stop missing": "workflow-not-found",
    "lifecycle: suspend finished": "already-ended",
    "lifecycle: terminate": "already-ended",
    "list:": "invalid",
    "templates: get missing template": "template-not-found",
    "templates: lint bad": "server-error",
    "templates: submit": "invalid",
    "templates: submit cluster template missing": "template-not-found",
    "templates: submit missing template": "template-not-found",
    "templates: submit same name": "already-exists",
    "watch: bad selector": "invalid",
    "watch: old resource version": "watch-expired",
    "watch: timeoutSeconds ends it": "watch-ended",
}
TRIED = "timed out waiting for the condition: "
KINDS = {
    "ok": AnswerKind.OK,
    "already-exists": AnswerKind.CONFLICT,
    "workflow-not-found": AnswerKind.NOT_FOUND,
    "not-in-archive": AnswerKind.NOT_FOUND,
    "not-authenticated": AnswerKind.DENIED,
    "not-permitted": AnswerKind.DENIED,
    "invalid": AnswerKind.INVALID,
    "already-ended": AnswerKind.INVALID,
    "watch-expired": AnswerKind.INVALID,
    "template-not-found": AnswerKind.MISCONFIGURED,
    "cron-not-found": AnswerKind.MISCONFIGURED,
    "namespace-not-found": AnswerKind.MISCONFIGURED,
    "unknown-route": AnswerKind.MISCONFIGURED,
    "server-error": AnswerKind.UNAVAILABLE,
    "watch-ended": AnswerKind.UNAVAILABLE,
}


def read(status: int, body: bytes | str, **headers: str) -> Answer:
    raw = body.encode() if isinstance(body, str) else body
    return classify(status, {key.replace("_", "-"): value for key, value in headers.items()}, raw, 1_750_000_000.0)


def argo(status: int, grpc_code: int, message: str) -> Answer:
    return read(status, json.dumps({"code": grpc_code, "message": message}))


@pytest.mark.parametrize(
    ("message", "code", "kind"),
    [
        (f"{TRIED}raw output parameter 'ok' has not been set and does not have a default value", "invalid",
         AnswerKind.INVALID),
        ("cannot set output parameter 'ok' because it does not use valueFrom.raw or it was already set",
         "no-such-node", AnswerKind.INVALID),
        ('failed to compile "(": error parsing regexp: missing closing ): `(`', "invalid", AnswerKind.INVALID),
        (f'{TRIED}workflows.argoproj.io "w" is forbidden: User "u" cannot update resource "workflows"', "not-permitted",
         AnswerKind.DENIED),
        (f"{TRIED}etcdserver: leader changed", "server-error", AnswerKind.UNAVAILABLE),
    ],
)  # fmt: skip
def test_a_500_that_will_never_be_another_is_not_tried_again(message, code, kind):
    """Argo answers some refusals of verbs as 500; they are told at once instead of being repeated."""
    answer = argo(500, 13, message)
    assert (answer.code, answer.kind) == (code, kind)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda row: f"{row['exchange']}@{row['releases'][-1]}")
def test_a_recorded_answer_is_read_alike_in_every_release(recorded):
    """Each answer that a real Argo Server gave gets the code that its exchange calls for."""
    wanted = EXPECTED[max((name for name in EXPECTED if recorded["exchange"].startswith(name)), key=len)]
    answer = read(recorded["status"], recorded["body"])
    assert (answer.code, answer.kind) == (wanted, KINDS[wanted])
    assert len(answer.message) <= 256
    assert not answer.is_throttle


def test_the_recordings_cover_all_five_releases():
    """A release that is missing from the recordings would be untested without anybody noticing."""
    assert {release for row in RECORDED for release in row["releases"]} == RELEASES


def test_a_create_that_timed_out_inside_may_have_happened():
    """504 after 34 s came for a create that had happened; a refusal or a throttled request has not happened."""
    timed_out = next(row for row in RECORDED if row["exchange"] == "etcd-stuck: etcd-stopped: create")
    assert read(timed_out["status"], timed_out["body"]).ambiguous
    assert not argo(400, 3, "spec.entrypoint is required").ambiguous
    assert not argo(429, 8, "... is rejected by grpc_ratelimit middleware, please retry later.").ambiguous
    assert not argo(409, 6, 'workflows.argoproj.io "a" already exists').ambiguous


def test_only_real_throttling_counts_as_throttling():
    """The 429 EOF of a watch and 'message larger than max' ask for no pause; the latter never succeeds."""
    text = read(429, "Too Many Requests\n", retry_after="3")
    assert (text.code, text.is_throttle, text.retry_after_s) == ("rate-limited", True, 3.0)
    grpc = argo(429, 8, "/workflow.WorkflowService/CreateWorkflow is rejected by grpc_ratelimit middleware")
    assert (grpc.is_throttle, grpc.strains, grpc.retry_after_s) == (True, True, None)
    ended = argo(429, 8, "EOF")
    assert (ended.code, ended.is_throttle, ended.strains) == ("watch-ended", False, False)
    large = argo(429, 8, "grpc: received message larger than max (104857601 vs. 104857600)")
    assert (large.kind, large.is_throttle, large.strains) == (AnswerKind.INVALID, False, False)


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (404, b"<html><h1>404 Not Found</h1><hr>nginx</html>", AnswerKind.MISCONFIGURED, "not-argo"),
        (404, b'{"message":"no Route matched with those values"}', AnswerKind.MISCONFIGURED, "not-argo"),
        (404, b'{"code":5,"message":"the server could not find the requested resource (post workflows.argoproj.io)"}',
         AnswerKind.MISCONFIGURED, "kind-not-installed"),
        (400, b"Client sent an HTTP request to an HTTPS server.\n", AnswerKind.MISCONFIGURED, "not-argo"),
        (409, b"Conflict", AnswerKind.MISCONFIGURED, "not-argo"),
        (413, b"<html>413 Request Entity Too Large</html>", AnswerKind.INVALID, "too-large"),
        (502, b"<html>502 Bad Gateway</html>", AnswerKind.UNAVAILABLE, "server-error"),
        (504, b"upstream request timeout", AnswerKind.UNAVAILABLE, "server-error"),
        (301, b"", AnswerKind.MISCONFIGURED, "redirected"),
        (401, b"<html>log in</html>", AnswerKind.DENIED, "not-authenticated"),
        (200, b"<!doctype html><html><title>Argo</title></html>", AnswerKind.MISCONFIGURED, "not-argo"),
        (200, b"[]", AnswerKind.MISCONFIGURED, "not-argo"),
        (204, b"", AnswerKind.MISCONFIGURED, "not-argo"),
        (500, b'{"code":13,"message":"etcdserver: request is too large"}', AnswerKind.INVALID, "too-large"),
        (409, b'{"code":10,"message":"Operation cannot be fulfilled on workflows.argoproj.io \\"n\\": the object ..."}',
         AnswerKind.UNAVAILABLE, "modified-meanwhile"),
        (500, b'{"code":13,"message":"invalid spec: clusterworkflowtemplates.argoproj.io \\"t\\" is forbidden: User"}',
         AnswerKind.DENIED, "not-permitted"),
        (404, b'{"code":5,"message":"workflowtemplates.argoproj.io \\"a\\nb\\" not found"}',
         AnswerKind.MISCONFIGURED, "template-not-found"),
    ],
)  # fmt: skip
def test_an_answer_of_something_else_is_told_from_argos(status, body, kind, code):
    """A proxy, the user interface or a broken server is never taken for Argo's word about an event."""
    answer = read(status, body)
    assert (answer.kind, answer.code) == (kind, code)
    assert not answer.proves_absence


def test_a_truncated_success_may_have_happened():
    """A 200 that ends in the middle says that it was carried out, not how: ask again."""
    for body in (b'{"metadata":{"name":"a"', b"", b"\n"):
        answer = read(200, body)
        assert (answer.kind, answer.ambiguous) == (AnswerKind.UNAVAILABLE, True)


def test_only_argos_own_404_proves_that_a_workflow_is_gone():
    """Retained status is cleared on this property alone."""
    assert argo(404, 5, 'workflows.argoproj.io "a" not found').proves_absence
    assert not argo(404, 5, "not found").proves_absence
    assert not argo(404, 5, 'namespaces "a" not found').proves_absence


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("7", "", 7.0),
        ("0", "", 0.0),
        ("1.5", "", 1.5),
        ("86400", "", 3600.0),
        ("Tue, 24 Nov 2026 14:00:05 GMT", "Tue, 24 Nov 2026 14:00:00 GMT", 5.0),
        ("Tue, 24 Nov 2026 14:00:05 UTC", "Tue, 24 Nov 2026 14:00:00 GMT", 5.0),
        ("Tuesday, 24-Nov-26 14:00:05 GMT", "Tue, 24 Nov 2026 14:00:00 GMT", 5.0),
        ("Tue, 24 Nov 2026 13:00:00 UTC", "Tue, 24 Nov 2026 14:00:00 GMT", 0.0),
        ("Tue, 24 Nov 2026 14:00:05 UTC", "", 5.0),
        ("soon", "", None),
        ("-1", "", None),
        ("", "", None),
        ("Tue, 99 Nov 2026 14:00:05 UTC", "", None),
    ],
)
def test_retry_after_is_read_leniently(value, date, seconds):
    """Seconds, GMT, Go's UTC: measured against the server's own clock where it tells it; at most an hour."""
    wall_s = 1_795_528_800.0  # 2026-11-24T14:00:00Z
    assert retry_after_s({"retry-after": value, "date": date}, wall_s) == seconds


def test_a_clock_of_1970_does_not_close_the_gate_for_decades():
    """A gateway without the time asks the answer's Date header, and waits an hour at most without one."""
    headers = {"retry-after": "Tue, 24 Nov 2026 14:00:02 UTC", "date": "Tue, 24 Nov 2026 14:00:00 GMT"}
    assert retry_after_s(headers, 100.0) == 2.0
    assert retry_after_s({"retry-after": headers["retry-after"]}, 100.0) == 3600.0


keys = st.sampled_from(["code", "message", "error", "grpc_code", "x"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)
errors = st.builds(lambda code, text: {"code": code, "message": text}, st.integers(0, 16), st.text(max_size=400))
bodies = st.binary(max_size=200) | (json_values | errors).map(lambda value: json.dumps(value).encode())
header_maps = st.dictionaries(st.sampled_from(["retry-after", "date", "location"]), st.text(max_size=60), max_size=3)


@given(st.integers(-5, 1200), header_maps, bodies, st.floats(allow_nan=False, allow_infinity=False))
def test_no_answer_makes_it_raise(status, headers, body, wall_s):
    """Whatever comes is one of the kinds, with one printable line of at most 256 characters."""
    answer = classify(status, headers, body, wall_s)
    assert isinstance(answer.kind, AnswerKind)
    assert len(answer.message) <= 256
    assert answer.message == "" or answer.message.isprintable()
    assert answer.retry_after_s is None or 0 <= answer.retry_after_s <= 3600
    assert answer.ok == (answer.body is not None)
    assert answer.ok is False or status == 200


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps({"error": value}).encode()))
def test_no_error_frame_makes_it_raise(body):
    """An error frame is never success, whatever it holds."""
    assert not stream_error(body).ok


def test_a_create_is_done_only_when_its_workflow_came_back():
    """A 200 with JSON of another server, or with another object, does not count as submitted and may have happened."""
    assert named(read(200, b'{"metadata":{"name":"a"}}'), "a").ok
    for body in (b'{"status":"ok"}', b"{}", b'{"metadata":{"name":"b"}}', b'{"metadata":[]}'):
        other = named(read(200, body), "a")
        assert (other.kind, other.ambiguous, other.body) == (AnswerKind.MISCONFIGURED, True, None)
    refused = argo(400, 3, "no")
    assert named(refused, "a") is refused


def test_the_exception_tells_whether_a_retry_can_help():
    """INVALID, CONFLICT and NOT_FOUND are permanent, all else transient; both carry the answer, code and pause."""
    permanent = error_of(argo(404, 5, 'workflows.argoproj.io "a" not found'), "get workflow ns/a")
    assert isinstance(permanent, PermanentAnswerError)
    assert str(permanent) == 'get workflow ns/a: workflows.argoproj.io "a" not found'
    transient = error_of(read(429, "Too Many Requests\n", retry_after="2"), "list")
    assert isinstance(transient, TransientAnswerError)
    assert (transient.code, transient.retry_after_s, transient.answer.status) == ("rate-limited", 2.0, 429)
    denied = error_of(argo(401, 16, "Unauthorized"), "list")
    assert isinstance(denied, TransientAnswerError)
    assert "token" in denied.hint


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_below_http_strains_the_gate_unless_we_stopped_it(fault):
    """Connection, timeout and TLS faults slow the gate; our own stop, and an answer that is too long, do not."""
    answer = failure(fault, "text\x1b[31m\nmore", sent=True)
    assert answer.status == 0
    assert answer.ambiguous
    assert answer.message == "text [31m more"
    assert answer.strains == (fault not in (Fault.STOPPED, Fault.TOO_LARGE))


# status: (kind of an error without Argo's code, kind with it, ambiguous, strains, whether Retry-After counts)
STATUSES = {
    204: (AnswerKind.MISCONFIGURED, AnswerKind.MISCONFIGURED, False, False, False),
    302: (AnswerKind.MISCONFIGURED, AnswerKind.MISCONFIGURED, False, False, False),
    400: (AnswerKind.MISCONFIGURED, AnswerKind.INVALID, False, False, False),
    401: (AnswerKind.DENIED, AnswerKind.DENIED, False, False, False),
    403: (AnswerKind.DENIED, AnswerKind.DENIED, False, False, False),
    404: (AnswerKind.MISCONFIGURED, AnswerKind.MISCONFIGURED, False, False, False),
    408: (AnswerKind.UNAVAILABLE, AnswerKind.UNAVAILABLE, True, True, False),
    409: (AnswerKind.MISCONFIGURED, AnswerKind.CONFLICT, False, False, False),
    413: (AnswerKind.INVALID, AnswerKind.INVALID, False, False, False),
    414: (AnswerKind.INVALID, AnswerKind.INVALID, False, False, False),
    429: (AnswerKind.UNAVAILABLE, AnswerKind.UNAVAILABLE, False, True, True),
    500: (AnswerKind.UNAVAILABLE, AnswerKind.UNAVAILABLE, True, True, False),
    501: (AnswerKind.MISCONFIGURED, AnswerKind.MISCONFIGURED, False, False, False),
    502: (AnswerKind.UNAVAILABLE, AnswerKind.UNAVAILABLE, True, True, False),
    503: (AnswerKind.UNAVAILABLE, AnswerKind.UNAVAILABLE, True, True, True),
    504: (AnswerKind.UNAVAILABLE, AnswerKind.UNAVAILABLE, True, True, False),
}


@pytest.mark.parametrize("retry_after", [None, "7"])
@pytest.mark.parametrize("is_argos", [False, True], ids=["of a proxy", "of Argo"])
@pytest.mark.parametrize("status", STATUSES)
def test_what_a_status_means(status, is_argos, retry_after):
    """Kind, whether it may have been carried out, whether the gate slows down, and for how long, as one table."""
    body = b'{"code":2,"message":"an odd text"}' if is_argos else b"an odd text"
    answer = classify(status, {} if retry_after is None else {"retry-after": retry_after}, body, 0.0)
    of_a_proxy, of_argo, ambiguous, strains, is_heard = STATUSES[status]
    assert answer.kind is (of_argo if is_argos else of_a_proxy)
    assert (answer.ambiguous, answer.strains) == (ambiguous, strains)
    assert answer.retry_after_s == (7.0 if is_heard and retry_after else None)


@pytest.mark.parametrize(
    ("status", "message", "kind", "code", "strains"),
    [
        (409, "Operation cannot be fulfilled on x", AnswerKind.UNAVAILABLE, "modified-meanwhile", False),
        (429, "EOF", AnswerKind.UNAVAILABLE, "watch-ended", False),
        (429, "grpc: received message larger than max", AnswerKind.INVALID, "too-large", False),
        (400, "Request entity too large: limit is 3145728", AnswerKind.INVALID, "too-large", False),
        (500, "etcdserver: request is too large", AnswerKind.INVALID, "too-large", False),
        (500, "resourceVersion should not be set on objects to be created", AnswerKind.INVALID, "invalid", False),
        (
            403,
            "unable to create new content in namespace factory because it is being terminated",
            AnswerKind.MISCONFIGURED,
            "namespace-terminating",
            False,
        ),
    ],
)
def test_what_a_text_says_more_than_its_status(status, message, kind, code, strains):
    """Texts of Argo and of kube that decide otherwise than the status alone would."""
    answer = classify(status, {}, json.dumps({"code": 2, "message": message}).encode(), 0.0)
    assert (answer.kind, answer.code, answer.strains) == (kind, code, strains)


def test_a_namespace_that_is_being_deleted_needs_no_right():
    """Nobody is sent to grant one."""
    text = 'workflows.argoproj.io "w" is forbidden: unable to create new content because it is being terminated'
    error = error_of(classify(403, {}, json.dumps({"code": 7, "message": text}).encode(), 0.0), "create a workflow")
    assert "grant" not in str(error)
    assert "wait until it is gone" in str(error)


CREATED = [row["body"] for row in RECORDED if row["exchange"] == "create: minimal" and row["status"] == 200]


def test_a_created_workflow_is_known_by_how_its_answer_begins():
    """Every release writes the name first, so that a create's answer need not be parsed; what was cut must be."""
    assert CREATED
    for text in CREATED:
        body, name = text.encode(), json.loads(text)["metadata"]["name"]
        assert is_named(body, name)
        assert is_named(body + b"\n", name)
        assert not is_named(body[:-1].rstrip(b"}"), name)
        assert not is_named(body, name[:-1])
        assert not is_named(b'{"workflow":' + body + b"}", name)


@given(st.binary(), st.text(max_size=5))
def test_what_begins_otherwise_is_parsed(body, name):
    """Only what reads as the object passes unread."""
    if is_named(body, name):
        assert body.startswith(b'{"metadata":{"name":"')
