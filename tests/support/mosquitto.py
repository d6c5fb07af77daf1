"""Runs a real Mosquitto on a free port of this machine, in a folder of its own. For tests and benchmarks."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.support.broker_process import BrokerProcess
from tests.support.certificates import ServerCertificates
from tests.support.machine import scaled
from tests.support.transport_ends import wait_until

READY_WITHIN_S = 30.0
# Below those that the system gives to outgoing connections, and to whoever listens on port 0 (32768 and up on Linux):
# a broker may take seconds from the choice of its port until it listens there, while other tests open many.
_PORTS = range(20_000, 32_000)


def find_mosquitto() -> str | None:
    """The path of the broker's program, or None where it is not installed (Debian keeps it in /usr/sbin)."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def find_security_plugin() -> Path | None:
    """The path of the dynamic security plugin, or None where the broker comes without it."""
    return next(Path("/usr/lib").glob("*/mosquitto_dynamic_security.so"), None)


def free_port() -> int:
    """A TCP port that nobody listens on now, and that the system gives to nobody who asks for any."""
    while True:
        port = secrets.choice(_PORTS)  # `random` is seeded alike in all processes that run tests
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


@dataclass(frozen=True)
class MosquittoOptions:
    """How the broker is set up.

    persistence: whether it keeps sessions and retained messages over a restart; it saves each second or two, see
        `await_saved`.
    config: further lines of mosquitto.conf.
    tls: certificates for the listener; None = plain.
    client_certificates: whether clients must show a certificate of the same authority.
    websockets: whether the listener speaks MQTT over WebSockets.
    passwords: user name -> password; empty = anonymous clients are let in.
    filters: topic filters that anonymous clients may subscribe (by the dynamic security plugin: the ACL file does not
        refuse SUBSCRIBE); None = all.
    """

    persistence: bool = False
    config: tuple[str, ...] = ()
    tls: ServerCertificates | None = None
    client_certificates: bool = False
    websockets: bool = False
    passwords: Mapping[str, str] = field(default_factory=dict)
    filters: tuple[str, ...] | None = None


class Mosquitto(BrokerProcess):
    """A running Mosquitto."""

    def __init__(self, options: MosquittoOptions | None = None) -> None:
        super().__init__("mosquitto")
        self.options = options or MosquittoOptions()
        self.port = free_port()

    @property
    def scheme(self) -> str:
        """mqtt, mqtts, ws or wss."""
        return ("ws" if self.options.websockets else "mqtt") + ("s" if self.options.tls else "")

    @property
    def url(self) -> str:
        """What a client connects to."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that it has logged."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> Self:
        """Start it, and return once it takes connections."""
        program = find_mosquitto()
        if program is None:
            raise RuntimeError("mosquitto is not installed")
        self._write_config(program)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program, "-c", str(self.folder / "conf")], stdout=log, stderr=log)
        self._await_port(self._process, self.port, time.monotonic() + scaled(READY_WITHIN_S))
        return self

    def _write_config(self, program: str) -> None:
        options, folder = self.options, self.folder
        lines = ["per_listener_settings false", "log_type all"]
        if options.websockets:
            lines.append(f"listener {free_port()} 127.0.0.1")  # 2.0.11 ends where all its listeners are WebSocket ones
        lines.append(f"listener {self.port} 127.0.0.1")
        if os.getuid() == 0:
            lines.append("user root")  # else it drops to a user who may not read the folder
        if options.websockets:
            lines.append("protocol websockets")
        if options.persistence:
            lines += ["persistence true", f"persistence_location {folder}/", "autosave_interval 1"]
        if options.tls is not None:
            tls = options.tls
            lines += [f"cafile {tls.ca}", f"certfile {tls.certificate}", f"keyfile {tls.key}"]
            lines += ["require_certificate true"] if options.client_certificates else []
        if options.passwords:
            lines += ["allow_anonymous false", f"password_file {self._write_passwords(program)}"]
        else:
            lines.append("allow_anonymous true")
        if options.filters is not None:
            lines += [
                f"plugin {find_security_plugin()}",
                f"plugin_opt_config_file {self._write_filters(options.filters)}",
            ]
        (folder / "conf").write_text("\n".join([*lines, *options.config, ""]))

    def _write_filters(self, filters: tuple[str, ...]) -> Path:
        path = self.folder / "security.json"
        acls = [{"acltype": "subscribePattern", "topic": each, "allow": True} for each in filters]
        access = {"publishClientSend": True, "publishClientReceive": True, "subscribe": False, "unsubscribe": True}
        body = {
            "defaultACLAccess": access,
            "clients": [],
            "groups": [{"groupname": "anybody", "roles": [{"rolename": "subscriber"}]}],
            "roles": [{"rolename": "subscriber", "acls": acls}],
            "anonymousGroup": "anybody",
        }
        path.write_text(json.dumps(body))
        return path

    def _write_passwords(self, program: str) -> Path:
        path = self.folder / "passwords"
        path.write_text("")
        tool = shutil.which("mosquitto_passwd") or str(Path(program).parent.parent / "bin" / "mosquitto_passwd")
        for name, password in self.options.passwords.items():
            subprocess.run([tool, "-b", str(path), name, password], check=True, capture_output=True)
        return path

    def await_saved(self) -> None:
        """Return once the broker has saved all that it knew when this was called (each save is a new file)."""
        saved = self.folder / "mosquitto.db"

        def inode() -> int:
            return saved.stat().st_ino if saved.exists() else 0

        before = inode()
        wait_until(lambda: inode() != before, "a save by the broker")
