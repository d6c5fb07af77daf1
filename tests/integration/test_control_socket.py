"""The control socket: answers, bounds, hostile peers, what a killed bridge left; and who is reached."""

from __future__ import annotations

import socket
import stat
import threading
from contextlib import contextmanager

import orjson
import pytest

from bridge.control import server as server_module
from bridge.control.client import ControlClient
from bridge.control.protocol import MAX_QUESTION_BYTES, SOCKET_FILE, question_line
from bridge.control.server import MAX_CONNECTIONS, ControlServer
from bridge.core.clock import SystemClock
from bridge.core.errors import ConfigError, PermanentError, SpoolError, TransientError
from bridge.core.metrics import Metrics
from bridge.core.report import ErrorReports
from bridge.service import replaying
from bridge.settings.configuration import load
from bridge.spool.lock import DataDirLock
from bridge.spool.records import NewDeadLetter, NewRows
from bridge.spool.store import Spool
from tests.support.bridge_files import BridgeFiles
from tests.support.machine import scaled
from tests.support.transport_ends import wait_until


def answer(question):
    """The handler under test: an echo that can fail."""
    if question.get("fail") == "spool":
        raise SpoolError("it is full", code="spool-full")
    if question.get("fail") == "bug":
        raise ZeroDivisionError("a bug")
    return {"echo": question, "large": "x" * question.get("size", 0)}


@contextmanager
def serving(folder):
    """A server in `folder`; nothing of it is left afterwards."""
    server = ControlServer(
        folder / SOCKET_FILE, answer, ErrorReports(folder / "reports", Metrics(), SystemClock()), SystemClock()
    )
    server.start()
    try:
        yield server
    finally:
        assert server.stop(5.0) == []
    assert "control" not in {thread.name for thread in threading.enumerate()}
    assert not (folder / SOCKET_FILE).exists()


@contextmanager
def raw(folder):
    """A connection that sends what it likes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(10)
        peer.connect(str(folder / SOCKET_FILE))
        yield peer


def read_line(peer):
    """One line of an answer, decoded."""
    line = b""
    while not line.endswith(b"\n"):
        part = peer.recv(1)
        assert part, line
        line += part
    return orjson.loads(line)


def ask(folder, **question):
    """Ask on a connection of its own."""
    with ControlClient(folder / SOCKET_FILE) as client:
        return client.ask(question)


def test_questions_are_answered_one_after_the_other(tmp_path):
    """Several on one connection, sent at once or one by one, large answers too; errors come as errors."""
    with serving(tmp_path), ControlClient(tmp_path / SOCKET_FILE) as client:
        for number in range(3):
            assert client.ask({"n": number})["echo"] == {"n": number}
        assert len(client.ask({"size": 3_000_000})["large"]) == 3_000_000
        with pytest.raises(PermanentError) as caught:
            client.ask({"fail": "spool"})
        assert (caught.value.code, caught.value.message) == ("spool-full", "it is full")
        with raw(tmp_path) as peer:
            peer.sendall(question_line({"n": 1}) + question_line({"n": 2}) + question_line({"n": 3})[:-1])
            assert [read_line(peer)["result"]["echo"]["n"] for _ in range(2)] == [1, 2]
            peer.sendall(b"\n")
            assert read_line(peer)["result"]["echo"]["n"] == 3


def test_an_unexpected_error_is_reported_and_ends_nothing(tmp_path):
    """The asker gets a sentence, the bridge a report file, and the thread goes on."""
    with serving(tmp_path):
        with pytest.raises(PermanentError) as caught:
            ask(tmp_path, fail="bug")
        assert caught.value.code == "internal-error"
        assert "ZeroDivisionError" in next((tmp_path / "reports").iterdir()).read_text()
        assert ask(tmp_path, n=1)


def test_only_its_own_user_can_connect(tmp_path):
    """The socket has mode 0600."""
    with serving(tmp_path):
        assert stat.S_IMODE((tmp_path / SOCKET_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "data", [b"\xff\n", b"[]\n", b"{" * 1000 + b"\n", b'{"version": 9}\n', b"x" * (MAX_QUESTION_BYTES + 1)]
)
def test_a_bad_line_is_answered_and_ends_its_connection(tmp_path, data):
    """Whatever the bytes, the peer is told and let go, and others are answered."""
    with serving(tmp_path), raw(tmp_path) as peer:
        peer.sendall(data)
        assert read_line(peer)["error"]["code"] == "bad-question"
        assert peer.recv(1) == b""
        assert ask(tmp_path, n=1)


def test_peers_that_do_not_read_or_finish_hold_up_nobody(tmp_path):
    """Half a question, an answer that is not read, a connection that breaks: others are answered meanwhile."""
    with serving(tmp_path), raw(tmp_path) as half, raw(tmp_path) as deaf:
        half.sendall(b'{"version"')
        deaf.sendall(question_line({"size": 3_000_000}) * 5)
        assert ask(tmp_path, n=1)
        with raw(tmp_path) as broken:
            broken.sendall(question_line({"size": 3_000_000}))
            broken.recv(1)
        assert ask(tmp_path, n=2)
        half.sendall(b': 1, "n": 3}\n')
        assert read_line(half)["result"]["echo"] == {"n": 3}


def test_too_many_and_idle_connections_are_closed(tmp_path, monkeypatch):
    """A bounded number is served; one that is silent too long gives its place up."""
    monkeypatch.setattr(server_module, "IDLE_S", 0.5)
    monkeypatch.setattr(server_module, "LOOK_S", 0.05)
    with serving(tmp_path):
        peers = [ControlClient(tmp_path / SOCKET_FILE) for _ in range(MAX_CONNECTIONS)]
        try:
            with raw(tmp_path) as extra:
                assert extra.recv(1) == b""
            wait_until(lambda: _answers(tmp_path), "a place")
        finally:
            for peer in peers:
                peer.close()


def _answers(folder):
    try:
        return ask(folder, n=1)
    except TransientError:
        return None


def test_what_a_killed_bridge_left_is_replaced(tmp_path):
    """A socket that nobody listens on is no bridge; the next start takes its place."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(tmp_path / SOCKET_FILE))
    with pytest.raises(TransientError) as caught:
        ControlClient(tmp_path / SOCKET_FILE)
    assert caught.value.code == "no-bridge"
    with serving(tmp_path):
        assert ask(tmp_path, n=1)


