"""Warns about things left open to others: readable secrets, unencrypted connections, unrestricted access.

Rejects nothing: each may be right in its place. Checks the modes of files, never their content, and makes no network
connection. Thread: whichever loads a configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bridge.argo.options import ArgoOptions, ArgoTls
from bridge.configfile.kinds import INVALID
from bridge.configfile.problems import Code, Position
from bridge.configfile.source import shown_path
from bridge.interface.operations import Operation
from bridge.interface.options import InterfaceOptions
from bridge.settings.checks import Checked
from bridge.settings.model import ConnectionSettings
from bridge.transports.amqp.options import AmqpOptions
from bridge.transports.mqtt.options import MqttOptions
from bridge.transports.tls import TlsOptions
from bridge.web.options import WebOptions

READ, WRITE = 0o4, 0o2
_PLAIN = ("mqtt", "ws", "amqp", "http")


def warn_of_risks(values: Mapping[str, Any], files: Iterable[Path], checked: Checked, *, has_token: bool) -> None:
    """Warn about everything that is open; a section that could not be read is passed over."""
    _warn_of_files(files, checked)
    bridge, argo, web = (values[key] for key in ("bridge", "argo", "web"))
    if bridge is not INVALID and open_to_others(bridge.data_dir, WRITE):
        checked.warning(("bridge", "data-dir"), Code.INSECURE, '"data-dir": every user of this machine can write to it')
    if argo is not INVALID:
        _warn_of_argo(argo, checked, has_token=has_token)
    _warn_of_web(web, checked)
    for name, connection in values["connections"].items():
        _warn_of_connection(name, connection, values["interface"], checked)


def open_to_others(path: Path, bit: int) -> bool:
    """Whether every user of the machine has the permission `bit` on a file and can reach it through its folders."""
    try:
        return bool(path.stat().st_mode & bit) and all(one.stat().st_mode & 0o1 for one in path.resolve().parents)
    except OSError:
        return False


def is_remote(url: str) -> bool:
    """Whether a URL leads to another machine, judged by its text."""
    host = urlsplit(url).hostname or ""
    return not (host in ("localhost", "::1") or host.startswith("127."))


def _warn_of_files(files: Iterable[Path], checked: Checked) -> None:
    told: set[Path] = set()
    for file in files:
        for path in (file, file.parent):
            if path not in told and open_to_others(path, WRITE):
                text = "every user of this machine can change it, and thereby what the bridge does; chmod o-w"
                checked.problems.warning(Position(shown_path(path)), Code.INSECURE, text)
            told.add(path)


def _warn_of_secret(path: tuple[str, ...], file: Path | None, checked: Checked) -> None:
    if file is not None and open_to_others(file, READ):
        text = f'"{path[-1]}": every user of this machine can read {shown_path(file)}; chmod o-r'
        checked.warning(path, Code.INSECURE, text)


def _warn_of_tls(path: tuple[str, ...], tls: TlsOptions | ArgoTls, checked: Checked) -> None:
    if tls.insecure:
        text = '"insecure": anyone in between can read and change everything; trust a certificate with "ca"'
        checked.warning((*path, "tls", "insecure"), Code.INSECURE, text)


def _warn_of_plain(path: tuple[str, ...], url: str, secret: str, checked: Checked) -> None:
    scheme = urlsplit(url).scheme
    if scheme in _PLAIN and is_remote(url):
        safe = "wss" if scheme == "ws" else f"{scheme}s"
        text = f'"url": the {secret} is sent unencrypted over the network; use {safe}://'
        checked.warning((*path, "url"), Code.INSECURE, text)


def _warn_of_argo(argo: ArgoOptions, checked: Checked, *, has_token: bool) -> None:
    _warn_of_secret(("argo", "token-file"), argo.token_file, checked)
    _warn_of_tls(("argo",), argo.tls, checked)
    if argo.token_file or has_token:
        _warn_of_plain(("argo",), argo.url, "token", checked)


def _warn_of_web(web: WebOptions, checked: Checked) -> None:
    if web.listen is not None and web.listen.host in ("", "0.0.0.0", "::"):  # noqa: S104 - it is warned of
        text = '"listen": every machine that can reach this one can read the pages, which have no password'
        checked.warning(("web", "listen"), Code.INSECURE, text)


def _warn_of_connection(
    name: str, connection: ConnectionSettings, interface: InterfaceOptions, checked: Checked
) -> None:
    for kind, broker in (("mqtt", connection.mqtt), ("amqp", connection.amqp)):
        if broker is None:
            continue
        path = ("connections", name, kind)
        _warn_of_secret((*path, "password-file"), broker.password_file, checked)
        _warn_of_secret((*path, "tls", "key"), broker.tls.key, checked)
        _warn_of_tls(path, broker.tls, checked)
        if broker.password_file:
            _warn_of_plain(path, broker.url, "password", checked)
        _warn_of_everybody(path, broker, interface, checked)


def _warn_of_everybody(
    path: tuple[str, ...], broker: MqttOptions | AmqpOptions, interface: InterfaceOptions, checked: Checked
) -> None:
    """Warn about a broker that accepts the bridge without a login, and so probably everyone."""
    if broker.username or broker.tls.cert:
        return
    rights = ["start any workflow"] if interface.manifests and Operation.TRIGGER in interface.operations else []
    rights += ["delete workflows"] if Operation.DELETE in interface.operations else []
    if rights:
        text = (
            f"no user and no certificate: anyone who can reach this broker can {' and '.join(rights)}; let the broker "
            "ask for users, or set interface.manifests to false and interface.operations to a list without delete"
        )
        checked.warning(path, Code.INSECURE, text)
