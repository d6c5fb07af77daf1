"""bridge.yaml as one frozen tree: its own keys, and the sections that each part declares in its `options`.

Attributes that end in `_s` are float seconds, in `_bytes` int bytes. Paths are absolute once loaded. A secret is the
path of a file, or a `Secret` that no repr shows. Contains no reading code (`loading` does). Frozen; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from bridge.argo.options import ArgoOptions
from bridge.configfile.containers import ListOf, MapOf
from bridge.configfile.fields import ABSENT, Section, declare, section
from bridge.configfile.kinds import Choice, FilePath, Text
from bridge.interface.options import InterfaceOptions
from bridge.spool.options import DeadLetterOptions, SpoolOptions
from bridge.status.options import StatusOptions
from bridge.transports.amqp.options import AmqpOptions
from bridge.transports.mqtt.options import MqttOptions
from bridge.web.options import WebOptions

# Used as topic level, label value and queue name; 32 characters leave room for prefixes and suffixes.
_BRIDGE_ID = r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?"
_BRIDGE_ID_WORDS = "small letters, digits and - (not first, not last), at most 32 characters"


class LogFormat(StrEnum):
    """A sentence for people a line, or an object for machines a line."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """Lowest severity that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@section
class BridgeSettings:
    """Who this bridge is, and where it keeps what must survive."""

    id: str = declare(
        Text(_BRIDGE_ID, _BRIDGE_ID_WORDS),
        "Name of this bridge, used as topic level, label value and queue name. Each bridge needs its own.",
    )
    data_dir: Path = declare(
        FilePath("the path of a directory"),
        "Directory of the spool and reports, relative to this file; on a disk that keeps what fsync wrote.",
    )


@section
class ConnectionSettings:
    """One connection to a broker: exactly one of the protocols is set."""

    mqtt: MqttOptions | None = declare(Section(MqttOptions), "An MQTT broker.", default=ABSENT)
    amqp: AmqpOptions | None = declare(Section(AmqpOptions), "An AMQP broker.", default=ABSENT)


@section
class LogSettings:
    """The log, on standard error."""

    format: LogFormat = declare(Choice(LogFormat), "Text for people, or a JSON object per line.", default="console")
    level: LogLevel = declare(Choice(LogLevel), "Lowest severity that is written.", default="info")


@section
class Settings:
    """bridge.yaml and the environment, checked."""

    bridge: BridgeSettings = declare(Section(BridgeSettings), BridgeSettings.__doc__ or "")
    connections: Mapping[str, ConnectionSettings] = declare(
        MapOf(
            Section(ConnectionSettings, exactly_one=("mqtt", "amqp")),
            _BRIDGE_ID,
            _BRIDGE_ID_WORDS,
            noun="connection",
            least=1,
        ),
        "The brokers, each under a name of your choice.",
    )
    argo: ArgoOptions = declare(
        Section(ArgoOptions),
        "The Argo Server, and what the bridge may do there.",
        hint="or set ARGO_SERVER and ARGO_NAMESPACE",
    )
    interface: InterfaceOptions = declare(Section(InterfaceOptions), InterfaceOptions.__doc__ or "", default={})
    mappings: tuple[str, ...] = declare(
        ListOf(Text(words="the path of a mapping file; *, ? and ** are allowed"), distinct=True),
        "Mapping files, absolute or relative to this file; * and ** match many. Default: none.",
        default=[],
    )
    status: StatusOptions = declare(Section(StatusOptions), StatusOptions.__doc__ or "", default={})
    spool: SpoolOptions = declare(Section(SpoolOptions), "Bounds of the spool.", default={})
    dead_letters: DeadLetterOptions = declare(Section(DeadLetterOptions), DeadLetterOptions.__doc__ or "", default={})
    web: WebOptions = declare(Section(WebOptions), WebOptions.__doc__ or "", default={})
    log: LogSettings = declare(Section(LogSettings), LogSettings.__doc__ or "", default={})
