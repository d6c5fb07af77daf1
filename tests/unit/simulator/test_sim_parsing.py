"""The HTTP parser: any cut of the bytes gives the same requests, and no bytes break it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.simulator.http.parsing import MalformedRequestError, RequestParser

TWO = (
    b"POST /api/v1/workflows/argo?a=1&a=2&b=%2F HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n"
    b"\r\nGET /c%20d HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
)


def parse(pieces: list[bytes], max_body: int = 1000) -> list[tuple[str, str, bytes, int]]:
    """Feed pieces one after the other; what comes out."""
    parser = RequestParser(max_body)
    found = []
    for piece in pieces:
        parser.feed(piece)
        while (request := parser.next_request()) is not None:
            found.append((request.method, request.path, request.body, request.body_bytes))
    return found


def parsed_or_status(pieces: list[bytes]) -> str | int:
    """What becomes of some bytes: they are parsed, or refused with a status."""
    try:
        parse(pieces)
    except MalformedRequestError as error:
        return error.status
    return "parsed"


WANTED = [
    ("POST", "/api/v1/workflows/argo", b"hello", 5),
    ("POST", "/b", b"abcde", 5),
    ("GET", "/c d", b"", 0),
]


@given(st.lists(st.integers(0, len(TWO)), max_size=12).map(sorted))
def test_requests_do_not_depend_on_how_bytes_arrive(cuts: list[int]) -> None:
    """Requests with a length, in chunks, and without a body come out whole, however the bytes are cut."""
    bounds = [0, *cuts, len(TWO)]
    assert parse([TWO[a:b] for a, b in pairwise(bounds)]) == WANTED


@given(st.binary(max_size=300))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    """Any bytes give requests, a wish for more, or MalformedRequestError."""
    for prefix in (b"", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"):
        assert parsed_or_status([prefix, data]) in ("parsed", 400, 431, 501, 505)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", 400),
        (b"GET /" + b"a" * 70_000, 431),
    ],
)
def test_what_is_no_request_is_refused(data: bytes, status: int) -> None:
    """Each way of being malformed has its status."""
    with pytest.raises(MalformedRequestError) as caught:
        parse([data])
    assert caught.value.status == status


def test_a_body_that_is_too_large_is_counted_but_not_kept() -> None:
    """The size is told, the memory is not taken, and the next request is read."""
    data = b"POST /a HTTP/1.1\r\nContent-Length: 50\r\n\r\n" + b"x" * 50 + b"GET /b HTTP/1.1\r\n\r\n"
    assert parse([data], max_body=10) == [("POST", "/a", b"", 50), ("GET", "/b", b"", 0)]


def test_a_client_that_waits_for_100_continue_is_noticed() -> None:
    """`Expect: 100-continue` is told before the body has come."""
    parser = RequestParser()
    parser.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert parser.next_request() is None
    assert parser.wants_continue


def test_the_first_value_of_a_parameter_wins() -> None:
    """Repeated parameters count once, and values are decoded."""
    parser = RequestParser()
    parser.feed(TWO)
    request = parser.next_request()
    assert request is not None
    assert request.params == {"a": "1", "b": "/"}
