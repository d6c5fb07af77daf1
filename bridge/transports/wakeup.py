"""Ends a thread's poll from another thread, with a socket pair that is written at most once until it is read.

It carries no data; the work is found elsewhere. Thread: `wake` any, the rest the thread that polls.
"""

from __future__ import annotations

import contextlib
import socket


class Wakeup:
    """A file descriptor that becomes readable when `wake` is called."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._pending = False

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._reader.fileno()

    def wake(self) -> None:
        """Make the poll return; harmless after `close`."""
        if self._pending:
            return
        self._pending = True
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")

    def clear(self) -> None:
        """Reset the signal before checking for work."""
        # Read first: a wake between the two lines writes nothing, and need not: the caller checks for work after this.
        # The other order could read the byte of a wake and leave `_pending` set, and every later wake would be lost.
        with contextlib.suppress(OSError):
            self._reader.recv(64)
        self._pending = False

    def close(self) -> None:
        """Close both ends."""
        self._reader.close()
        self._writer.close()
