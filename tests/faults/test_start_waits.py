"""A start while another process still holds the data directory for a moment."""

from __future__ import annotations

from pathlib import Path

from bridge.spool.lock import DataDirLock
from tests.support.bridge_files import BridgeFiles
from tests.support.bridge_process import BridgeProcess
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.transport_ends import wait_until

NOWHERE = "http://127.0.0.1:9"


def test_a_start_waits_for_a_holder_that_is_about_to_end(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """As a command that replays a dead letter: the bridge says that it waits, and starts once the lock is free."""
    files = BridgeFiles(tmp_path, mosquitto.url, NOWHERE, web_port=free_port())
    files.write()
    lock = DataDirLock(files.data_dir)
    lock.acquire()
    try:
        with BridgeProcess(files) as bridge:
            bridge.start()
            wait_until(lambda: "another process uses" in bridge.log, "a bridge that waits", 30)
            lock.release()
            bridge.await_ready(30)
            assert bridge.terminate() == 0
    finally:
        lock.release()
