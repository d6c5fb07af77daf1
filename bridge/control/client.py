"""Sends questions to a running bridge over its control socket. Thread: the command's own."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.control.protocol import MAX_ANSWER_BYTES, question_line, read_answer, socket_address
from bridge.core.errors import TransientError

TIMEOUT_S = 60.0


class ControlClient:
    """A connection to the running bridge; `TransientError` (``no-bridge``) if nothing listens at `path`."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(TIMEOUT_S)
        self._rest = b""
        try:
            with socket_address(path) as address:
                self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise TransientError(f"cannot reach the bridge at {path}: {error.strerror}", code="no-bridge") from error

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Ask one question and return its result.

        Raises:
            PermanentError: the error in the bridge's response.
            TransientError: ``no-answer``: the bridge ended meanwhile, or took too long. The command may have been
                carried out.
        """
        try:
            self._socket.sendall(question_line(question))
            line = self._line()
        except OSError as error:
            raise _no_answer(str(error)) from error
        return read_answer(line)

    def _line(self) -> bytes:
        parts = [self._rest]
        size = len(self._rest)
        while b"\n" not in parts[-1]:
            part = self._socket.recv(262_144)
            size += len(part)
            if not part or size > MAX_ANSWER_BYTES:
                raise _no_answer("it is too long" if part else "the bridge closed the connection")
            parts.append(part)
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return line

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> ControlClient:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def _no_answer(cause: str) -> TransientError:
    return TransientError(
        f"cannot read the response of the running bridge: {cause}",
        code="no-answer",
        hint="list the dead letters to see what has been done",
    )
