"""Reads recorded exchanges of real Argo Servers, and compares answers with them but for what differs each time."""

from __future__ import annotations

import base64
import http.client
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

RECORDINGS = Path(__file__).parent.parent / "recordings"
RELEASES = sorted(path.name.removeprefix("v") for path in RECORDINGS.iterdir() if path.is_dir())

_GENERATED = re.compile(r"(?<=-)[bcdfghjklmnpqrstvwxz2456789]{5}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
# What no two servers agree on: identities, times, machines, and how often the controller wrote.
_VOLATILE = {
    "uid", "resourceVersion", "generation", "hostNodeName", "workflows.argoproj.io/trace-id",
    "workflows.argoproj.io/last-seen-version", "cpu", "memory", "fieldsV1",
}  # fmt: skip


@dataclass(frozen=True)
class Exchange:
    """One recorded request and its answer."""

    name: str
    request: dict[str, Any]
    response: dict[str, Any]

    @property
    def body(self) -> bytes:
        """Bytes of the request's body."""
        body = self.request.get("body")
        if body is None:
            return b""
        return body["__raw__"].encode() if "__raw__" in body else json.dumps(body).encode()


def read_exchanges(release: str, scenario: str) -> dict[str, Exchange]:
    """The exchanges of a scenario, by name."""
    data = json.loads((RECORDINGS / f"v{release}" / f"{scenario}.json").read_text())
    return {e["name"]: Exchange(e["name"], e["request"], e["response"]) for e in data["exchanges"]}


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        """The body as JSON, or as a recording notes a text."""
        if self.headers.get("content-type", "").startswith("application/json"):
            return json.loads(self.body)
        return {"__text__": self.body.decode()}


def call(url: str, method: str, path: str, *, params: Any = None, body: bytes = b"", headers: Any = None) -> Answer:
    """Send one request and read its whole answer, streams included."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=30)
    try:
        query = f"?{urlencode(params)}" if params else ""
        connection.request(method, path + query, body or None, headers or {})
        response = connection.getresponse()
        data = response.read()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, data)
    finally:
        connection.close()


def replay(url: str, exchange: Exchange, **changed: Any) -> Answer:
    """Send a recorded request; `changed` are query parameters that differ."""
    request = exchange.request
    params = {**(request.get("params") or {}), **changed}
    return call(
        url, request["method"], request["path"], params=params, body=exchange.body, headers=request.get("headers")
    )


def steady(value: Any, key: str = "") -> Any:
    """A value with all that is volatile replaced by its type."""
    if isinstance(value, dict):
        return {name: steady(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [steady(item, key) for item in value]
    if key in _VOLATILE and value is not None:
        return type(value).__name__
    if isinstance(value, str):
        return _TIME.sub("TIME", _GENERATED.sub("GENERATED", value))
    return value


def forget(value: Any, *keys: str) -> Any:
    """A value without some keys, at any depth."""
    if isinstance(value, dict):
        return {name: forget(item, *keys) for name, item in value.items() if name not in keys}
    if isinstance(value, list):
        return [forget(item, *keys) for item in value]
    return value


def assert_alike(answer: Answer, exchange: Exchange, *ignored: str) -> None:
    """Fail unless an answer has the recorded status, headers and body, but for what is volatile."""
    recorded = exchange.response
    got = answer.value
    assert answer.status == recorded["status"], f"{exchange.name}: {answer.status} {got}"
    ignored = (*ignored, "fieldsV1")
    wanted = forget(recorded["body"], *ignored)
    assert steady(forget(got, *ignored)) == steady(wanted), exchange.name
    assert order_of(forget(got, *ignored)) == order_of(wanted), f"{exchange.name}: order of keys"
    assert_headers(answer, recorded["headers"], exchange.name)


def order_of(value: Any) -> Any:
    """The order of an object's keys, at any depth (a map's keys are sorted by Go, a struct's are not)."""
    if isinstance(value, dict):
        return [(key, order_of(item)) for key, item in value.items()]
    return [order_of(item) for item in value] if isinstance(value, list) else None


def assert_headers(answer: Answer, recorded: dict[str, str], name: str) -> None:
    """Fail unless the headers that tell something are those that were recorded."""
    telling = ("content-type", "grpc-metadata-argo-version", "grpc-metadata-content-type", "x-content-type-options")
    wanted = {key.lower(): value for key, value in recorded.items() if key.lower() in telling}
    assert {key: value for key, value in answer.headers.items() if key in telling} == wanted, name
    assert "x-ratelimit-limit" in answer.headers, name


def frames_of(data: bytes, *, sse: bool) -> list[bytes]:
    """Cut the bytes of a stream into its messages, each with its end."""
    if not sse:
        return data.splitlines(keepends=True)
    pattern = rb":\n|data: [^\n]* \n\n\n?"
    frames = re.findall(pattern, data)
    assert b"".join(frames) == data, f"not framed as server-sent events: {data!r}"
    return frames


def steady_frame(frame: bytes) -> bytes:
    """A frame's bytes without what is volatile."""
    text = _TIME.sub("TIME", frame.decode())
    text = re.sub(r'"(resourceVersion|uid)":"[^"]*"', r'"\1":"?"', text)
    return re.sub(r"too old resource version: \d+ \(\d+\)", "too old resource version: ? (?)", text).encode()


def token_for(subject: str) -> str:
    """A token whose claims name a subject; its signature is not one."""
    claims = {"iss": "https://kubernetes.default.svc", "sub": subject}
    parts = [json.dumps({"alg": "none"}).encode(), json.dumps(claims).encode(), b"signature"]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
