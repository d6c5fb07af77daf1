"""What each answer means for the row that asked, as one table (docs/design/promises.md)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.argo.errors import Answer, AnswerKind, Fault, classify, failure, named, token_unreadable
from bridge.core.errors import TransientError
from bridge.interface.replies import Refusal
from bridge.pipeline.dispatch.outcomes import Again, Done, GoOn, Park, Step, Verdict, decide

OURS, THEIRS = b"o" * 32, b"t" * 32
CREATE, LOOK_UP = Step.CREATE, Step.LOOK_UP


def workflow(event_id: bytes | None, **metadata: Any) -> bytes:
    """A workflow as Argo answers it."""
    annotations = {} if event_id is None else {"argo-bridge/event": event_id.hex()}
    return orjson.dumps({"metadata": {"name": "w", "annotations": annotations, **metadata}, "spec": {}})


def http(status: int, text: str, grpc: int = 2, **headers: str) -> Answer:
    """An error of the Argo Server."""
    return classify(status, headers, orjson.dumps({"code": grpc, "message": text}), 0.0)


ANSWERS = {
    "ours": classify(200, {}, workflow(OURS), 0.0),
    "theirs": classify(200, {}, workflow(THEIRS), 0.0),
    "nobody's": classify(200, {}, workflow(None), 0.0),
    "theirs, going": classify(200, {}, workflow(THEIRS, deletionTimestamp="2026-01-01T00:00:00Z"), 0.0),
    "another server's JSON": named(classify(200, {}, b'{"status":"ok"}', 0.0), "w"),
    "html": classify(200, {}, b"<html>", 0.0),
    "half an answer": classify(200, {}, b'{"metadata":', 0.0),
    "400": http(400, "spec.arguments.p.value is required", 3),
    "400, not managed": http(400, "'w' is not managed by the current Argo Server", 3),
    "401": http(401, "token not valid", 16),
    "403": http(403, "forbidden", 7),
    "404, workflow": http(404, 'workflows.argoproj.io "w" not found', 5),
    "404, template": http(404, 'workflowtemplates.argoproj.io "t" not found', 5),
    "404, namespace": http(404, 'namespaces "factory" not found', 5),
    "404, bare": http(404, "not found", 5),
    "404, proxy": classify(404, {}, b"no such page", 0.0),
    "409": http(409, 'workflows.argoproj.io "w" already exists', 6),
    "409, modified": http(409, "Operation cannot be fulfilled on x: the object has been modified", 6),
    "413": classify(413, {}, b"too large", 0.0),
    "429": classify(429, {}, b"Too Many Requests", 0.0),
    "429, EOF": http(429, "EOF", 8),
    "429, too large": http(429, "grpc: received message larger than max", 8),
    "500": http(500, "etcdserver: leader changed", 13),
    "504": http(504, "timeout", 4),
    "cut": failure(Fault.CUT, "reset", sent=True),
    "not sent": failure(Fault.CUT, "reset", sent=False),
    "timeout": failure(Fault.TIMEOUT, "30 s", sent=True),
    "unreachable": failure(Fault.UNREACHABLE, "refused", sent=False),
    "tls": failure(Fault.TLS, "certificate", sent=False),
    "no token": token_unreadable(TransientError("no file", code="token-unreadable")),
    "stopped": failure(Fault.STOPPED, "", sent=False),
}

SLOW_ROW_LOOK, SLOW_ROW = Again(LOOK_UP, own_fault=True), Again(CREATE, own_fault=True)
SLOW_GATE_LOOK, SLOW_GATE = Again(LOOK_UP, own_fault=False), Again(CREATE, own_fault=False)
TABLE: list[tuple[str, Step, object]] = [
    ("ours", CREATE, Done()),
    ("ours", LOOK_UP, Done()),
    ("theirs", LOOK_UP, "name-taken"),
    ("nobody's", LOOK_UP, "name-taken"),
    ("theirs, going", LOOK_UP, SLOW_ROW),
    ("another server's JSON", CREATE, GoOn(LOOK_UP)),
    ("another server's JSON", LOOK_UP, "not-argo"),
    ("html", CREATE, GoOn(LOOK_UP)),
    ("html", LOOK_UP, "not-argo"),
    ("half an answer", CREATE, SLOW_ROW_LOOK),
    ("half an answer", LOOK_UP, SLOW_ROW_LOOK),
    ("400", CREATE, "!invalid-workflow"),
    ("400, not managed", LOOK_UP, "!not-managed"),
    ("401", CREATE, "not-authenticated"),
    ("401", LOOK_UP, "not-authenticated"),
    ("403", CREATE, "not-permitted"),
    ("403", LOOK_UP, "!access-denied"),
    ("404, workflow", LOOK_UP, GoOn(CREATE)),
    ("404, template", CREATE, "template-not-found"),
    ("404, namespace", CREATE, "namespace-not-found"),
    ("404, bare", LOOK_UP, SLOW_ROW_LOOK),
    ("404, proxy", CREATE, "not-argo"),
    ("404, proxy", LOOK_UP, "not-argo"),
    ("409", CREATE, GoOn(LOOK_UP)),
    ("409, modified", CREATE, SLOW_ROW),
    ("413", CREATE, "!workflow-too-large"),
    ("429", CREATE, SLOW_GATE),
    ("429", LOOK_UP, SLOW_GATE_LOOK),
    ("429, EOF", CREATE, SLOW_ROW_LOOK),
    ("429, too large", CREATE, "!workflow-too-large"),
    ("500", CREATE, SLOW_ROW_LOOK),
    ("500", LOOK_UP, SLOW_ROW_LOOK),
    ("504", CREATE, SLOW_ROW_LOOK),
    ("cut", CREATE, SLOW_ROW_LOOK),
    ("cut", LOOK_UP, SLOW_ROW_LOOK),
    ("not sent", CREATE, SLOW_GATE),
    ("timeout", CREATE, SLOW_ROW_LOOK),
    ("unreachable", CREATE, SLOW_GATE),
    ("unreachable", LOOK_UP, SLOW_GATE_LOOK),
    ("tls", CREATE, "tls-failed"),
    ("no token", CREATE, "token-unreadable"),
    ("stopped", CREATE, SLOW_ROW),
]


def short(verdict: Verdict) -> object:
    """A verdict without its sentence."""
    return verdict.reason if isinstance(verdict, Refusal) else verdict


@pytest.mark.parametrize(
    ("answer", "step", "expected"), TABLE, ids=[f"{step.value}: {name}" for name, step, _ in TABLE]
)
def test_each_answer_has_its_verdict(answer: str, step: Step, expected: object) -> None:
    """A code alone is the cluster's fault: a request is told at once, a mapped event waits; "!" is the event's own."""
    for is_request in (True, False):
        verdict = decide(step, ANSWERS[answer], OURS, is_request=is_request)
        if not isinstance(expected, str):
            assert verdict == expected
        elif expected.startswith("!") or expected == "name-taken" or is_request:
            assert short(verdict) == expected.removeprefix("!")
        else:
            assert isinstance(verdict, Park)
            assert verdict.step is step
            assert verdict.cause


@given(st.sampled_from(sorted(ANSWERS)), st.sampled_from(Step), st.booleans())
def test_nothing_is_repeated_at_once_that_the_gate_does_not_slow(name: str, step: Step, is_request: bool) -> None:
    """A row that is tried again without a backoff of its own always had an answer that slows the gate down."""
    verdict = decide(step, ANSWERS[name], OURS, is_request=is_request)
    if isinstance(verdict, Again) and not verdict.own_fault:
        assert ANSWERS[name].strains


@given(st.sampled_from(sorted(ANSWERS)), st.booleans())
def test_a_create_that_may_have_happened_is_looked_up_before_it_is_repeated(name: str, is_request: bool) -> None:
    """After an ambiguous answer to a create no verdict leads to another create, nor to a refusal."""
    answer = ANSWERS[name]
    if answer.ambiguous or answer.kind is AnswerKind.CONFLICT:
        assert decide(CREATE, answer, OURS, is_request=is_request) in (GoOn(LOOK_UP), SLOW_ROW_LOOK)


def test_a_refusal_says_whose_fault_it_is() -> None:
    """The sentence carries Argo's own text, what to do, and the name that is taken."""
    bad = decide(CREATE, ANSWERS["400"], OURS, is_request=True)
    assert isinstance(bad, Refusal)
    assert bad.message == "Invalid workflow definition: spec.arguments.p.value is required"
    denied = decide(LOOK_UP, ANSWERS["403"], OURS, is_request=False)
    assert isinstance(denied, Refusal)
    assert "the right to get it is missing" in denied.message
    taken = decide(LOOK_UP, ANSWERS["theirs"], OURS, is_request=False)
    assert isinstance(taken, Refusal)
    assert '"w" already exists' in taken.message
