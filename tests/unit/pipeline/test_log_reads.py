"""Logs are told by their last lines, or followed as they come, within bounds."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from reads_fakes import ReadsBench

from bridge.interface.operations import Operation
from bridge.pipeline.reads.logs import FIRST_S, FOLLOW_S, MAX_FOLLOWED_BYTES
from bridge.pipeline.reads.reader import SILENCE_S


@pytest.fixture
def bench(tmp_path: Path) -> ReadsBench:
    """Reads that nobody has asked for anything."""
    return ReadsBench(tmp_path)


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


def test_a_followed_log_comes_in_several_replies(bench: ReadsBench) -> None:
    """Lines as they come; the last says that no more will; acknowledged with the first."""
    delivery = bench.follow()
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
    delivery = bench.follow()
    bench.run_s(FIRST_S + 1)
    assert (delivery.acks, [body["lines"] for body in bench.replies]) == (1, [[]])


def test_following_ends_in_time_by_size_and_by_silence(bench: ReadsBench) -> None:
    """After ten minutes, after as much as one request is told, and when Argo is not heard any more."""
    bench.follow()
    for _ in range(int(FOLLOW_S) // 20 + 1):
        if not bench.exchanges.started:
            break
        bench.hear("still here")
        bench.run_s(20)
    assert bench.replies[-1]["ended"] == "time-limit"
    bench.follow()
    while bench.exchanges.started:
        bench.hear("x" * 100_000)
        bench.step()
    assert bench.replies[-1]["ended"] == "too-much"
    told = sum(len(line["text"]) for body in bench.replies for line in body["lines"])
    assert told <= MAX_FOLLOWED_BYTES + 200_000
    bench.follow()
    bench.run_s(SILENCE_S + 2)
    assert "sent nothing" in bench.replies[-1]["error"]
