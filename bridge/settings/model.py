"""Every key of bridge.yaml, declared once, as the frozen tree that the rest of the bridge reads.

Attributes that end in `_s` are float seconds, in `_bytes` int bytes. Paths are absolute once loaded. A secret is a
path of a file, or a `Secret` that no repr shows. Holds no reading: `loading` does that. Frozen; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from bridge.argo.options import ArgoOptions
from bridge.configfile.containers import ListOf, MapOf, Nullable
from bridge.configfile.fields import ABSENT, Section, declare, section
from bridge.configfile.kinds import Boolean, Choice, FilePath, Size, Text
from bridge.core import topic_filter
from bridge.interface.operations import Operation
from bridge.interface.reply_addresses import REPLY_QUEUES
from bridge.settings.kinds import (
    BRIDGE_ID,
    BRIDGE_ID_WORDS,
    Listen,
    ListenAddress,
    prefix_problem,
)
from bridge.spool.options import DeadLetterOptions, SpoolOptions
from bridge.status.options import StatusOptions
from bridge.transports.amqp.options import AmqpOptions
from bridge.transports.mqtt.options import MqttOptions


class LogFormat(StrEnum):
    """A sentence for people a line, or an object for machines a line."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The least severe line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@section
class BridgeSettings:
    """Who this bridge is, and where it keeps what must survive."""

    id: str = declare(
        Text(BRIDGE_ID, BRIDGE_ID_WORDS),
        "Name of this bridge: a topic level, a label value and a queue name. Two bridges never share one.",
    )
    data_dir: Path = declare(
        FilePath("the path of a folder"),
        "Folder of the spool and of reports, relative to this file; on a disk that keeps what fsync wrote.",
    )


@section
class ConnectionSettings:
    """One connection to a broker: exactly one of the protocols is set."""

    mqtt: MqttOptions | None = declare(Section(MqttOptions), "An MQTT broker.", default=ABSENT)
    amqp: AmqpOptions | None = declare(Section(AmqpOptions), "An AMQP broker.", default=ABSENT)


@section
class SubmitSettings:
    """What a request may add to a stored template."""

    service_accounts: tuple[str, ...] | None = declare(
        ListOf(Text(), distinct=True),
        "Service accounts that `submit` may name. Absent, any where `interface.manifests` is true, else none.",
        default=ABSENT,
    )
    entrypoints: tuple[str, ...] | None = declare(
        ListOf(Text(), distinct=True), "Entrypoints that `submit` may name. Absent, likewise.", default=ABSENT
    )
    parameters: tuple[str, ...] | None = declare(
        ListOf(Text(), distinct=True),
        "Names of parameters that any request may give. Absent, all: a template's own parameters are for its callers.",
        default=ABSENT,
    )


@section
class InterfaceSettings:
    """What may be asked by message, and how large messages may be."""

    prefix: str = declare(
        Text(what="a topic prefix", check=prefix_problem),
        "Topic that the interface lies under.",
        default="argo/workflows",
    )
    operations: tuple[Operation, ...] = declare(
        ListOf(Choice(Operation), distinct=True),
        "What may be asked by message; all else is refused. Absent, everything may.",
        default=[operation.value for operation in Operation],
    )
    response_topics: tuple[str, ...] | None = declare(
        ListOf(Text(what="a topic filter", check=topic_filter.filter_problem), distinct=True),
        "Topics that a request may name for its reply, + and # included, the bridge's own excepted. Absent, "
        "PREFIX/response/#.",
        default=ABSENT,
    )
    reply_queues: tuple[str, ...] = declare(
        ListOf(Text(what="the name of a queue; * stands for any characters"), distinct=True),
        "Queues that a request over AMQP may name for its reply; RabbitMQ's direct reply-to always works.",
        default=list(REPLY_QUEUES),
    )
    manifests: bool = declare(
        Boolean(), "Whether a trigger message may carry a whole workflow; false leaves templates only.", default=True
    )
    submit: SubmitSettings = declare(Section(SubmitSettings), SubmitSettings.__doc__ or "", default={})
    max_payload_bytes: int = declare(
        Size("1KiB", "16MiB"), "Largest payload that is taken; a larger one gets an error reply.", default="256KiB"
    )
    max_publish_bytes: int = declare(
        Size("4KiB", "16MiB"),
        "Largest message that is published where the broker names no maximum; longer outputs are cut.",
        default="256KiB",
    )


@section
class WebSettings:
    """Health, metrics and dashboard."""

    listen: ListenAddress | None = declare(
        Nullable(Listen()), "Where to listen; null for nowhere.", default="127.0.0.1:8080"
    )


@section
class LogSettings:
    """The log, on standard error."""

    format: LogFormat = declare(Choice(LogFormat), "Lines for people, or an object a line.", default="console")
    level: LogLevel = declare(Choice(LogLevel), "The least severe line that is written.", default="info")


@section
class Settings:
    """bridge.yaml and the environment, checked."""

    bridge: BridgeSettings = declare(Section(BridgeSettings), BridgeSettings.__doc__ or "")
    connections: Mapping[str, ConnectionSettings] = declare(
        MapOf(
            Section(ConnectionSettings, exactly_one=("mqtt", "amqp")),
            BRIDGE_ID,
            BRIDGE_ID_WORDS,
            noun="connection",
            least=1,
        ),
        "The brokers, each under a name of your choice.",
    )
    argo: ArgoOptions = declare(
        Section(ArgoOptions),
        "The Argo Server, and what may be reached through it.",
        hint="or set ARGO_SERVER and ARGO_NAMESPACE",
    )
    interface: InterfaceSettings = declare(Section(InterfaceSettings), InterfaceSettings.__doc__ or "", default={})
    mappings: tuple[str, ...] = declare(
        ListOf(Text(what="the path of a mapping file; *, ? and ** work"), distinct=True),
        "Mapping files, absolute or relative to this file; * and ** match many. Absent, there are none.",
        default=[],
    )
    status: StatusOptions = declare(Section(StatusOptions), StatusOptions.__doc__ or "", default={})
    spool: SpoolOptions = declare(Section(SpoolOptions), "Bounds of the spool.", default={})
    dead_letters: DeadLetterOptions = declare(Section(DeadLetterOptions), DeadLetterOptions.__doc__ or "", default={})
    web: WebSettings = declare(Section(WebSettings), WebSettings.__doc__ or "", default={})
    log: LogSettings = declare(Section(LogSettings), LogSettings.__doc__ or "", default={})
