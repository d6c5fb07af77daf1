"""A command's request to a bridge, and recognising its reply among other messages. Pure.

A reply goes to PREFIX/response/OPERATION, like the replies to others. Ours is recognised by its Correlation Data (MQTT
5.0, AMQP), otherwise by its ``requestId``, which is added if the request has none.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import orjson

from bridge.core import strict_json
from bridge.core.errors import PermanentError
from bridge.core.model import Message, OutgoingMessage
from bridge.interface.loose_json import object_in
from bridge.interface.operations import Operation
from bridge.interface.topics import Request, Topics

_OPERATIONS = frozenset(operation.value for operation in Operation)
_NONE = object()


def full_topic(topic: str, topics: Topics) -> str:
    """Return the topic for a shorthand: ``trigger`` and ``trigger/NAMESPACE`` are under the prefix."""
    levels = topic.split("/")
    is_shorthand = levels[0] in _OPERATIONS and len(levels) <= 2
    return f"{topics.prefix}/{topic}" if is_shorthand else topic


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to a request, without a ``requestId`` that was added here.

    `code` is HTTP-like, "" if the protocol carries none (3.1.1).
    """

    body: dict[str, object]
    code: str = ""

    @property
    def error(self) -> str:
        """Why the request was refused, or ""."""
        return str(self.body["error"]) if "error" in self.body else ""

    @property
    def workflow(self) -> str:
        """The workflow's name, "" if the reply names none."""
        name = self.body.get("workflowId")
        return name if isinstance(name, str) else ""


class Question:
    """One request to `topic`, whose meaning is `request`.

    A request over `max_payload_bytes` is refused without parsing, so its reply has no ``requestId``. `has_properties`:
    messages of the connection have properties (MQTT 5.0, AMQP).
    """

    def __init__(
        self,
        topic: str,
        request: Request,
        payload: bytes,
        *,
        reply_topic: str,
        max_payload_bytes: int,
        has_properties: bool,
    ) -> None:
        self.reply_topic = reply_topic
        self._namespace = request.namespace
        self._correlation = secrets.token_bytes(12) if has_properties else b""
        self._body = _strict_object(payload) if len(payload) <= max_payload_bytes else None
        self._request_id: object = _NONE if self._body is None else self._body.get("requestId", _NONE)
        own_id = f"send-{secrets.token_hex(8)}"
        longer = _with_request_id(payload, own_id)
        is_missing = self._body is not None and self._request_id is _NONE and not has_properties
        self._adds_id = is_missing and len(longer) <= max_payload_bytes
        if self._adds_id:
            payload, self._request_id = longer, own_id
        self.message = OutgoingMessage(topic, payload, correlation_data=self._correlation)

    def reply_in(self, message: Message) -> Reply | None:
        """Return the reply to this request if `message` is it."""
        if message.topic != self.reply_topic:
            return None
        body = object_in(message.payload)
        if body is None:
            return None
        if self._correlation:
            is_ours = message.properties.correlation_data == self._correlation
        else:
            # A request that cannot be parsed has no requestId to echo; neither has its reply.
            is_ours = body.get("requestId", _NONE) == self._request_id
        if not is_ours:
            return None
        if self._adds_id:
            del body["requestId"]
        return Reply(body, dict(message.properties.user).get("code", ""))

    def namespace(self, default: str) -> str:
        """Return the workflow's namespace: from the topic, the body, or `default`."""
        given = self._body.get("namespace") if self._body is not None else None
        return self._namespace or (given if isinstance(given, str) else "") or default


def _strict_object(payload: bytes) -> dict[str, object] | None:
    try:
        body = strict_json.loads(payload)
    except PermanentError:
        return None
    return body if isinstance(body, dict) else None


def _with_request_id(payload: bytes, request_id: str) -> bytes:
    # Inserted as text, so that the rest reaches the bridge as written.
    head, _, rest = payload.partition(b"{")
    comma = b"" if rest.lstrip().startswith(b"}") else b","
    return head + b'{"requestId":' + orjson.dumps(request_id) + comma + rest
