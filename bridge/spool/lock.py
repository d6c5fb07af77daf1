"""One process per data directory: an OS lock that ends with the process, however it ends. Never a pid file.

Thread: the service's main thread.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path

from bridge.core.errors import ConfigError
from bridge.core.log import fields, logger

_log = logger(__name__)

LOCK_FILE = "lock"
LOOK_S = 0.1


class DataDirLock:
    """Holds ``flock`` on the file ``lock`` in a data directory, which is created if missing.

    Args:
        data_dir: bridge.data-dir.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._descriptor: int | None = None

    def __repr__(self) -> str:
        """Return the directory and whether the lock is held."""
        return f"DataDirLock({self._data_dir}, {'held' if self._descriptor is not None else 'free'})"

    def acquire(self, patience_s: float = 0.0) -> None:
        """Take the lock.

        Args:
            patience_s: maximum wait for a process that holds it; 0.0 = no wait.

        Raises:
            ConfigError: ``data-dir-in-use``: another process holds it; a retry helps once that has ended.
                ``data-dir-unusable``: the directory cannot be made or written to, is another user's, or holds links.
        """
        try:
            self._data_dir.mkdir(0o700, parents=True, exist_ok=True)
            self._refuse_foreign()
            descriptor = os.open(self._data_dir / LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ConfigError(
                f"cannot use bridge.data-dir {self._data_dir}: {error.strerror}",
                code="data-dir-unusable",
                hint="it must be a directory that the bridge's user can write to",
            ) from error
        try:
            self._lock(descriptor, patience_s)
        except OSError as error:
            os.close(descriptor)
            raise ConfigError(
                f"cannot use bridge.data-dir {self._data_dir}: another process is using it",
                code="data-dir-in-use",
                hint="stop the other argo-bridge, or give each its own bridge.data-dir",
            ) from error
        self._descriptor = descriptor

    def _refuse_foreign(self) -> None:
        """Refuse a directory in which another user could redirect the bridge's reads and writes.

        Root is trusted: it owns the directories of volumes, and can do anything anyway.
        """
        for path in (self._data_dir, *self._data_dir.iterdir()):
            try:
                status = path.stat() if path is self._data_dir else path.lstat()
            except FileNotFoundError:
                continue  # the process that uses it has just removed it
            problem = "is a link" if stat.S_ISLNK(status.st_mode) else ""
            if status.st_uid not in (os.geteuid(), 0):
                problem = f"belongs to another user (uid {status.st_uid})"
            if problem:
                raise ConfigError(
                    f"cannot use bridge.data-dir {self._data_dir}: {path} {problem}",
                    code="data-dir-unusable",
                    hint="give the bridge its own directory, which no other user can write to",
                )

    def _lock(self, descriptor: int, patience_s: float) -> None:
        until_s = time.monotonic() + patience_s
        is_told = False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() >= until_s:
                    raise
                if not is_told:
                    is_told = True
                    keys = fields(action="lock", delay_s=patience_s)
                    _log.info("another process uses %s; waiting for it to end", self._data_dir, extra=keys)
                time.sleep(LOOK_S)  # flock waits forever or not at all, and does not report when it becomes available
            else:
                return

    def release(self) -> None:
        """Release the lock; no effect if it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> DataDirLock:
        """Take the lock (`acquire`)."""
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock."""
        self.release()
