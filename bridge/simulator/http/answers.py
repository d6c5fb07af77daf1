"""Bodies and error shapes of the Argo Server's REST responses.

Builds bytes from values; never touches a socket or the store. Pure functions, run on the simulator's loop thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream"
TEXT_TYPE = "text/plain; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
HTML_PAGE = b"<!DOCTYPE html>\n<html><head><title>Argo</title></head><body></body></html>\n"
GRPC_HEADER = ("Grpc-Metadata-Content-Type", "application/grpc")

# gRPC code -> HTTP status, as grpc-gateway v1 maps them (argo-workflows' own numbers for the rest never leave it).
HTTP_BY_GRPC = {
    1: 408, 2: 500, 3: 400, 4: 504, 5: 404, 6: 409, 7: 403, 8: 429,
    9: 400, 10: 409, 12: 501, 13: 500, 14: 503, 16: 401,
}  # fmt: skip
GRPC_BY_HTTP = {400: 3, 401: 16, 403: 7, 404: 5, 408: 1, 409: 6, 429: 8, 500: 13, 501: 12, 503: 14, 504: 4}

_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
)


class ApiError(Exception):
    """A refusal by the server.

    Attributes:
        code: gRPC code; the HTTP status follows from it.
        message: Text for the caller.
        behind_gateway: False if the gateway itself refused (bad JSON, no route), before any handler ran.
    """

    def __init__(self, code: int, message: str, *, behind_gateway: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.behind_gateway = behind_gateway

    @property
    def status(self) -> int:
        """Return the HTTP status of the response."""
        return HTTP_BY_GRPC.get(self.code, 500)


@dataclass(slots=True)
class UnaryAnswer:
    """One unary response, ready to send.

    Attributes:
        status: HTTP status.
        body: Exact bytes of the body.
        content_type: Empty for none.
        headers: Further headers, in order.
    """

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()


def to_json(value: Any, *, sort: bool = False) -> bytes:
    """Print a value as Go's encoding/json does: `<`, `>`, `&` and the two line separators escaped, no final newline."""
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if sort else orjson.dumps(value)
    for raw, escaped in _ESCAPES:
        if raw in data:
            data = data.replace(raw, escaped)
    return data


def error_body(error: ApiError) -> bytes:
    """Body of a refused unary request."""
    return to_json({"code": error.code, "message": error.message})


def stream_error(code: int, message: str, status: int | None = None) -> dict[str, Any]:
    """Frame that ends a stream, and the whole body of a stream that could not start."""
    http_code = HTTP_BY_GRPC.get(code, 500) if status is None else status
    return {
        "error": {
            "grpc_code": code,
            "http_code": http_code,
            "message": message,
            "http_status": HTTPStatus(http_code).phrase,
        }
    }


def invalid(message: str) -> ApiError:
    """Refusal of a request with invalid content (400)."""
    return ApiError(3, message)


def not_found(resource: str, name: str) -> ApiError:
    """Refusal for an object that does not exist (404), in Kubernetes' words."""
    group = "" if resource == "namespaces" else ".argoproj.io"
    return ApiError(5, f'{resource}{group} "{name}" not found')


def already_exists(resource: str, name: str, *, generated: bool = False) -> ApiError:
    """Refusal of a second object with the same name (409), in Kubernetes' words; `generated`: by Kubernetes."""
    more = ", the server was not able to generate a unique name for the object" if generated else ""
    return ApiError(6, f'{resource}.argoproj.io "{name}" already exists{more}')


def not_implemented() -> ApiError:
    """Refusal of a path or method without a route."""
    return ApiError(12, "Not Implemented", behind_gateway=False)
