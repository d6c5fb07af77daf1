"""Reads are answered or failed at once, and acknowledged when their answer is safe, whatever Argo and the spool do."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import orjson
import pytest
from dispatch_fakes import error_answer
from pipeline_fakes import TOPICS, FakeDelivery, FlakySpool

from bridge.argo.errors import Answer, Fault, classify, failure
from bridge.argo.exchanges import HttpRequest
from bridge.core.clock import FakeClock
from bridge.core.metrics import Metrics
from bridge.core.model import Message, ReplyAddress
from bridge.core.report import ReportWriter
from bridge.interface.operation_options import SPECS
from bridge.interface.operations import Operation
from bridge.pipeline.log_reads import FIRST_S, FOLLOW_S, MAX_FOLLOWED_BYTES
from bridge.pipeline.operation_intake import Read
from bridge.pipeline.read_plans import LIMIT_S
from bridge.pipeline.reads import MAX_AT_ONCE, MAX_FOLLOWED, SILENCE_S, Reads, ReadsParts
from bridge.pipeline.refusals import Refusals


class ScriptedExchanges:
    """Exchanges whose answers a test gives.

    started: what is under way, by key.
    requests: all that was ever asked.
    given_up: keys that were given up.
    is_still: no time passes.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.started: dict[Hashable, tuple[HttpRequest, Callable[[bytes], None] | None]] = {}
        self.requests: list[HttpRequest] = []
        self.given_up: list[Hashable] = []
        self.answers: list[tuple[Hashable, Answer]] = []
        self.is_closed = False
        self.is_still = False

    def start(self, key: Hashable, request: HttpRequest, sink: Callable[[bytes], None] | None = None) -> None:
        """Begin one exchange."""
        self.started[key] = (request, sink)
        self.requests.append(request)

    def poll(self, timeout_s: float) -> list[tuple[Hashable, Answer]]:
        """Give what the test has answered, or let the time pass."""
        if not self.answers and not self.is_still:
            self._clock.advance(timeout_s)
        ended, self.answers = self.answers, []
        for key, _ in ended:
            self.started.pop(key, None)
        return ended

    def give_up(self, key: Hashable) -> None:
        """End one exchange."""
        if self.started.pop(key, None) is not None:
            self.given_up.append(key)

    def interrupt(self) -> None:
        """Nobody sleeps."""

    def wake(self) -> None:
        """Nobody sleeps."""

    def close(self) -> None:
        """The end."""
        self.is_closed = True