def test_a_bridge_that_cannot_listen_runs_all_the_same(tmp_path, caplog):
    """What stands in the way is named in the log; there is no thread whose end would turn it unhealthy."""
    (tmp_path / SOCKET_FILE).mkdir()
    server = ControlServer(
        tmp_path / SOCKET_FILE, answer, ErrorReports(tmp_path, Metrics(), SystemClock()), SystemClock()
    )
    server.start()
    assert server.thread_names == []
    assert "cannot listen" in caplog.text
    assert server.stop(1.0) == []


def test_a_bridge_that_ends_within_a_question_is_told(tmp_path):
    """The asker learns that what it asked for may be done."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / SOCKET_FILE))
        listener.listen()
        with ControlClient(tmp_path / SOCKET_FILE) as client:
            listener.accept()[0].close()
            with pytest.raises(TransientError) as caught:
                client.ask({"n": 1})
    assert caught.value.code == "no-answer"
    assert "list the dead letters" in caught.value.hint


# Who is reached.


@pytest.fixture
def settings(tmp_path):
    loaded = load(BridgeFiles(tmp_path, "mqtt://h", "http://h").write(), {})
    assert loaded.settings is not None
    loaded.settings.bridge.data_dir.mkdir()
    return loaded.settings


def test_a_lock_without_a_socket_is_waited_for(settings, monkeypatch):
    """A bridge that starts holds the lock before it listens: it is asked once it does, and never passed by."""
    folder = settings.bridge.data_dir
    started = threading.Event()
    monkeypatch.setattr(replaying, "PATIENCE_S", 10.0)

    def start_late() -> None:
        started.wait(scaled(10))
        server.start()

    server = ControlServer(folder / SOCKET_FILE, answer, ErrorReports(folder, Metrics(), SystemClock()), SystemClock())
    monkeypatch.setattr(replaying.time, "sleep", lambda _: started.set() or threading.Event().wait(0.01))
    starter = threading.Thread(target=start_late)
    with DataDirLock(folder):
        starter.start()
        try:
            with replaying.dead_letters(settings, None) as asked:
                assert asked({"n": 1})["echo"] == {"n": 1}
        finally:
            starter.join()
            server.stop(5.0)


def test_a_lock_that_never_answers_is_named(settings, monkeypatch):
    """Neither asked nor passed by: a sentence says that somebody uses the directory and does not answer."""
    monkeypatch.setattr(replaying, "PATIENCE_S", 0.2)
    with (
        DataDirLock(settings.bridge.data_dir),
        pytest.raises(ConfigError) as caught,
        replaying.dead_letters(settings, None),
    ):
        pass
    assert caught.value.code == "data-dir-in-use"
    assert "cannot reach the bridge" in caught.value.message


def test_without_a_bridge_the_spool_is_locked_while_it_is_used(settings):
    """No bridge can start meanwhile, and one can afterwards."""
    folder = settings.bridge.data_dir
    with Spool.open(folder / replaying.SPOOL_FILE, clock=SystemClock()) as spool:
        spool.commit(NewRows(dead_letters=[NewDeadLetter("a", "b", "t", "plant")]))
    with replaying.dead_letters(settings, None) as asked:
        assert len(asked({"do": "list"})["letters"]) == 1
        with pytest.raises(ConfigError):
            DataDirLock(folder).acquire()
        with pytest.raises(ConfigError, match="the configuration has problems"):
            asked({"do": "replay", "ids": [1]})
    with DataDirLock(folder):
        pass
