"""`argo-bridge demo` as people run it: a process, real signals, a terminal, a second terminal, taken ports."""

import fcntl
import json
import os
import pty
import re
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.machine import scaled
from tests.support.transport_ends import wait_until

COMMAND = [sys.executable, "-m", "bridge", "demo"]
START_S = 30.0
STOP_S = 10.0


@pytest.fixture
def environment(tmp_path):
    """An environment for some real bridge, none of which must reach the demo, and a folder for temporary files."""
    told = {"ARGO_BRIDGE_ARGO_URL": "http://127.0.0.1:9", "ARGO_SERVER": "127.0.0.1:9", "http_proxy": "127.0.0.1:9"}
    return {**os.environ, **told, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}


class Demo:
    """A demo in a session of its own, with what it wrote so far."""

    def __init__(self, folder, environment, *arguments):
        self.path = folder.parent / f"{folder.name}-output"
        with self.path.open("wb") as output:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments], stdout=output, stderr=output, env=environment, start_new_session=True
            )

    @property
    def text(self):
        """All that it wrote."""
        return self.path.read_text(errors="replace")

    def await_text(self, words):
        """Return once it wrote `words`."""
        wait_until(lambda: words in self.text or self.process.poll() is not None, f"{words} in {self.text}", START_S)
        assert words in self.text

    def end(self, number=None):
        """Send a signal, and return its exit code; nothing of its session is left."""
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(STOP_S)
        with pytest.raises(ProcessLookupError):
            os.killpg(self.process.pid, 0)
        return code


@contextmanager
def running(folder, environment, *arguments):
    """A demo that does not outlive the test."""
    demo = Demo(folder, environment, *arguments)
    try:
        yield demo
    finally:
        demo.process.kill()
        demo.process.wait()


@pytest.mark.slow
def test_within_seconds_it_shows_what_arrives_triggers_and_becomes_of_it(tmp_path, environment):
    """In plain lines where there is no terminal; then it ends by itself and leaves nothing."""
    with running(tmp_path, environment, "--for", "15s") as demo:
        demo.process.wait(START_S + 15 + STOP_S)
        assert demo.end() == 0
        lines = demo.text.splitlines()
    assert "\x1b" not in demo.text
    told = [line for line in lines if re.match(r"\d\d:\d\d:\d\d  ", line)]
    assert any("arrives   sensors/hall-1/boiler/7/temperature {" in line for line in told)
    triggered = re.search(r"triggers  boiler-overheat -> workflow (factory/inspect-boiler-\w+)", demo.text)
    for phase in ("Pending 0%", "Running 33%", "Succeeded 100%"):
        assert f"status    {triggered[1]} {phase}" in demo.text
    assert re.search(r'clear-alarm-\w+ Failed 50%  step "remote-reset" .*exit code 3', demo.text)
    assert re.fullmatch(r"ended: \d+ sensor messages arrived; workflows ended: \d+ Succeeded, 1 Failed", lines[-1])
    assert "warning" not in demo.text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(tmp_path, environment, number):
    """Exit code 0 within seconds, no process and no file left."""
    with running(tmp_path, environment) as demo:
        demo.await_text("arrives")
        assert demo.end(number) == 0
    assert "ended: " in demo.text
    assert "Traceback" not in demo.text
    assert not list(tmp_path.iterdir())


def test_a_signal_while_it_starts_ends_it_too(tmp_path, environment):
    """Nothing is left half-built."""
    with running(tmp_path, environment) as demo:
        wait_until(lambda: list(tmp_path.glob("argo-demo-*")), "the demo's folder", START_S)
        assert demo.end(signal.SIGTERM) == 0
    assert not list(tmp_path.iterdir())


