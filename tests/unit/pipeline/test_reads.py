"""Reads are answered or failed at once, and acknowledged when their answer is safe, whatever Argo and the spool do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from dispatch_fakes import error_answer
from reads_fakes import ReadsBench, workflow

from bridge.argo.errors import Answer, Fault, classify, failure
from bridge.core.errors import PermanentError
from bridge.core.model import Message, ReplyAddress
from bridge.interface.operations import SPECS, Operation
from bridge.pipeline.intake.operations import ReadRequest
from bridge.pipeline.reads.plans import LIMIT_S
from bridge.pipeline.reads.reader import MAX_AT_ONCE, MAX_FOLLOWED
from bridge.spool.records import NewRows


@pytest.fixture
def bench(tmp_path: Path) -> ReadsBench:
    """Reads that nobody has asked for anything."""
    return ReadsBench(tmp_path)


@pytest.mark.parametrize(
    ("answer", "code", "reason"),
    [
        (error_answer(404, 5, 'workflows.argoproj.io "w" not found'), "404", "workflow-not-found"),
        (error_answer(401, 16, "token not valid"), "502", "not-authenticated"),
        (error_answer(403, 7, "forbidden"), "403", "not-permitted"),
        (error_answer(500, 13, "etcdserver: leader changed"), "503", "server-error"),
        (failure(Fault.UNREACHABLE, "refused", sent=False), "503", "unreachable"),
        (failure(Fault.TIMEOUT, "timed out", sent=True), "504", "timeout"),
        (classify(200, {}, b"<html>", 0.0), "502", "not-argo"),
    ],
)
def test_a_read_that_fails_is_told_at_once(
    bench: ReadsBench, answer: Answer, code: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Reply, log line and acknowledgement; nothing is tried again, and nothing is kept of it: it is no dead letter."""
    delivery = bench.ask(Operation.GET)
    bench.step()
    bench.answer(answer)
    assert (bench.codes, list(bench.reasons()), delivery.acks) == ([code], [], 1)
    assert len(bench.exchanges.requests) == 1
    assert [vars(record)["code"] for record in caplog.records if "could not answer" in record.message] == [reason]


OPTIONS = {Operation.LINT: {"workflow": {"spec": {}}}}
READS = [(operation, OPTIONS.get(operation, {})) for operation, spec in SPECS.items() if not spec.is_spooled]


@pytest.mark.parametrize(("operation", "options"), [*READS, (Operation.LOGS, {"follow": True})])
def test_a_server_that_never_answers_is_given_up(
    bench: ReadsBench, operation: Operation, options: dict[str, Any]
) -> None:
    """An error reply before 8 s, whatever was asked, and the exchange ends."""
    delivery = bench.ask(operation, **options)
    bench.run_s(LIMIT_S - 1)
    assert bench.replies == []
    bench.run_s(2)
    assert (bench.codes, delivery.acks) == (["504"], 1)
    assert bench.exchanges.started == {}
    assert bench.exchanges.given_up


def test_an_answer_that_comes_too_late_is_nobodys(bench: ReadsBench) -> None:
    """It was failed already, and is not told twice."""
    bench.ask(Operation.GET)
    bench.step()
    (key,) = bench.exchanges.started
    bench.run_s(LIMIT_S + 1)
    bench.exchanges.answers.append((key, classify(200, {}, orjson.dumps(workflow("w")), 0.0)))
    bench.step()
    assert len(bench.replies) == 1


def test_a_stop_ends_what_is_under_way_with_replies(bench: ReadsBench) -> None:
    """A follower hears its end; a read that had no answer yet is failed; both are acknowledged."""
    followed = bench.follow()
    bench.hear("one")
    bench.step()
    asked = bench.ask(Operation.GET)
    bench.exchanges.is_still = True
    bench.reads.start()
    assert bench.reads.stop(30.0) == []
    *_, ended, failed = bench.replies
    assert (ended["more"], ended["ended"]) == (False, "bridge-stopping")
    assert "stopping" in failed["error"]
    assert (followed.acks > 0, asked.acks) == (True, 1)
    assert bench.exchanges.is_closed


def test_only_so_many_at_once(bench: ReadsBench) -> None:
    """A place is taken before a read is submitted, and given back with its last reply."""
    for _ in range(MAX_FOLLOWED):
        bench.follow()
    address = ReplyAddress("plant", "answers")
    message = Message("plant", "argo/workflows/get", b"{}")
    get = ReadRequest(Operation.GET, "factory", "w", {}, message, address)
    another = ReadRequest(Operation.LOGS, "factory", "w", {"follow": True}, message, address)
    assert not bench.reads.reserve(another)
    for _ in range(MAX_AT_ONCE - MAX_FOLLOWED):
        assert bench.reads.reserve(get)
    assert not bench.reads.reserve(get)
    bench.answer({})
    assert bench.reads.reserve(another)


def test_nothing_is_acknowledged_before_its_reply_is_stored(bench: ReadsBench) -> None:
    """While the spool cannot be written the reply waits, and the message is the broker's still."""
    delivery = bench.ask(Operation.GET)
    bench.step()
    bench.spool.failing.add("commit")
    bench.answer(workflow("w"))
    bench.run_s(3)
    assert delivery.acks == 0
    bench.spool.failing.clear()
    bench.run_s(1)
    assert (delivery.acks, bench.codes) == (1, ["200"])


def test_a_reply_that_cannot_be_stored_holds_up_no_other(bench: ReadsBench) -> None:
    """It alone is dropped, and acknowledged as it would only come again; the one beside it is told."""
    bad, good = bench.ask(Operation.GET, "bad"), bench.ask(Operation.GET, "good")
    bench.step()

    def refuse(batch: NewRows) -> PermanentError | None:
        is_bad = any(b'"bad"' in row.message.payload for row in batch.outbox)
        return PermanentError("store messages: not Unicode", code="not-storable") if is_bad else None

    bench.spool.refuses = refuse
    for key, name in zip(list(bench.exchanges.started), ("bad", "good"), strict=True):
        bench.exchanges.answers.append((key, classify(200, {}, orjson.dumps(workflow(name)), 0.0)))
    bench.step()
    assert [body["workflowId"] for body in bench.replies] == ["good"]
    assert (bad.acks, good.acks) == (1, 1)


def test_one_surprise_ends_one_read(bench: ReadsBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answered as internal error with a report, acknowledged; the others go on."""
    first, second = bench.ask(Operation.GET), bench.ask(Operation.GET)
    bench.step()

    def surprise(*_: object) -> None:
        raise ZeroDivisionError("nobody thought of it")

    with monkeypatch.context() as patched:
        patched.setattr("bridge.interface.operation_bodies.workflow_status", surprise)
        bench.answer(workflow("w"))
    bench.answer(workflow("w"))
    assert bench.codes == ["500", "200"]
    assert (first.acks, second.acks) == (1, 1)
    assert bench.metrics.value("internal_errors_total", where="reads") == 1.0
