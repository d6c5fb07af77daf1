"""Runs a real RabbitMQ node on free ports of this machine, in a folder of its own. For tests and benchmarks."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.support.broker_process import BrokerProcess
from tests.support.certificates import ServerCertificates
from tests.support.machine import scaled
from tests.support.mosquitto import free_port

BIN = Path("/usr/lib/rabbitmq/bin")
READY_WITHIN_S = 90.0
"""For all of a start: less than a test may take, so that its log is shown where it does not come up."""
# Two schedulers that do not spin: beside three other nodes on two cores, that is what starts soonest.
_ERLANG = "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"


def find_rabbitmq() -> Path | None:
    """The path of the server's program, or None where it is not installed.

    Debian's command on the PATH changes to the user rabbitmq; this one runs as whoever calls it.
    """
    program = BIN / "rabbitmq-server"
    return program if program.exists() and shutil.which("epmd") else None


@dataclass(frozen=True)
class User:
    """A user of the broker.

    password: its password.
    configure, write, read: patterns of its permissions in the default virtual host.
    topics: patterns of what it may write and read on exchanges, by exchange; none = everything.
    """

    password: str
    configure: str = ".*"
    write: str = ".*"
    read: str = ".*"
    topics: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class RabbitMqOptions:
    """How the node is set up; guest may do everything.

    plugins: that are on; ``rabbitmq_mqtt`` makes it start three seconds later.
    config: further lines of rabbitmq.conf.
    users: further users, by name.
    definitions: further definitions, as rabbitmqctl imports them.
    tls: certificates of a second listener; None = none.
    """

    plugins: tuple[str, ...] = ()
    config: tuple[str, ...] = ()
    users: Mapping[str, User] = field(default_factory=dict)
    definitions: Mapping[str, Any] = field(default_factory=dict)
    tls: ServerCertificates | None = None


class RabbitMq(BrokerProcess):
    """A running node; signals go to all of its processes."""

    def __init__(self, options: RabbitMqOptions | None = None) -> None:
        super().__init__("rabbitmq")
        self.options = options or RabbitMqOptions()
        self.port, self.mqtt_port, self.tls_port = free_port(), free_port(), free_port()
        self._epmd_port, self._dist_port = free_port(), free_port()
        self._node = f"argo-{secrets.token_hex(4)}@localhost"
        self._epmd: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What a client connects to."""
        return f"amqp://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that it has logged."""
        paths = [self.folder / "out", *sorted((self.folder / "log").glob("*.log"))]
        return "".join(path.read_text(errors="replace") for path in paths if path.exists())

    def _environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return {name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ_")} | {
            "HOME": folder,  # gets the Erlang cookie
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RUNNING_UNDER_SYSTEMD": "true",  # no shell between us and the node, so that a signal reaches it
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/env.conf",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
        }

    def _write_files(self) -> None:
        folder, options = self.folder, self.options
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            "loopback_users = none",
            "log.file.level = info",
            f"load_definitions = {folder}/definitions.json",
            "vm_memory_high_watermark.absolute = 1GiB",
            "disk_free_limit.absolute = 1MB",
        ]
        if "rabbitmq_mqtt" in options.plugins:
            lines.append(f"mqtt.listeners.tcp.1 = 127.0.0.1:{self.mqtt_port}")
        if options.tls is not None:
            tls = options.tls
            lines += [
                f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}",
                f"ssl_options.cacertfile = {tls.ca}",
                f"ssl_options.certfile = {tls.certificate}",
                f"ssl_options.keyfile = {tls.key}",
                "ssl_options.verify = verify_peer",
                "ssl_options.fail_if_no_peer_cert = true",
            ]
        (folder / "rabbitmq.conf").write_text("\n".join([*lines, *options.config, ""]))
        (folder / "enabled_plugins").write_text(f"[{','.join(options.plugins)}].\n")
        (folder / "env.conf").write_text("")
        (folder / "definitions.json").write_text(json.dumps(self._definitions()))

    def _definitions(self) -> dict[str, Any]:
        users = {"guest": User("guest")} | dict(self.options.users)
        found: dict[str, Any] = {
            "vhosts": [{"name": "/"}],
            "users": [{"name": name, "password": user.password, "tags": ""} for name, user in users.items()],
            "permissions": [
                {"user": name, "vhost": "/", "configure": user.configure, "write": user.write, "read": user.read}
                for name, user in users.items()
            ],
            "topic_permissions": [
                {"user": name, "vhost": "/", "exchange": exchange, "write": write, "read": read}
                for name, user in users.items()
                for exchange, (write, read) in user.topics.items()
            ],
        }
        for key, values in self.options.definitions.items():
            found[key] = [*found.get(key, []), *values]
        return found

    def start(self) -> Self:
        """Start it, and return once it takes connections."""
        program = find_rabbitmq()
        if program is None:
            raise RuntimeError("rabbitmq-server is not installed")
        self._write_files()
        environment = self._environment()
        until_s = time.monotonic() + scaled(READY_WITHIN_S)
        with (self.folder / "out").open("ab") as out:
            if self._epmd is None:
                command = ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"]
                self._epmd = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
                self._await_port(self._epmd, self._epmd_port, until_s)
            self._process = subprocess.Popen(
                [str(program)],
                env=environment,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._await_port(self._process, self.port, until_s)
        if "rabbitmq_mqtt" in self.options.plugins:
            self._await_port(self._process, self.mqtt_port, until_s)
        return self

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl; returns what it printed."""
        command = [str(BIN / "rabbitmqctl"), "--quiet", *arguments]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def raise_alarm(self, *, is_on: bool) -> None:
        """Raise or end the memory alarm: while it is on, connections that publish are blocked."""
        self.ctl("set_vm_memory_high_watermark", "0.0000001" if is_on else "0.4")

    def _signal(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    def close(self) -> None:
        """Kill it and what it needs, and remove its folder."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None
        super().close()


SHARED_RABBITMQ = RabbitMqOptions(
    users={
        # May use what others made, and nothing else.
        "checker": User("checker", configure="^$"),
        # May not read the queue of sensor mappings.
        "half": User("half", read=r"^(?!.*\.events$).*"),
        # May publish replies and status, and no dead letters.
        "narrow": User("narrow", topics={"narrow.exchange": (r"^(?!.*dead-letter).*", ".*")}),
    },
    definitions={
        "vhosts": [{"name": "plant/one"}],
        "permissions": [{"user": "guest", "vhost": "plant/one", "configure": ".*", "write": ".*", "read": ".*"}],
    },
)
"""What the node is like that tests share."""