class ReadsBench:
    """Reads without their thread, and everything they use; `max_bytes` is what the broker takes."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.spool = FlakySpool(self.clock)
        self.exchanges = ScriptedExchanges(self.clock)
        self.metrics = Metrics()
        self.max_bytes = 256 * 1024
        self.outbox_calls = 0
        self.reads = Reads(
            ReadsParts(
                spool=self.spool,  # type: ignore[arg-type]  # the real one, with a switch
                exchanges=self.exchanges,  # type: ignore[arg-type]  # a fake
                refusals=Refusals(TOPICS, self.metrics, self.clock),
                metrics=self.metrics,
                reports=ReportWriter(folder),
                clock=self.clock,
                max_publish_bytes=lambda _name: self.max_bytes,
                on_outbox=self._outbox,
            )
        )

    def _outbox(self) -> None:
        self.outbox_calls += 1

    def ask(self, operation: Operation, name: str = "w", **options: Any) -> FakeDelivery:
        """Submit one request; its delivery tells whether it was acknowledged."""
        delivery = FakeDelivery(Message("plant", f"argo/workflows/{operation.value}", b"{}", qos=1))
        defaults = {option.key: option.default for option in SPECS[operation].options if option.default is not None}
        address = ReplyAddress("plant", "answers", b"c", '"r"')
        read = Read(operation, "factory", name, defaults | options, delivery.message, address)
        assert self.reads.reserve(read)
        self.reads.submit(read, delivery.ack)
        return delivery

    def step(self, times: int = 1) -> None:
        """Some turns."""
        for _ in range(times):
            self.reads.step()

    def run_s(self, seconds: float) -> None:
        """Turns until the time has passed."""
        until_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < until_s:
            self.reads.step()

    def answer(self, answer: Answer | dict[str, Any], place: int = 0) -> None:
        """Answer one of the exchanges that are under way, the oldest unless told otherwise."""
        key = list(self.exchanges.started)[place]
        ok = classify(200, {}, orjson.dumps(answer), 0.0) if isinstance(answer, dict) else answer
        self.exchanges.answers.append((key, ok))
        self.step()

    def hear(self, *lines: str) -> None:
        """Let the oldest stream bring lines."""
        _, sink = next(iter(self.exchanges.started.values()))
        assert sink is not None
        for line in lines:
            sink(b"data: " + orjson.dumps({"result": {"podName": "p", "content": line}}) + b" \n\n")

    @property
    def replies(self) -> list[dict[str, Any]]:
        """All bodies that were told."""
        rows = [row for _, row in self.spool.real.outbox("plant", 0, 10_000)]
        return [orjson.loads(row.message.payload) for row in rows if row.message.topic == "answers"]

    @property
    def codes(self) -> list[str]:
        """Their codes."""
        rows = [row for _, row in self.spool.real.outbox("plant", 0, 10_000)]
        return [dict(row.message.user)["code"] for row in rows if row.message.topic == "answers"]

    def reasons(self) -> dict[str, int]:
        """Dead letters by reason."""
        return {one.letter.reason: one.count for one in self.spool.real.dead_letters()}


@pytest.fixture
def bench(tmp_path: Path) -> ReadsBench:
    """Reads that nobody has asked for anything."""
    return ReadsBench(tmp_path)


def workflow(name: str, created: str = "2026-11-24T14:00:00Z", **status: Any) -> dict[str, Any]:
    """A workflow as Argo lists it."""
    metadata = {"name": name, "namespace": "factory", "uid": f"u-{name}", "creationTimestamp": created}
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Running", "progress": "1/2"} | status}


def listed(*items: dict[str, Any]) -> dict[str, Any]:
    """The answer to a list."""
    return {"metadata": {"resourceVersion": "5"}, "items": list(items) or None}


def test_a_workflow_is_told_with_its_last_known_status(bench: ReadsBench) -> None:
    """The object as Argo has it, the five keys of a status message, requestId; then it is acknowledged."""
    delivery = bench.ask(Operation.GET)
    bench.step()
    assert delivery.acks == 0
    bench.answer(workflow("w"))
    assert bench.replies == [
        {
            "status": "Workflow read successfully",
            "workflowId": "w",
            "workflow": workflow("w"),
            "workflowStatus": {
                "namespace": "factory",
                "workflowId": "w",
                "status": "Running",
                "progress": "50%",
                "message": "",
            },
            "requestId": "r",
        }
    ]
    assert (delivery.acks, bench.codes, bench.outbox_calls, bench.reasons()) == (1, ["200"], 1, {})


def test_a_workflow_that_is_too_large_is_told_in_part(bench: ReadsBench) -> None:
    """It fits the packet, and says what is missing."""
    bench.max_bytes = 4096
    bench.ask(Operation.GET)
    bench.step()
    bench.answer(workflow("w", nodes={str(n): {"displayName": "x" * 100} for n in range(100)}))
    (row,) = [row for _, row in bench.spool.real.outbox("plant", 0, 10)]
    assert len(row.message.payload) <= 4096
    (body,) = bench.replies
    assert body["details"] == {"truncated": True, "leftOut": ["status.nodes"]}
    assert body["workflow"]["status"]["phase"] == "Running"


def test_fields_and_uid_are_looked_at_by_the_bridge(bench: ReadsBench) -> None:
    """Only what was asked for, without making the status wrong; another uid is another workflow."""
    bench.ask(Operation.GET, fields="metadata.name", uid="u-w")
    bench.step()
    bench.answer(workflow("w"))
    bench.ask(Operation.GET, uid="other")
    bench.step()
    bench.answer(workflow("w"))
    good, bad = bench.replies
    assert good["workflow"] == {"metadata": {"name": "w"}}
    assert good["workflowStatus"]["status"] == "Running"
    assert "another uid" in bad["error"]
    assert bench.codes == ["200", "404"]


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
def test_a_read_that_fails_is_told_at_once(bench: ReadsBench, answer: Answer, code: str, reason: str) -> None:
    """Reply, dead letter and acknowledgement; nothing is tried again."""
    delivery = bench.ask(Operation.GET)
    bench.step()
    bench.answer(answer)
    assert (bench.codes, list(bench.reasons()), delivery.acks) == ([code], [reason], 1)
    assert len(bench.exchanges.requests) == 1


@pytest.mark.parametrize(
    ("operation", "options"),
    [
        (Operation.GET, {}),
        (Operation.LIST, {}),
        (Operation.LINT, {"workflow": {"spec": {}}}),
        (Operation.LOGS, {}),
        (Operation.LOGS, {"follow": True}),
        (Operation.LIST_TEMPLATES, {}),
        (Operation.GET_TEMPLATE, {}),
    ],
)
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


def test_a_list_goes_on_where_it_ended_whatever_comes_and_goes(bench: ReadsBench) -> None:
    """Newest first, page by page; a new workflow and a deleted one in between skip nobody and double nobody."""
    items = [workflow(f"w{number}", f"2026-11-24T14:00:{number:02}Z") for number in range(5)]
    bench.ask(Operation.LIST, limit=2)
    bench.step()
    bench.answer(listed(*items))
    (first,) = bench.replies
    assert [one["workflowId"] for one in first["workflows"]] == ["w4", "w3"]
    bench.ask(Operation.LIST, limit=2, **{"continue": first["continue"]})
    bench.step()
    bench.answer(listed(workflow("newer", "2026-11-24T15:00:00Z"), *items[:3], items[4]))
    second = bench.replies[1]
    assert [one["workflowId"] for one in second["workflows"]] == ["w2", "w1"]
    bench.ask(Operation.LIST, limit=2, **{"continue": second["continue"]})
    bench.step()
    bench.answer(listed(*items))
    last = bench.replies[2]
    assert [one["workflowId"] for one in last["workflows"]] == ["w0"]
    assert "continue" not in last


def test_a_list_is_filtered_and_fits(bench: ReadsBench) -> None:
    """Phase, prefix and times; cut where the packet is full, with a continue that goes on there."""
    items = [workflow(f"a{n:03}", f"2026-11-24T14:{n // 60:02}:{n % 60:02}Z", message="x" * 200) for n in range(100)]
    items.append(workflow("b", phase="Failed"))
    items.append(workflow("a-failed", phase="Failed", finishedAt="2026-11-24T14:00:00Z"))
    bench.max_bytes = 4096
    seen: list[str] = []
    more: dict[str, Any] = {}
    for _ in range(100):
        bench.ask(Operation.LIST, phase=["Running"], prefix="a", limit=500, **more)
        bench.step()
        bench.answer(listed(*items))
        body = bench.replies[-1]
        seen += [one["workflowId"] for one in body["workflows"]]
        if "continue" not in body:
            break
        more = {"continue": body["continue"]}
        assert body["details"] == {"truncated": True}
    assert seen == [f"a{n:03}" for n in reversed(range(100))]
    assert all(len(row.message.payload) <= 4096 for _, row in bench.spool.real.outbox("plant", 0, 1000))


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"createdAfter": 1795528800.0}, ["late"]),
        ({"finishedBefore": 1795528900.0}, ["early"]),
        ({"phase": ["Succeeded"]}, ["early"]),
    ],
)
def test_a_list_is_filtered_by_time(bench: ReadsBench, options: dict[str, Any], names: list[str]) -> None:
    """What has no such time is not meant."""
    early = workflow("early", "2026-11-24T13:00:00Z", phase="Succeeded", finishedAt="2026-11-24T14:01:00Z")
    bench.ask(Operation.LIST, **options)
    bench.step()
    bench.answer(listed(workflow("late", "2026-11-24T14:00:01Z", finishedAt=None), early))
    assert [one["workflowId"] for one in bench.replies[0]["workflows"]] == names


def test_a_list_without_resource_version_is_an_error(bench: ReadsBench) -> None:
    """A server whose mirror is empty does not make the plant look empty."""
    bench.ask(Operation.LIST)
    bench.step()
    bench.answer({"metadata": {}, "items": None})
    assert bench.codes == ["503"]


def test_a_foreign_continue_is_refused(bench: ReadsBench) -> None:
    """By a sentence, without asking Argo."""
    delivery = bench.ask(Operation.LIST, **{"continue": "100"})
    bench.step()
    assert "continue is none" in bench.replies[0]["error"]
    assert (bench.codes, delivery.acks, bench.exchanges.requests) == (["400"], 1, [])


def test_templates_are_listed_by_name(bench: ReadsBench) -> None:
    """With what somebody who triggers one must know."""
    bench.ask(Operation.LIST_TEMPLATES, prefix="inspect")
    bench.step()
    found = [
        {"metadata": {"name": name, "uid": name}, "spec": {"entrypoint": "m"}}
        for name in ("x", "inspect-b", "inspect-a")
    ]
    bench.answer(listed(*found))
    assert bench.replies[0]["templates"] == [
        {"template": "inspect-a", "entrypoint": "m"},
        {"template": "inspect-b", "entrypoint": "m"},
    ]


def test_a_template_is_told_as_argo_has_it(bench: ReadsBench) -> None:
    """Its manifest, without what only Kubernetes wants to know."""
    bench.ask(Operation.GET_TEMPLATE, "t")
    bench.step()
    bench.answer({"metadata": {"name": "t", "managedFields": [1]}, "spec": {"entrypoint": "m"}})
    assert bench.replies[0]["template"] == "t"
    assert bench.replies[0]["manifest"] == {"metadata": {"name": "t"}, "spec": {"entrypoint": "m"}}


def test_what_a_lint_finds_is_an_invalid_workflow(bench: ReadsBench) -> None:
    """Argo answers 500 with code 2 for it, as for nothing else; other failures stay what they are."""
    for answer in (error_answer(500, 2, "template name 'x' undefined"), error_answer(500, 13, "etcd is away")):
        bench.ask(Operation.LINT, "", workflow={"spec": {}})
        bench.step()
        bench.answer(answer)
    found, failed = bench.replies
    assert found["error"] == "Invalid workflow definition: template name 'x' undefined"
    assert failed["error"] == "etcd is away"
    assert bench.codes == ["400", "503"]


def test_the_last_lines_are_told(bench: ReadsBench) -> None:
    """The last `tailLines` of all pods together, in one reply."""
    bench.ask(Operation.LOGS, tailLines=2)
    bench.step()
    bench.hear("one", "two", "three")
    bench.answer({})
    assert bench.replies[0]["lines"] == [{"pod": "p", "text": "two"}, {"pod": "p", "text": "three"}]
    assert bench.replies[0]["more"] is False
    assert "details" not in bench.replies[0]


def test_lines_that_do_not_fit_give_way_to_the_last(bench: ReadsBench) -> None:
    """The newest are kept, and it is said."""
    bench.max_bytes = 4096
    bench.ask(Operation.LOGS, tailLines=1000)
    bench.step()
    bench.hear(*(f"{number:04} {'x' * 95}" for number in range(500)))
    bench.answer({})
    (body,) = bench.replies
    assert body["details"] == {"truncated": True}
    assert body["lines"][-1]["text"].startswith("0499")
    assert len(body["lines"]) > 20
    assert len(orjson.dumps(body)) <= 4096


def test_a_log_that_breaks_off_is_an_error(bench: ReadsBench) -> None:
    """An error frame, or a status, is told as what it is."""
    bench.ask(Operation.LOGS)
    bench.step()
    _, sink = next(iter(bench.exchanges.started.values()))
    assert sink is not None
    sink(b'data: {"error":{"http_code":403,"grpc_code":7,"message":"pods is forbidden"}} \n\n')
    bench.answer({})
    assert bench.replies[0]["error"].startswith("pods is forbidden")


def follow(bench: ReadsBench) -> FakeDelivery:
    """A log that is followed, its workflow found."""
    delivery = bench.ask(Operation.LOGS, follow=True)
    bench.step()
    bench.answer(workflow("w"), -1)
    return delivery


def test_a_followed_log_comes_in_several_replies(bench: ReadsBench) -> None:
    """Lines as they come; the last says that no more will; acknowledged with the first."""
    delivery = follow(bench)
    assert bench.replies == []
    bench.hear("one")
    bench.step()
    assert delivery.acks >= 1
    bench.run_s(2)
    bench.hear("two", "three")
    bench.run_s(2)
    bench.hear("four")
    bench.answer({})
    lines = [[line["text"] for line in body["lines"]] for body in bench.replies]
    assert lines == [["one"], ["two", "three"], ["four"], []]
    assert [body["more"] for body in bench.replies] == [True, True, True, False]
    assert {body["requestId"] for body in bench.replies} == {"r"}


def test_a_silent_follower_is_answered_and_acknowledged_soon(bench: ReadsBench) -> None:
    """Without a line too: what comes behind it at the broker must not wait for one."""
    delivery = follow(bench)
    bench.run_s(FIRST_S + 1)
    assert (delivery.acks, [body["lines"] for body in bench.replies]) == (1, [[]])


def test_following_ends_in_time_by_size_and_by_silence(bench: ReadsBench) -> None:
    """After ten minutes, after as much as one request is told, and when Argo is not heard any more."""
    follow(bench)
    for _ in range(int(FOLLOW_S) // 20 + 1):
        if not bench.exchanges.started:
            break
        bench.hear("still here")
        bench.run_s(20)
    assert bench.replies[-1]["ended"] == "time-limit"
    follow(bench)
    while bench.exchanges.started:
        bench.hear("x" * 100_000)
        bench.step()
    assert bench.replies[-1]["ended"] == "too-much"
    told = sum(len(line["text"]) for body in bench.replies for line in body["lines"])
    assert told <= MAX_FOLLOWED_BYTES + 200_000
    follow(bench)
    bench.run_s(SILENCE_S + 2)
    assert "nothing was heard" in bench.replies[-1]["error"]


def test_a_stop_ends_what_is_under_way_with_replies(bench: ReadsBench) -> None:
    """A follower hears its end; a read that had no answer yet is failed; both are acknowledged."""
    followed = follow(bench)
    bench.hear("one")
    bench.step()
    asked = bench.ask(Operation.GET)
    bench.exchanges.is_still = True
    bench.reads.start()
    assert bench.reads.stop(30.0)
    *_, ended, failed = bench.replies
    assert (ended["more"], ended["ended"]) == (False, "bridge-stopping")
    assert "stopping" in failed["error"]
    assert (followed.acks > 0, asked.acks) == (True, 1)
    assert bench.exchanges.is_closed


def test_only_so_many_at_once(bench: ReadsBench) -> None:
    """A place is taken before a read is submitted, and given back with its last reply."""
    for _ in range(MAX_FOLLOWED):
        follow(bench)
    address = ReplyAddress("plant", "answers")
    message = Message("plant", "argo/workflows/get", b"{}")
    get = Read(Operation.GET, "factory", "w", {}, message, address)
    another = Read(Operation.LOGS, "factory", "w", {"follow": True}, message, address)
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
