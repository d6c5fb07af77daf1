"""Decides what a response of the Argo Server, or a missing one, means for the request. Pure; any thread.

Sends, retries and logs nothing. No status, header or body makes it raise. Source: docs/design/argo-server.md, Errors;
the recordings of five releases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any

import orjson

from bridge.core.errors import BridgeError, PermanentError, TransientError, cut
from bridge.core.record import record

MAX_RETRY_AFTER_S = 3600.0


class AnswerKind(Enum):
    """What to do about a response.

    OK: done. CONFLICT: an object with that name exists; GET it. NOT_FOUND: the addressed workflow does not exist.
    INVALID: it will never work. UNAVAILABLE: try again. DENIED, MISCONFIGURED: the cluster or the configuration is at
    fault, not the event.
    """

    OK = "ok"
    CONFLICT = "conflict"
    NOT_FOUND = "not-found"
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"
    DENIED = "denied"
    MISCONFIGURED = "misconfigured"


class Fault(Enum):
    """How an exchange failed below HTTP; the value is the response's code."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    CUT = "connection-lost"
    TLS = "tls-failed"
    NOT_HTTP = "not-http"
    TOO_LARGE = "answer-too-large"
    STOPPED = "stopped"


@record(frozen=True, slots=True)
class Answer:
    """One classified response.

    Attributes:
        kind: what to do.
        status: HTTP status, or 0 when none came.
        code: kebab-case, stable; for logs, metrics and dead letters.
        message: Argo's own text or a sentence, one line, at most 256 characters.
        retry_after_s: seconds that the server asks to wait (0 to 3600), or None.
        ambiguous: the request may have been carried out; use GET before repeating a create.
        grpc_code: Argo's own code of an error, or None: a lint with findings answers 500 with code 2.
        is_throttle: a 429 that asks for fewer requests; the 429 ``EOF`` and 'message larger than max' do not.
        body: the JSON object of an OK response, otherwise None.
        elapsed_s: seconds from start to end of the exchange, 0.0 if unknown.
    """

    kind: AnswerKind
    status: int
    code: str
    message: str = ""
    retry_after_s: float | None = None
    ambiguous: bool = False
    is_throttle: bool = False
    grpc_code: int | None = None
    body: dict[str, Any] | None = None
    elapsed_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.kind is AnswerKind.OK

    @property
    def proves_absence(self) -> bool:
        """Whether the addressed workflow certainly does not exist.

        A proxy's 404 does not prove it, nor does the bare ``not found`` with which 3.5 up to 3.5.12 answered instead of
        a 401.
        """
        return self.kind is AnswerKind.NOT_FOUND and self.code == "workflow-not-found"

    @property
    def strains(self) -> bool:
        """Whether the server is overloaded or away, so that the gate must slow down."""
        if self.code in ("watch-ended", "modified-meanwhile", "stopped"):
            return False
        return self.kind is AnswerKind.UNAVAILABLE or self.code in ("tls-failed", "not-http")


HINTS = {
    "not-authenticated": "check argo.token-file: the token is missing, expired or for another cluster",
    "not-permitted": "grant the bridge's service account this right",
    "token-unreadable": "check argo.token-file",
    "tls-failed": "check argo.url (http or https) and argo.tls",
    "not-argo": "check argo.url: something other than the Argo Server's API answered",
    "not-http": "check argo.url: no HTTP server answers there",
    "redirected": "check argo.url: redirects are not followed",
    "unknown-route": "check argo.url and the Argo Server's version",
    "namespace-not-found": "create the namespace or correct it",
    "namespace-terminating": "wait until it is gone, and create it again",
    "template-not-found": "create the template or correct its name",
    "cron-not-found": "create the CronWorkflow or correct its name",
    "kind-not-installed": "install Argo's custom resource definitions",
    "unreachable": "check that the Argo Server is running and argo.url is right",
}


