"""An Argo Server, or whatever answers in its place, that answers as none should.

These concern no broker: they run at one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tests.hostile.argo_front import Bytes, http, pieces
from tests.hostile.attack import TRIGGER, Attack, Expectation, Group, dead_letter, reply
from tests.hostile.stage import LINE_CONTROL, WITHIN_S, Stage, Venue
from tests.support.transport_ends import wait_until

ONE_VENUE = frozenset({Venue.ACL})
CREATE = r"^POST /api/v1/workflows/factory "
GET = r"^GET /api/v1/workflows/factory/"
LIST = r"^GET /api/v1/workflows/factory\?"
WATCH = r"^GET /api/v1/workflow-events/factory"
MIB = 1 << 20
BODY = {"submit": {"template": "inspect", "parameters": {"n": "hostile"}}}
GOOD = {"metadata": {"name": "somebody-else", "uid": "1", "resourceVersion": "7"}, "spec": {}, "status": {}}
EVENT_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def on_create(name: str, answer: Bytes, *expected: Expectation, workflows: int = 1, **keys: Any) -> Attack:
    """The create of one trigger message is answered so, the next try is passed on."""

    def act(stage: Stage) -> None:
        trap = stage.argo.set_trap(CREATE, answer)
        stage.publish(LINE_CONTROL, TRIGGER, BODY)
        wait_until(lambda: trap.hits, "the create", WITHIN_S)

    return Attack(name, act, *expected, venues=ONE_VENUE, workflows=workflows, **keys)


def retried(name: str, answer: Bytes, **keys: Any) -> Attack:
    """One workflow in the end, and the reply that it runs."""
    return on_create(name, answer, reply(200), **keys)


def refused(name: str, answer: Bytes, reason: str, code: int, **keys: Any) -> Attack:
    """The sender is told, and nothing runs."""
    return on_create(name, answer, dead_letter(reason), reply(code), workflows=0, **keys)


def on_watch(name: str, make: Callable[[], Iterable[bytes]], **keys: Any) -> Attack:
    """The next watch is answered so; status of later workflows comes all the same."""

    def act(stage: Stage) -> None:
        trap = stage.argo.set_trap(WATCH, lambda _request: make())
        stage.argo.cut()
        wait_until(lambda: trap.hits, "the watch", WITHIN_S)

    return Attack(name, act, venues=ONE_VENUE, **keys)


def on_list(name: str, answer: Bytes, **keys: Any) -> Attack:
    """The next three lists are answered so; status of later workflows comes all the same."""

    def act(stage: Stage) -> None:
        trap = stage.argo.set_trap(LIST, answer, count=3)
        # A watch that has expired makes the bridge list again.
        stage.argo.set_trap(WATCH, lambda _request: [EVENT_STREAM, EXPIRED])
        stage.argo.cut()
        wait_until(lambda: trap.hits == trap.count, "the lists", WITHIN_S)

    return Attack(name, act, venues=ONE_VENUE, **keys)


def frame(value: Any) -> bytes:
    """One frame of a watch."""
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def event(kind: Any, **keys: Any) -> bytes:
    """One frame that tells of a workflow."""
    return frame({"result": {"type": kind, "object": GOOD | keys}})


def many(head: bytes, part: bytes, times: int) -> Iterator[bytes]:
    """`head`, then `part` so often."""
    yield head
    for _ in range(times):
        yield part


EXPIRED = frame({"error": {"grpc_code": 3, "http_code": 400, "message": "too old resource version: 1 (2)"}})
NOT_OURS = json.dumps(GOOD).encode()
ERROR = json.dumps({"code": 2, "message": "it was a failure all the same"}).encode()
BIDI = json.dumps({"code": 3, "message": "\u202e\x1b[2J\x07" + "x" * 60_000}).encode()
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

GROUP = Group(
    "hostile-argo",
    (
        retried("a page in place of a create", http(b"<html>sign in</html>", content_type="text/html")),
        refused(
            "a redirect to elsewhere",
            http(b"", "302 Found", "text/html", "Location: http://evil.example/"),
            "redirected",
            502,
        ),
        refused(
            "a redirect that keeps the method",
            http(b"", "307 Temporary Redirect", "text/html", "Location: /"),
            "redirected",
            502,
        ),
        retried("a list in place of an object", http(b"[]")),
        retried("a text in place of an object", http(b'"ok"')),
        retried("somebody else's workflow", http(NOT_OURS)),
        retried("200 with an error in it", http(ERROR)),
        retried("an object of the wrong types", http(b'{"metadata": [], "status": 7}')),
        refused("a refusal of 60,000 characters that turn", http(BIDI, "400 Bad Request"), "invalid-workflow", 400),
        retried("an answer cut in the middle", pieces(NOT_OURS[:20], length=len(NOT_OURS))),
        retried("an answer without an end", pieces(NOT_OURS[:20])),
        retried("nothing", lambda _request: []),
        retried("a status line of nobody's", lambda _request: [b"HTTP/1.1 999\r\n\r\n"]),
        retried("a chunk of minus one byte", lambda _request: [CHUNKED, b"-1\r\n{}\r\n0\r\n\r\n"]),
        retried("chunks that end nowhere", lambda _request: [CHUNKED, b"ffffffff\r\n{"]),
        retried(
            "429 that asks to wait for ever",
            http(b"slow down", "429 Too Many Requests", "text/plain", "Retry-After: -99999999999999999999"),
        ),
        retried("503 with a date of nobody's", http(b"", "503 Service Unavailable", "text/plain", "Retry-After: soon")),
        retried(
            "409 of a workflow that is not there", http(b'{"code": 6, "message": "already exists"}', "409 Conflict")
        ),
        retried("10,000 headers", lambda _request: many(b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n", 10_000)),
        retried("a header of 2 MiB", lambda _request: [b"HTTP/1.1 200 OK\r\nX-A: ", b"x" * (2 * MIB), b"\r\n\r\n"]),
        on_watch("a watch that ends at once", list),
        on_watch("a watch that is a page", lambda: [EVENT_STREAM, b"<html></html>"]),
        on_watch("a watch of 100,000 comments", lambda: many(EVENT_STREAM, b":\n\n" * 1000, 100)),
        on_watch("frames that are no JSON", lambda: many(EVENT_STREAM, b"data: {\n\n", 100)),
        on_watch("frames of 90,000 levels", lambda: [EVENT_STREAM, frame(b"[" * 90_000 + b"]" * 90_000)]),
        on_watch("frames without an object", lambda: [EVENT_STREAM, frame({"result": {"type": "ADDED"}}), frame(b"7")]),
        on_watch("frames of an unknown type", lambda: [EVENT_STREAM, event("EXPLODED"), event(7), event(None)]),
        on_watch(
            "objects without a name", lambda: [EVENT_STREAM, event("ADDED", metadata={}), event("DELETED", metadata=7)]
        ),
        on_watch("a uid that is a list", lambda: [EVENT_STREAM, event("ADDED", metadata={"name": "a", "uid": [1]})]),
        on_watch(
            "a name that is a path", lambda: [EVENT_STREAM, event("MODIFIED", metadata={"name": "../#", "uid": "1"})]
        ),
        on_watch(
            "a resource version that is an object",
            lambda: [EVENT_STREAM, event("BOOKMARK", metadata={"resourceVersion": {"a": 1}})],
        ),
        on_watch(
            "a status of the wrong types", lambda: [EVENT_STREAM, event("ADDED", status={"phase": 1, "nodes": [1]})]
        ),
        on_watch(
            "our marks with the wrong types",
            lambda: [
                EVENT_STREAM,
                event(
                    "ADDED",
                    metadata={
                        "name": "a",
                        "uid": "1",
                        "labels": {"argo-bridge/bridge": "plant-1"},
                        "annotations": {"argo-bridge/event": "zz", "argo-bridge/status-topic": "a/+/#"},
                    },
                ),
            ],
        ),
        on_list("lists without a resource version", http(b'{"metadata": {}, "items": null}')),
        on_list("lists of nothing", http(b'{"metadata": {"resourceVersion": "1"}, "items": [null, 7, "a", {}]}')),
        on_list("lists that are pages", http(b"<html></html>", content_type="text/html")),
    ),
)
