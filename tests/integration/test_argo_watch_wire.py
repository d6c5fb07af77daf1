"""A watch on servers that break off, fall silent, or are no Argo Server, by bare sockets."""

from __future__ import annotations

import socket
import time

import pytest

from bridge.argo.credentials import Credentials
from bridge.argo.watch import EndReason, Heartbeat, Watch, WatchEnd, WatchFrame, WatchRequest
from tests.integration.test_argo_wire import serve
from tests.support.bare_server import BareServer, Handler, at, hold, plain
from tests.support.machine import scaled

__all__ = ["serve"]  # the fixture


def stream(*pieces: bytes, kind: str = "text/event-stream", hold_s: float = 0.0) -> Handler:
    def handle(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode())
        for piece in pieces:
            connection.sendall(piece)
        hold(connection, hold_s or 0.001)
        connection.shutdown(socket.SHUT_RDWR)

    return handle


def follow(server: BareServer, **keys: float) -> list[WatchFrame | WatchEnd]:
    watch = Watch(at(server), Credentials(None), WatchRequest("ns"), **keys)
    return [event for event in watch if isinstance(event, WatchFrame | WatchEnd)]


FRAME = b'data: {"result":{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"7"}}}} \n\n\n'


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (stream(FRAME), EndReason.CUT),
        (stream(FRAME, FRAME[:40]), EndReason.UNAVAILABLE),
        (stream(FRAME, b"data: garbage\n\n"), EndReason.UNAVAILABLE),
        (stream(FRAME, b"data: {}\n\n"), EndReason.CUT),
        (stream(FRAME, b'data: {"error":{"grpc_code":8,"http_code":429,"message":"EOF"}} \n\n'), EndReason.EOF),
        (stream(FRAME.replace(b"\n", b"\r\n")), EndReason.CUT),
        (stream(FRAME[6:], kind="application/json"), EndReason.CUT),
    ],
    ids=["cut", "cut in a frame", "garbage", "bare error", "eof", "crlf", "json lines"],
)
def test_frames_before_the_end_of_a_watch_are_given(serve, handler, reason):
    """What came whole is delivered, then one end that says why."""
    frame, end = follow(serve(handler))
    assert isinstance(frame, WatchFrame)
    assert (frame.type, frame.resource_version) == ("ADDED", "7")
    assert isinstance(end, WatchEnd)
    assert end.reason is reason


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        ("429 Too Many Requests", b'"grpc_code":8,"http_code":429,"message":"EOF"', EndReason.EOF),
        (
            "400 Bad Request",
            b'"grpc_code":3,"http_code":400,"message":"too old resource version: 5 (9)"',
            EndReason.EXPIRED,
        ),
        ("400 Bad Request", b'"grpc_code":3,"http_code":400,"message":"unable to parse"', EndReason.UNAVAILABLE),
        ("403 Forbidden", b'"grpc_code":7,"http_code":403,"message":"forbidden"', EndReason.DENIED),
    ],
)
def test_a_watch_that_ends_before_its_first_byte_says_why(serve, status, error, reason):
    """Where nothing was ever sent, what would be the last frame is the whole answer, with a status of its own."""
    (end,) = follow(serve(plain(status, b'{"error":{' + error + b"}}", "Content-Type: application/json")))
    assert isinstance(end, WatchEnd)
    assert end.reason is reason


def test_headers_that_come_with_the_first_byte_are_waited_for(serve):
    """Argo sends them up to 15 s late: until then the caller is asked again and again, and nothing is given up."""

    def late(connection: socket.socket, _request: bytes) -> None:
        hold(connection, 0.8)
        stream(FRAME)(connection, b"")

    watch = Watch(at(serve(late)), Credentials(None), WatchRequest("ns"), patience_s=0.1, silence_s=20.0)
    events = list(watch)
    waited = [event for event in events if isinstance(event, Heartbeat) and not event.is_sign_of_life]
    assert len(waited) >= 3
    assert [event for event in events if isinstance(event, WatchFrame)]


def test_a_watch_that_falls_silent_is_cut(serve):
    """A half-open connection is noticed by the missing heartbeat."""
    began_s = time.monotonic()
    frame, end = follow(serve(stream(FRAME, hold_s=3.0)), silence_s=0.5, patience_s=0.1)
    assert isinstance(end, WatchEnd)
    assert (end.reason, frame.__class__) == (EndReason.CUT, WatchFrame)
    assert time.monotonic() - began_s < scaled(2.5)


def test_heartbeats_keep_a_quiet_watch_alive(serve):
    """Comments count as life, though they are no frames."""

    def beat(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for _ in range(10):
            connection.sendall(b":\n")
            hold(connection, 0.15)
        connection.sendall(FRAME)
        connection.shutdown(socket.SHUT_RDWR)

    frame, _ = follow(serve(beat), silence_s=0.8, patience_s=0.1)
    assert isinstance(frame, WatchFrame)


def test_a_page_instead_of_a_watch_is_not_resumed_at_once(serve):
    """A wrong base path answers 200 with HTML: back off, do not spin."""
    page = plain("200 OK", b"<!doctype html>", "Content-Type: text/html")
    (end,) = follow(serve(page))
    assert isinstance(end, WatchEnd)
    assert (end.reason, end.answer.code) == (EndReason.UNAVAILABLE, "not-argo")


def test_an_endless_frame_ends_a_watch(serve):
    """Memory is bounded: the watch ends instead of growing."""
    server = serve(stream(FRAME, b"data: " + b"x" * 300_000, hold_s=3.0))
    watch = Watch(at(server), Credentials(None), WatchRequest("ns"), max_frame_bytes=100_000)
    *_, end = watch
    assert isinstance(end, WatchEnd)
    assert (end.reason, end.answer.code) == (EndReason.UNAVAILABLE, "answer-too-large")
