"""One process a data directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bridge.core.errors import ConfigError
from bridge.spool.lock import DataDirLock

HOLD = """
import sys
from pathlib import Path
from bridge.spool.lock import DataDirLock
DataDirLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_refused_by_name(tmp_path: Path) -> None:
    """The directory is made, locked once, named in the refusal, and free again after release."""
    data_dir = tmp_path / "data"
    second = DataDirLock(data_dir)
    with DataDirLock(data_dir):
        with pytest.raises(ConfigError, match="data: another process") as caught:
            second.acquire()
        assert caught.value.code == "data-dir-in-use"
        assert "free" in repr(second)
    with second:
        assert "held" in repr(second)
    second.release()


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    """While another process holds it, it is refused; after SIGKILL of that process it is free, files or not."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConfigError):
            DataDirLock(tmp_path).acquire()
        holder.kill()
        holder.wait(10)
    assert (tmp_path / "lock").exists()
    with DataDirLock(tmp_path):
        pass


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A file where the directory should be is a problem of the configuration."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file") as caught:
        DataDirLock(tmp_path / "file").acquire()
    assert caught.value.code == "data-dir-unusable"