def test_the_commands_that_it_prints_work(tmp_path, environment):
    """Copied into a second terminal as they are, while it runs."""
    with running(tmp_path, environment) as demo:
        demo.await_text("arrives")
        sends = [line for line in demo.text.splitlines() if " send --wait --config" in line]
        assert len(sends) == 2
        plain = {key: value for key, value in environment.items() if not key.startswith("ARGO_")}
        for line in sends:
            # The console script may not be installed where the tests run; what it starts is.
            program, *arguments = shlex.split(line)
            assert program.endswith("argo-bridge")
            done = subprocess.run(
                [sys.executable, "-m", "bridge", *arguments],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
                env=plain,
                cwd="/",
            )
            assert done.returncode == 0, done
            assert "Succeeded 100%" in done.stderr
        assert json.loads(demo.text.split("/response/trigger ")[1].splitlines()[0])["workflowId"]
        assert "triggers  trigger message -> workflow factory/inspect-boiler-" in demo.text
        assert "arrives   sensors/hall-1/boiler/9/temperature" in demo.text
        assert demo.end(signal.SIGINT) == 0


def test_ports_that_are_taken_are_left_to_others(tmp_path, environment):
    """It takes free ones, and prints those."""
    taken = (1883, 2746, 8080)
    with ExitStack() as stack:
        for port in taken:
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
                sock.listen()
            except OSError:
                continue  # somebody else has it: that is as good
        demo = stack.enter_context(running(tmp_path, environment))
        demo.await_text("arrives")
        shown = re.search(r"mqtt://127\.0\.0\.1:(\d+) +Argo http://127\.0\.0\.1:(\d+)\n", demo.text)
        web = re.search(r"Health: http://127\.0\.0\.1:(\d+)/", demo.text)
        ports = {int(shown[1]), int(shown[2]), int(web[1])}
        assert len(ports) == 3
        assert not ports & set(taken)
        assert f"mosquitto_sub -p {shown[1]} " in demo.text
        for port in ports:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        assert demo.end(signal.SIGINT) == 0


def test_a_wrong_duration_is_wrong_usage(tmp_path, environment):
    """Before anything is started."""
    with running(tmp_path, environment, "--for", "20") as demo:
        assert demo.process.wait(START_S) == 2
    assert "is not a duration such as 10s" in demo.text


def test_on_a_terminal_it_is_one_picture_and_ends_on_ctrl_c(tmp_path, environment):
    """80 by 24 hold the sensors, the workflows and every command; no line is broken or cut."""
    process_id, terminal = pty.fork()
    if process_id == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        os.execve(sys.executable, COMMAND, {**environment, "TERM": "xterm-256color"})
    try:
        text = read_until(terminal, "Succeeded")
        os.write(terminal, b"\x03")
        text += read_until(terminal, "ended: ")
        assert os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1]) == 0
    finally:
        os.close(terminal)
    picture = pictures(text)[-1]
    assert len(picture) <= 24
    assert max(map(len, picture)) <= 80
    shown = "\n".join(picture)
    for words in ("sensor ", "triggered by", "boiler-overheat Succeeded", "mosquitto_pub", "trigger @", "Log: "):
        assert words in shown, shown
    assert "…" not in "".join(line for line in picture if "argo-demo" in line)
    assert not list(tmp_path.iterdir())


def read_until(terminal, words):
    """What the terminal shows until `words` are among it."""
    text = ""
    deadline_s = time.monotonic() + scaled(START_S)
    while words not in text and time.monotonic() < deadline_s:
        if select.select([terminal], [], [], 0.5)[0]:
            try:
                text += os.read(terminal, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                break
    assert words in text, text
    return text


def pictures(text):
    """The pictures that were painted one over the other, as lines without control sequences."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.replace("\r", ""))
    starts = [match.start() for match in re.finditer("argo-bridge demo   broker", plain)]
    painted = [plain[start:end] for start, end in zip(starts, [*starts[1:], len(plain)], strict=True)]
    return [[line.rstrip() for line in picture.partition("ended: ")[0].splitlines()] for picture in painted]