class TransientAnswerError(TransientError):
    """A response that may change: UNAVAILABLE, or DENIED and MISCONFIGURED once someone has acted."""

    def __init__(self, message: str, answer: Answer) -> None:
        hint = HINTS.get(answer.code, "")
        super().__init__(message, code=answer.code, hint=hint, retry_after_s=answer.retry_after_s)
        self.answer = answer


class PermanentAnswerError(PermanentError):
    """A final response: INVALID, CONFLICT, NOT_FOUND."""

    def __init__(self, message: str, answer: Answer) -> None:
        super().__init__(message, code=answer.code, hint=HINTS.get(answer.code, ""))
        self.answer = answer


def error_of(answer: Answer, action: str) -> BridgeError:
    """Return the exception for a response that is not OK.

    Args:
        answer: the response.
        action: what was tried, e.g. ``list workflows in factory``; the message reads "ACTION: CAUSE".
    """
    message = f"{action}: {answer.message or answer.code}"
    lasting = (AnswerKind.INVALID, AnswerKind.CONFLICT, AnswerKind.NOT_FOUND)
    return PermanentAnswerError(message, answer) if answer.kind in lasting else TransientAnswerError(message, answer)


def failure(fault: Fault, text: str, *, sent: bool, elapsed_s: float = 0.0) -> Answer:
    """Return the response for an exchange that ended without one.

    Args:
        fault: what happened.
        text: the library's own text, cut to one line of 256 characters.
        sent: whether any of the request may have reached the server.
        elapsed_s: seconds from start to end.
    """
    config = fault in (Fault.TLS, Fault.NOT_HTTP, Fault.TOO_LARGE)
    return Answer(
        kind=AnswerKind.MISCONFIGURED if config else AnswerKind.UNAVAILABLE,
        status=0,
        code=fault.value,
        message=_line(text),
        ambiguous=sent,
        elapsed_s=elapsed_s,
    )


def token_unreadable(error: BridgeError) -> Answer:
    """Return the response for a request that was not sent because there was no token."""
    return Answer(AnswerKind.DENIED, 0, error.code, cut(error.message))


def incomplete(message: str) -> Answer:
    """Return the response for an incomplete 200 (a list without resourceVersion)."""
    return Answer(AnswerKind.UNAVAILABLE, 200, "incomplete-list", message)


def classify(status: int, headers: Mapping[str, str], body: bytes, wall_s: float, elapsed_s: float = 0.0) -> Answer:
    """Return the meaning of an HTTP response.

    Args:
        status: the HTTP status.
        headers: by lower-case name; only ``retry-after``, ``date`` and ``location`` are used, and only if `status` is
            not 200.
        body: the whole body, unread; a unary or a stream error, an SSE frame, text, HTML, or anything else.
        wall_s: wall time of the response, for a Retry-After that is a date.
        elapsed_s: passed on to the response.
    """
    if status == 200:
        return _success(body, elapsed_s)
    grpc_code, text = _error_text(body)
    kind, code = _meaning(status, grpc_code, text)
    if not text:
        text = _plain_text(status, body, headers)
    unsure = status >= 500 or status == 408 or (status < 300) or code == "watch-ended"
    return Answer(
        kind=kind,
        status=status,
        code=code,
        message=_line(text),
        retry_after_s=retry_after_s(headers, wall_s) if status in (429, 503) else None,
        ambiguous=unsure and kind is AnswerKind.UNAVAILABLE,
        is_throttle=code == "rate-limited",
        grpc_code=grpc_code,
        elapsed_s=elapsed_s,
    )


def named(answer: Answer, name: str) -> Answer:
    """Return `answer`, or MISCONFIGURED if it is OK but not the workflow with that name.

    It is ambiguous then: whoever sent it may have passed the request on.
    """
    if answer.body is None:
        return answer
    metadata = answer.body.get("metadata")
    if isinstance(metadata, dict) and metadata.get("name") == name:
        return answer
    text = f'answered with something other than the workflow "{name}"'
    return replace(answer, kind=AnswerKind.MISCONFIGURED, code="not-argo", message=text, ambiguous=True, body=None)


