"""One libcurl easy handle: configured from `ArgoOptions`, loaded with a request, read as an `Answer`.

Decides everything about TLS, proxies, protocols and limits. Drives nothing (`exchanges` does). One owner at a time:
whoever runs the transfer.

Ignores proxies from the environment and ``.netrc``: the Argo Server is usually close to the bridge, and a proxy meant
for browsers would see the token. Always HTTP/1.1: Argo 3.5 treats HTTP/2 as gRPC (docs/design/argo-server.md).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import pycurl

from bridge import __version__
from bridge.argo.errors import Answer, AnswerKind, Fault, classify, failure, is_named, named
from bridge.argo.options import ArgoOptions, system_ca_file
from bridge.core.errors import cut
from bridge.core.foreign import conceal_bytes
from bridge.core.record import record

_SSE = "text/event-stream"
_CA_CACHE_TIMEOUT = 321  # CURLOPT_CA_CACHE_TIMEOUT, libcurl 7.87; pycurl has no name for it


@record(frozen=True, slots=True)
class HttpRequest:
    """One request to the Argo Server.

    Attributes:
        method: GET, POST, PUT or DELETE.
        path: from ``/api``, with its query; the base path of `ArgoOptions.url` is put before it.
        body: JSON bytes, or None.
        timeout_s: seconds for the whole exchange; None = `ArgoOptions.timeout_s`.
        expects: ``metadata.name`` that the object of a 200 must have, "" = any. Other servers also answer 200 with
            JSON, and an event must not count as submitted because of that.
        is_read: False: of a 200 with the expected name nothing else is needed, and `Answer.body` may be None.
    """

    method: str
    path: str
    body: bytes | None = None
    timeout_s: float | None = None
    expects: str = ""
    is_read: bool = True


Sink = Callable[[bytes], None]
SMALL_ANSWER_BYTES = 256 * 1024


@dataclass(slots=True)
class Held:
    """Size of all response data that the handles of one owner hold now, in bytes."""

    size_bytes: int = 0


class Handle:
    """A reusable easy handle with its buffers.

    Args:
        options: where the server is.
        held: shared by the handles of one owner. While their responses exceed `ArgoOptions.max_held_bytes`, each one
            that is not small is given up as too large, as is always one over `ArgoOptions.max_answer_bytes`.

    Attributes:
        curl: the libcurl handle, for whoever drives it.
    """

    def __init__(self, options: ArgoOptions, held: Held) -> None:
        self._options = options
        self._base_url = options.url
        self._held = held
        self._is_too_large = False
        self._body: list[bytes] = []
        self._size = 0
        self._headers: list[bytes] = []
        self._sink: Sink | None = None
        self._expects = ""
        self._is_read = True
        self._method = ""
        self._shape: tuple[str, str] | None = None
        self._path = ""
        self._timeout_s = 0.0
        self.curl = pycurl.Curl()
        _configure(self.curl, options)
        self.curl.setopt(pycurl.WRITEFUNCTION, self._on_body)
        # No Python method here: five calls per response are noticeable on the hot path. libcurl limits headers itself
        # (300 KiB).
        self.curl.setopt(pycurl.HEADERFUNCTION, self._headers.append)

    def close(self) -> None:
        """Free the handle, and its connection if that is its own."""
        self._let_go()
        self.curl.close()

    def _let_go(self) -> list[bytes]:
        body, self._body = self._body, []
        self._held.size_bytes -= self._size
        self._size = 0
        return body

    def load(self, request: HttpRequest, authorization: str, sink: Sink | None = None) -> None:
        """Make `request` the next transfer.

        Args:
            request: what to send.
            authorization: value of the header, or "".
            sink: receives the body of a 200 piece by piece (a stream: no limit in time or size); without it the body is
                kept for `answer`.
        """
        self._let_go()
        self._is_too_large = False
        self._headers.clear()
        self._sink, self._expects, self._is_read = sink, request.expects, request.is_read
        self._set_method(request.method)
        self._set_headers(authorization, "application/json" if sink is None else _SSE)
        curl = self.curl
        if request.path != self._path:
            self._path = request.path
            curl.setopt(pycurl.URL, self._base_url + request.path)
        if request.method in ("POST", "PUT"):
            curl.setopt(pycurl.POSTFIELDS, request.body or b"")
        # If a kept connection has died, libcurl sends a request again by itself; these may not be repeated unnoticed.
        curl.setopt(pycurl.FRESH_CONNECT, request.method in ("PUT", "DELETE"))
        timeout_s = 0.0 if sink is not None else request.timeout_s or self._options.timeout_s
        if timeout_s != self._timeout_s:
            self._timeout_s = timeout_s
            curl.setopt(pycurl.TIMEOUT_MS, int(timeout_s * 1000))

    def _set_method(self, method: str) -> None:
        if method == self._method:
            return
        self._method = method
        self.curl.setopt(pycurl.POST if method in ("POST", "PUT") else pycurl.HTTPGET, 1)
        if method in ("PUT", "DELETE"):
            self.curl.setopt(pycurl.CUSTOMREQUEST, method)
        else:
            self.curl.unsetopt(pycurl.CUSTOMREQUEST)

    def _set_headers(self, authorization: str, accept: str) -> None:
        if (authorization, accept) == self._shape:
            return
        self._shape = (authorization, accept)
        headers = [
            # Argo compares this for exact equality (docs/design/argo-server.md, Watch).
            f"Accept: {accept}",
            "Content-Type: application/json",
            # An empty "Expect:" avoids the round trip of a 100-continue for bodies over 1 MiB.
            "Expect:",
            f"User-Agent: argo-bridge/{__version__}",
        ]
        if authorization:
            headers.append(f"Authorization: {authorization}")
        self.curl.setopt(pycurl.HTTPHEADER, headers)

    def _on_body(self, piece: bytes) -> int | None:
        if self._sink is not None and self._is_stream:
            self._sink(conceal_bytes(piece))
            return None
        self._size += len(piece)
        self._held.size_bytes += len(piece)
        is_crowded = self._held.size_bytes > self._options.max_held_bytes and self._size > SMALL_ANSWER_BYTES
        self._is_too_large = is_crowded or self._size > self._options.max_answer_bytes
        if self._is_too_large:
            self._let_go()  # at once, to make room for the others
            return 0
        self._body.append(piece)
        return None

    @property
    def _is_stream(self) -> bool:
        return any(line.startswith(b"HTTP/") and line[8:13] == b" 200 " for line in self._headers)

    def answer(self, error: int, text: str) -> Answer:
        """Return the result of the finished transfer; libcurl error number 0 means that an HTTP response came."""
        elapsed_s = self.curl.getinfo(pycurl.TOTAL_TIME)
        body = self._let_go()
        if error:
            return self._failure(error, text, elapsed_s)
        status = self.curl.getinfo(pycurl.RESPONSE_CODE)
        if self._sink is not None and status == 200:
            return self._stream_answer(elapsed_s)
        data = b"".join(body)
        if status == 200 and not self._is_read and is_named(data, self._expects):
            return Answer(AnswerKind.OK, 200, "ok", elapsed_s=elapsed_s)
        headers = {} if status == 200 else _parse(self._headers)
        answer = classify(status, headers, conceal_bytes(data), time.time(), elapsed_s)
        return named(answer, self._expects) if self._expects else answer

    def _stream_answer(self, elapsed_s: float) -> Answer:
        kind = _parse(self._headers).get("content-type", "")
        if kind.startswith((_SSE, "application/json")):
            return Answer(AnswerKind.OK, 200, "ok", "the stream ended", elapsed_s=elapsed_s)
        text = f"answered with {cut(kind) or 'no content type'} instead of a stream"
        return Answer(AnswerKind.MISCONFIGURED, 200, "not-argo", text, elapsed_s=elapsed_s)

    def _failure(self, error: int, text: str, elapsed_s: float) -> Answer:
        sent = self.curl.getinfo(pycurl.REQUEST_SIZE) > 0
        fault = _fault(error, text)
        if error == pycurl.E_WRITE_ERROR:
            fault = Fault.TOO_LARGE if self._is_too_large else Fault.NOT_HTTP
        if fault is Fault.TIMEOUT and not sent:
            fault = Fault.UNREACHABLE
        if fault in (Fault.CUT, Fault.NOT_HTTP):
            sent = True  # better one GET too many than one workflow too many
        place = self._options.place
        reason = text or f"libcurl error {error}"
        if fault is Fault.UNREACHABLE and (number := self.curl.getinfo(pycurl.OS_ERRNO)):
            reason = f"{reason} ({os.strerror(number)})"
        return failure(fault, f"{place}: {reason}", sent=sent and fault is not Fault.TLS, elapsed_s=elapsed_s)


def _configure(curl: pycurl.Curl, options: ArgoOptions) -> None:
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.PROXY, "")
    curl.setopt(pycurl.NETRC, 0)
    curl.setopt(pycurl.FOLLOWLOCATION, 0)
    curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    curl.setopt(pycurl.PATH_AS_IS, 1)
    curl.setopt(pycurl.TCP_KEEPALIVE, 1)
    curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(options.connect_timeout_s * 1000))
    if options.tls.insecure:
        curl.setopt(pycurl.SSL_VERIFYPEER, 0)
        curl.setopt(pycurl.SSL_VERIFYHOST, 0)
    ca_file = str(options.tls.ca) if options.tls.ca else system_ca_file()
    if ca_file:
        curl.setopt(pycurl.CAINFO, ca_file)
    # Otherwise libcurl keeps a renewed file's old content for a day. Older versions have no such cache.
    with contextlib.suppress(pycurl.error):
        curl.setopt(_CA_CACHE_TIMEOUT, 1)


_UNREACHABLE = frozenset(
    (pycurl.E_COULDNT_CONNECT, pycurl.E_COULDNT_RESOLVE_HOST, pycurl.E_COULDNT_RESOLVE_PROXY, pycurl.E_INTERFACE_FAILED)
)
_TLS = frozenset(
    (
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CACERT_BADFILE,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_ENGINE_INITFAILED,
        pycurl.E_SSL_ENGINE_NOTFOUND,
        pycurl.E_SSL_ENGINE_SETFAILED,
        pycurl.E_SSL_INVALIDCERTSTATUS,
        pycurl.E_SSL_ISSUER_ERROR,
        pycurl.E_SSL_PINNEDPUBKEYNOTMATCH,
    )
)
_NOT_HTTP = frozenset((pycurl.E_UNSUPPORTED_PROTOCOL, pycurl.E_FTP_WEIRD_SERVER_REPLY, pycurl.E_BAD_CONTENT_ENCODING))
# A handshake that was cut means an outage (a restarting server), not a certificate problem.
_CUT_HANDSHAKE = ("connection reset", "unexpected eof", "ssl_error_syscall", "broken pipe", "timed out")

# The server refuses our certificate, or the lack of one; TLS 1.3 reports this after the handshake.
_REFUSALS = ("certificate", "unknown ca")


def _fault(error: int, text: str) -> Fault:
    lower = text.lower()
    if error in _UNREACHABLE:
        return Fault.UNREACHABLE
    if error == pycurl.E_OPERATION_TIMEDOUT:
        return Fault.TIMEOUT
    if error in _TLS:
        is_cut = error == pycurl.E_SSL_CONNECT_ERROR and any(mark in lower for mark in _CUT_HANDSHAKE)
        return Fault.UNREACHABLE if is_cut else Fault.TLS
    if error == pycurl.E_RECV_ERROR and "alert" in lower and any(mark in lower for mark in _REFUSALS):
        return Fault.TLS
    return Fault.NOT_HTTP if error in _NOT_HTTP else Fault.CUT


def _parse(lines: list[bytes]) -> dict[str, str]:
    """Return the headers of the last header block by lower-case name; for duplicate names the first wins."""
    headers: dict[str, str] = {}
    for line in lines:
        if line.startswith(b"HTTP/"):
            headers = {}
            continue
        name, colon, value = line.partition(b":")
        if colon:
            headers.setdefault(name.decode("latin-1").strip().lower(), value.decode("latin-1").strip())
    return headers
