"""bridge.yaml and the environment as one frozen `Settings`.

`model` declares every key, `loading` reads them, `environment` and `argo_environment` bring in variables, `checks`
looks between the keys. Connects to nothing; reads no secret but ARGO_TOKEN.
"""

from bridge.settings.kinds import ListenAddress
from bridge.settings.model import (
    BridgeSettings,
    ConnectionSettings,
    InterfaceSettings,
    LogFormat,
    LogLevel,
    LogSettings,
    Settings,
    WebSettings,
)

__all__ = [
    "BridgeSettings",
    "ConnectionSettings",
    "InterfaceSettings",
    "ListenAddress",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "Settings",
    "WebSettings",
]