def is_named(body: bytes, name: str) -> bool:
    """Whether `body` is whole and begins as Argo writes the object `name` (recordings ``create``, five releases).

    If not, it may be the object all the same: parse it.
    """
    return body.startswith(b'{"metadata":{"name":"%b",' % name.encode()) and body.rstrip().endswith(b"}")


def stream_error(body: bytes) -> Answer:
    """Return the meaning of a stream's error frame: ``{"error": {"http_code": 429, "message": "EOF", ...}}``."""
    try:
        status = orjson.loads(body)["error"]["http_code"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        status = 500
    return classify(status if isinstance(status, int) and 300 < status < 1000 else 500, {}, body, 0.0)


def _success(body: bytes, elapsed_s: float) -> Answer:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        if body[:1] == b"{" or not body.strip():
            # Cut after a response without a length, or in its headers: it was carried out, but the result is unknown.
            text = "the response is incomplete"
            return Answer(AnswerKind.UNAVAILABLE, 200, "incomplete-answer", text, ambiguous=True, elapsed_s=elapsed_s)
        parsed = None
    if isinstance(parsed, dict):
        return Answer(AnswerKind.OK, 200, "ok", body=parsed, elapsed_s=elapsed_s)
    # Any path outside /api answers with the page of the user interface and 200; but a proxy may also have replaced the
    # response to a request that was carried out.
    what = "HTML" if body.lstrip()[:1] == b"<" else "something else"
    text = f"answered with {what} instead of JSON"
    return Answer(AnswerKind.MISCONFIGURED, 200, "not-argo", text, ambiguous=True, elapsed_s=elapsed_s)


def _error_text(body: bytes) -> tuple[int | None, str]:
    """Return grpc code and text of a unary error, a stream error, or either as an SSE frame; otherwise (None, "")."""
    if body.startswith(b"data:"):
        body = body[5:]
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, ""
    inner = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    if not isinstance(inner, dict):
        return None, ""
    code = inner.get("grpc_code", inner.get("code"))
    text = inner.get("message")
    is_code = isinstance(code, int) and not isinstance(code, bool)
    return (code if is_code else None), (text if isinstance(text, str) else "")


def _plain_text(status: int, body: bytes, headers: Mapping[str, str]) -> str:
    if 300 <= status < 400:
        return f"answered {status}, a redirect to {headers.get('location', 'nowhere')}"
    if body.lstrip()[:1] == b"<":
        return f"answered {status} with HTML instead of JSON"
    text = body[:1024].decode("utf-8", "replace").strip()
    return f"answered {status}: {text}" if text else f"answered {status} without text"


_INVALID = AnswerKind.INVALID
_MISCONFIGURED = AnswerKind.MISCONFIGURED

# Texts that say more than the status, tried in this order. Statuses: those with which the text was seen or read.
_TEXTS: tuple[tuple[frozenset[int], re.Pattern[str], AnswerKind, str], ...] = tuple(
    (frozenset(statuses), re.compile(pattern, re.DOTALL), kind, code)  # a quoted name may contain a line end
    for statuses, pattern, kind, code in (
        ((404,), r'^namespaces ".*" not found', _MISCONFIGURED, "namespace-not-found"),
        ((404,), r'^(cluster)?workflowtemplates\.argoproj\.io ".*" not found', _MISCONFIGURED, "template-not-found"),
        ((404,), r'^cronworkflows\.argoproj\.io ".*" not found', _MISCONFIGURED, "cron-not-found"),
        ((404,), r'^workflows\.argoproj\.io ".*" not found', AnswerKind.NOT_FOUND, "workflow-not-found"),
        ((404,), r"^no workflows found", AnswerKind.NOT_FOUND, "workflow-not-found"),
        ((404,), r"^not found$", AnswerKind.NOT_FOUND, "not-in-archive"),
        ((404,), r"^the server could not find the requested resource", _MISCONFIGURED, "kind-not-installed"),
        (
            (409,),
            r"^Operation cannot be fulfilled|object has been modified",
            AnswerKind.UNAVAILABLE,
            "modified-meanwhile",
        ),
        ((400,), r"too old resource version|^Expired|^Gone|resourceVersion .*is too old", _INVALID, "watch-expired"),
        ((400,), r"is not managed by the current Argo Server", _INVALID, "not-managed"),
        ((400, 500), r"cannot (shutdown a|suspend) completed workflow", _INVALID, "already-ended"),
        # A namespace that is being deleted: no right would help.
        ((403,), r"because it is being terminated", _MISCONFIGURED, "namespace-terminating"),
        ((400,), r"^Request entity too large", _INVALID, "too-large"),
        ((429,), r"^EOF$", AnswerKind.UNAVAILABLE, "watch-ended"),
        ((429,), r"message larger than max", _INVALID, "too-large"),
        ((500,), r"etcdserver: request is too large", _INVALID, "too-large"),
        ((500,), r"resourceVersion should not be set on objects to be created", _INVALID, "invalid"),
        ((500,), r"^expected parameter of the form|resource name may not be empty", _INVALID, "invalid"),
        # Some verbs are tried five times whatever the error is; it then comes as a 500 with "timed out waiting for the
        # condition: " before it, even for a refused right.
        ((500,), r"^timed out waiting for the condition: .* is forbidden: ", AnswerKind.DENIED, "not-permitted"),
        ((500,), r"no suspend nodes matching|is not expecting|^cannot set output parameter", _INVALID, "no-such-node"),
        ((500,), r"^invalid (field )?selector|error parsing regexp", _INVALID, "invalid"),
        ((500,), r"targets suspend nodes|raw output parameter '", _INVALID, "invalid"),
        ((500,), r"^getting archived workflows not supported", _INVALID, "no-archive"),
        (
            (500,),
            r"invalid spec: clusterworkflowtemplates\.argoproj\.io .*forbidden",
            AnswerKind.DENIED,
            "not-permitted",
        ),
    )
)


# The meaning of a status alone. Argo itself sends 400, 409, 429 and 501 with a grpc code; 413 and 414 are limits of a
# proxy.
_STATUSES = {
    401: (AnswerKind.DENIED, "not-authenticated"),
    403: (AnswerKind.DENIED, "not-permitted"),
    408: (AnswerKind.UNAVAILABLE, "server-error"),
    413: (_INVALID, "too-large"),
    414: (_INVALID, "too-large"),
    429: (AnswerKind.UNAVAILABLE, "rate-limited"),
    501: (_MISCONFIGURED, "unknown-route"),
}
_STATUSES_OF_ARGO = {400: (_INVALID, "invalid"), 409: (AnswerKind.CONFLICT, "already-exists")}


def _meaning(status: int, grpc_code: int | None, text: str) -> tuple[AnswerKind, str]:
    if grpc_code is not None:
        for statuses, pattern, kind, code in _TEXTS:
            if status in statuses and pattern.search(text):
                return kind, code
        if status in _STATUSES_OF_ARGO:
            return _STATUSES_OF_ARGO[status]
    if status in _STATUSES:
        return _STATUSES[status]
    if status >= 500:
        return AnswerKind.UNAVAILABLE, "server-error"
    return _MISCONFIGURED, "redirected" if 300 <= status < 400 else "not-argo"


def retry_after_s(headers: Mapping[str, str], wall_s: float) -> float | None:
    """Return the seconds of a Retry-After header, 0 to 3600, or None if missing or unreadable.

    A number, or a date: Argo's own limiter ends it with ``UTC`` instead of ``GMT``. A date is compared with the
    response's Date header if there is one, because a gateway's own clock may be in 1970.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return min(float(value), MAX_RETRY_AFTER_S)
    until = _date_s(value)
    if until is None:
        return None
    now = _date_s(headers.get("date", ""))
    return min(max(until - (wall_s if now is None else now), 0.0), MAX_RETRY_AFTER_S)


def _date_s(value: str) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _line(text: str) -> str:
    """Return `text` as one line, safe for a log, a reply and a terminal."""
    return cut("".join(char if char.isprintable() else " " for char in text[:1024]).strip())
