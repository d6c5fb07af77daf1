"""The data that passes through the bridge, as frozen dataclasses. No behaviour beyond small derivations, no I/O.

Spool records are in `bridge.spool.records`, the configuration in `bridge.settings`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from bridge.core.record import record


@record(frozen=True, slots=True)
class MessageProperties:
    """Properties of a message besides topic and payload; "", b"" or None where it has none.

    MQTT 3.1.1 has none of them. Source: MQTT 5.0 section 3.3.2.3; AMQP 0-9-1 basic properties map onto the same names.

    Attributes:
        response_topic: where the reply goes.
        correlation_data: echoed unchanged in the reply.
        message_expiry_s: seconds from now until the message expires.
        message_id: AMQP message_id.
        user: user properties (AMQP: headers, as text) in order; names may repeat.
        reply_queue: AMQP reply_to: the queue that the reply goes to.
    """

    response_topic: str = ""
    correlation_data: bytes = b""
    content_type: str = ""
    message_expiry_s: float | None = None
    message_id: str = ""
    user: tuple[tuple[str, str], ...] = ()
    reply_queue: str = ""


NO_PROPERTIES = MessageProperties()


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a transport could not read a message completely: its dead letter's reason, and a sentence for the sender."""

    code: str
    message: str


@record(frozen=True, slots=True)
class Message:
    """One message as received from a broker.

    Attributes:
        topic: MQTT topic name (AMQP: routing key translated to a topic).
        qos: 0 or 1 as delivered; only 1 is acknowledged, and only 1 is ever redelivered.
        retain: True = a retained message delivered on subscribing; ignored.
        dup: the broker says that it may have sent the message before.
        packet_id: MQTT packet identifier of this delivery; 0 at QoS 0. Valid only within the session of its connection.
            AMQP has none that outlives a channel, so its transport assigns its own numbers.
        flaw: the part that could not be read, or None.
    """

    connection: str
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: MessageProperties = NO_PROPERTIES
    flaw: Flaw | None = None


@record(frozen=True, slots=True)
class OutgoingMessage:
    """One message to publish.

    Attributes:
        payload: the bytes; b"" with `retain` clears a retained topic.
        correlation_data: MQTT 5.0 Correlation Data (AMQP correlation_id), b"" for none.
        content_type: MQTT 5.0 Content Type, "" for none.
        user: MQTT 5.0 user properties (AMQP headers), e.g. ``(("code", "200"),)``. Dropped on 3.1.1.
        queue: AMQP only: send to this queue instead of the topic's subscribers, or "".
    """

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    correlation_data: bytes = b""
    content_type: str = ""
    user: tuple[tuple[str, str], ...] = ()
    queue: str = ""


@record(frozen=True, slots=True)
class WorkflowRef:
    """Addresses one workflow object: a name can be reused after a deletion, a uid never is."""

    namespace: str
    name: str
    uid: str = ""


class Phase(Enum):
    """Argo's workflow phases (docs/design/argo-server.md, Status); ABSENT: the controller has not seen it yet."""

    ABSENT = ""
    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ERROR = "Error"

    @property
    def ended(self) -> bool:
        """Whether the workflow has finished, unless someone retries it."""
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.ERROR)


@record(frozen=True, slots=True)
class ReplyAddress:
    """Where and how the reply to one request goes.

    Attributes:
        connection: the connection on which the request arrived.
        topic: the Response Topic, or PREFIX/response/OPERATION.
        request_id: the body's ``requestId`` as JSON text, or "" when it had none.
        queue: AMQP only: the request's reply_to, which takes precedence over `topic`; "" if it had none.
        refused: why the reply does not go to the address in the request, or "".
    """

    connection: str
    topic: str
    correlation_data: bytes = b""
    request_id: str = ""
    queue: str = ""
    refused: str = ""


@record(frozen=True, slots=True)
class WorkflowOrder:
    """A workflow to create, complete except for what the spool adds. The same order always gives the same object.

    Attributes:
        namespace: where it is created.
        name: metadata.name, fixed when the row is written; "" until then.
        base: prefix of a generated name (generateName, else template, else mapping name).
        manifest: JSON bytes of the workflow without per-event values: ``{"metadata": {...}, "spec": {...}}``.
            Many events share one; the spool stores it once by digest.
        parameters: values for ``spec.arguments.parameters``, by name; they override or extend those of the manifest.
        annotations: per-event annotations in addition to the bridge's own.
    """

    namespace: str
    base: str
    manifest: bytes
    name: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HealthProblem:
    """Why a part of the bridge, its `subject`, does not work now, for the health pages and the ``state`` topic.

    Attributes:
        code: kebab-case: ``unreachable``, ``not-authorized``, ``taken-over``, ``filter-refused``, ``tls-failed``, ...
        message: a sentence that names the part, the reason and what to do.
    """

    code: str
    message: str
    subject: str = ""
