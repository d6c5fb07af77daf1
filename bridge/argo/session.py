"""One `requests` session to the Argo Server: takes a request, gives an `Answer`, whatever happens.

Retries nothing, follows no redirect, keeps no cookie, asks no proxy and no ``.netrc``: the Argo Server stands beside
the bridge as a rule, and a proxy meant for browsers would see the token.

Thread: one call at a time, in the caller's; `cut` from any.
"""

from __future__ import annotations

import http.client
import ssl
import sys
import time
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy

import requests
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.util import SKIP_HEADER

from bridge import __version__
from bridge.argo.errors import Answer, Fault, classify, failure, named
from bridge.argo.handles import HttpRequest
from bridge.argo.line import Line, LineAdapter
from bridge.argo.options import ArgoOptions
from bridge.argo.trust import Trust

_PIECE = 64 * 1024


class ArgoSession(requests.Session):
    """A session with one kept-alive connection.

    Attributes:
        line: time and socket of the call under way.
    """

    def __init__(self, options: ArgoOptions, trust: Trust) -> None:
        """Open nothing yet."""
        super().__init__()
        self._options = options
        self.line = Line(trust, options.connect_timeout_s)
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.adapters.clear()
        adapter = LineAdapter(options, self.line)
        self.mount("http://", adapter)
        self.mount("https://", adapter)
        self.headers.clear()
        self.headers.update(
            {
                # Compared for exact equality by Argo (docs/design/argo-server.md, Watch).
                "Accept": "application/json",
                "Accept-Encoding": SKIP_HEADER,
                "Content-Type": "application/json",
                "User-Agent": f"argo-bridge/{__version__}",
            }
        )

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002  # the signature of `requests`
        """Return None: even unfollowed, `requests` would read a redirect's body without bound to prepare the next."""
        return None

    def answer(self, request: HttpRequest, authorization: str) -> Answer:
        """Send one request and return what came of it; raises for nothing that a server or a network can do.

        Args:
            request: what to send; its body is read into memory up to `ArgoOptions.max_answer_bytes`.
            authorization: value of the header, or "".
        """
        began_s = time.monotonic()
        outer = sys.exception()
        self.line.begin(request.timeout_s or self._options.timeout_s)
        try:
            status, headers, body = self._exchange(request, authorization)
        except (requests.RequestException, HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            fault, reason = fault_of(error, is_sent=self.line.is_sent, outer=outer)
            return self._failure(fault, reason, time.monotonic() - began_s)
        elapsed_s = time.monotonic() - began_s
        if self.line.is_cut:
            # A body without a length seems whole when its connection is shut down.
            return self._failure(Fault.STOPPED, "given up", elapsed_s)
        answer = classify(status, headers, body, time.time(), elapsed_s)
        return named(answer, request.expects) if request.expects else answer

    def _exchange(self, request: HttpRequest, authorization: str) -> tuple[int, dict[str, str], bytes]:
        response = self.request(
            request.method,
            self._options.base_url + request.path,
            data=request.body,
            headers={"Authorization": authorization} if authorization else None,
            allow_redirects=False,
            stream=True,
        )
        with response:
            raw: BaseHTTPResponse = response.raw
            headers: dict[str, str] = {}
            for name, value in raw.headers.iteritems():
                headers.setdefault(name.lower(), value)
            return raw.status, headers, self._body(raw)

    def _body(self, raw: BaseHTTPResponse) -> bytes:
        pieces: list[bytes] = []
        size = 0
        # Not `iter_content`: it unpacks what nobody asked to be packed, and reads a chunk's head without bound.
        while piece := raw.read(_PIECE, decode_content=False):
            size += len(piece)
            if size > self._options.max_answer_bytes:
                raise _AnswerTooLargeError(f"the answer has over {self._options.max_answer_bytes} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def _failure(self, fault: Fault, reason: str, elapsed_s: float) -> Answer:
        if self.line.is_cut:
            fault, reason = Fault.STOPPED, "the bridge is stopping"
        sent = self.line.is_sent and fault is not Fault.TLS
        return failure(fault, f"{self._options.place}: {reason}", sent=sent, elapsed_s=elapsed_s)


class _AnswerTooLargeError(ValueError):
    """Ends the reading of an answer."""


# Exceptions of the libraries, which say less than their causes do (`requests`' own are OSErrors).
_WRAPPERS = (requests.RequestException, HTTPError)

# The server refuses our certificate, or that we have none; TLS 1.3 says so after the handshake.
_REFUSALS = ("certificate", "unknown ca")


def fault_of(error: BaseException, *, is_sent: bool, outer: BaseException | None = None) -> tuple[Fault, str]:
    """Return which fault an exception of `requests` stands for, and the text of its cause. Pure.

    Args:
        error: as raised, with its chain of causes.
        is_sent: whether any of the request may have left; what failed before is an outage or TLS.
        outer: what the caller was handling meanwhile; Python counts it among the causes, and it is none.
    """
    reason = _text(error)
    for cause in _causes(error, outer):
        if isinstance(cause, _AnswerTooLargeError):
            return Fault.TOO_LARGE, str(cause)
        if isinstance(cause, ssl.SSLError):
            return _tls_fault(cause, is_sent=is_sent), _text(cause)
        if isinstance(cause, TimeoutError):
            return (Fault.TIMEOUT if is_sent else Fault.UNREACHABLE), _text(cause)
        if isinstance(cause, http.client.HTTPException | OSError) and not isinstance(cause, _WRAPPERS):
            reason = _text(cause)
            if _is_no_http(cause):
                return Fault.NOT_HTTP, f"answered something else than HTTP: {reason}"
    return (Fault.CUT if is_sent else Fault.UNREACHABLE), reason


def _causes(error: BaseException, outer: BaseException | None) -> Iterator[BaseException]:
    """Give the exception and all that led to it; urllib3 keeps some causes as an argument only."""
    seen = {id(outer)}
    waiting: list[object] = [error]
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [current.__cause__, current.__context__, *current.args]


def _tls_fault(error: ssl.SSLError, *, is_sent: bool) -> Fault:
    if is_sent:
        text = str(error).lower()
        is_refusal = "alert" in text and any(mark in text for mark in _REFUSALS)
        return Fault.TLS if is_refusal else Fault.CUT
    # A handshake that was cut is an outage (a server that restarts), not a certificate.
    is_cut = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError)
    return Fault.UNREACHABLE if is_cut else Fault.TLS


def _is_no_http(error: Exception) -> bool:
    """Whether another protocol answered, rather than HTTP that ends in its first line."""
    if isinstance(error, http.client.BadStatusLine) and not isinstance(error, http.client.RemoteDisconnected):
        line = str(error.args[0])
        return line.endswith("\n") or not (line.startswith("HTTP/") or "HTTP/".startswith(line))
    return isinstance(error, http.client.UnknownProtocol)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
