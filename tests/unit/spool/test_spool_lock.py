"""One process a data directory."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.core.errors import ConfigError
from bridge.spool.lock import DataDirLock
from tests.support.machine import scaled

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
        holder.wait(scaled(10))
    assert (tmp_path / "lock").exists()
    with DataDirLock(tmp_path):
        pass


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """A file where the directory should be is a problem of the configuration."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file") as caught:
        DataDirLock(tmp_path / "file").acquire()
    assert caught.value.code == "data-dir-unusable"


@pytest.mark.parametrize("name", ["spool.sqlite", "lock", "control.sock", "reports", "anything"])
def test_a_link_in_the_directory_is_not_followed(name: str, tmp_path: Path) -> None:
    """Whoever put it there would choose where the bridge writes; it is named, and nothing is made."""
    data_dir, victim = tmp_path / "data", tmp_path / "victim"
    data_dir.mkdir()
    (data_dir / name).symlink_to(victim)
    with pytest.raises(ConfigError, match=f"{name} is a link") as caught:
        DataDirLock(data_dir).acquire()
    assert caught.value.code == "data-dir-unusable"
    assert [path.name for path in data_dir.iterdir()] == [name]
    assert not victim.exists()


@pytest.mark.parametrize("name", ["", "spool.sqlite"])
def test_what_belongs_to_another_user_is_refused(name: str, tmp_path: Path) -> None:
    """The directory itself, or a file in it; but root's are taken, as volumes have them."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    path = tmp_path / name
    path.is_dir() or path.touch()
    os.chown(path, 4711, -1)
    with pytest.raises(ConfigError, match="another user") as caught:
        DataDirLock(tmp_path).acquire()
    assert caught.value.code == "data-dir-unusable"
    os.chown(path, 0, -1)
    with DataDirLock(tmp_path):
        pass


def test_the_directory_is_made_for_its_user_alone(tmp_path: Path) -> None:
    """What devices sent, and the control socket, are nobody else's business."""
    with DataDirLock(tmp_path / "data"):
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
