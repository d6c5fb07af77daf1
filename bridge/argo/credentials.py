"""The Authorization header: from a file that is read again when it changes, or given once. Never logged or shown.

Checks the file at most a few times a second. Any thread.
"""

from __future__ import annotations

import base64
import contextlib
import threading
from pathlib import Path

from bridge.core.clock import Clock, SystemClock
from bridge.core.errors import TransientError
from bridge.core.foreign import remember_secret

_CHECK_EVERY_S = 0.25
_GRACE_S = 1.0
_MAX_BYTES = 64 * 1024
_Stamp = tuple[int, int, int, int]


class Credentials:
    """Provides the header for each request.

    Thread: any; one lock is held for a stat, and for reading the file if it has changed.
    """

    def __init__(self, token_file: Path | None, authorization: str = "", clock: Clock | None = None) -> None:
        """Take the values of `ArgoOptions`; nothing is read yet."""
        self._file = token_file
        self._given = authorization.strip()
        _remember(self._given)
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._changed: _Stamp | None = None
        self._lost_at_s: float | None = None
        self._checked_at_s = float("-inf")
        self._header = ""
        self._renewals = 0

    def __repr__(self) -> str:
        return f"Credentials(token_file={self._file}, given={bool(self._given)})"

    def authorization(self) -> str:
        """Return the header's value, or "" if no token is configured.

        A token from a file gets the prefix ``Bearer `` unless it begins with ``Bearer `` or ``Basic ``; a given value
        is complete (``ARGO_TOKEN``).

        The file may be read while it is written. So a changed file counts only if it did not change between two checks,
        and the last good token is used for a second longer while there is none.

        Raises:
            TransientError: ``token-unreadable``: the file is missing, unreadable or empty, or its content cannot be a
                header. A later call tries again.
        """
        if self._file is None:
            return _checked(self._given, "ARGO_TOKEN") if self._given else ""
        with self._lock:
            self._look(self._file)
            return self._header

    @property
    def renewals(self) -> int:
        """How often a new token came into use, including the first; checks the file. Thread: any."""
        if self._file is not None:
            # A problem with the file is reported to whoever needs the token.
            with self._lock, contextlib.suppress(TransientError):
                self._look(self._file)
        return self._renewals

    def _look(self, file: Path) -> None:
        now_s = self._clock.monotonic_s()
        if self._header and now_s - self._checked_at_s < _CHECK_EVERY_S:
            return
        self._checked_at_s = now_s
        try:
            header = self._read(file)
        except TransientError:
            self._lost_at_s = now_s if self._lost_at_s is None else self._lost_at_s
            if self._header and now_s - self._lost_at_s < _GRACE_S:
                return
            self._header = ""
            raise
        self._lost_at_s = None
        _remember(header)
        self._renewals += header != self._header
        self._header = header

    def _read(self, file: Path) -> str:
        try:
            # The file's stamp from before reading, so that a change during reading is noticed next time.
            stamp = _stamp(file)
            if self._header and stamp != self._changed:
                self._changed = stamp
                return self._header
            if self._header and stamp == self._stamp:
                return self._header
            with file.open("rb") as stream:
                raw = stream.read(_MAX_BYTES + 1)
        except OSError as error:
            raise _unreadable(str(file), error.strerror or "cannot be read") from error
        header = _header(raw, str(file))
        self._stamp = self._changed = stamp
        return header


def _remember(header: str) -> None:
    """Remove the token, and the password in a Basic header, from all later output."""
    scheme, _, token = header.rpartition(" ")
    remember_secret(token)
    if scheme == "Basic":
        with contextlib.suppress(ValueError):
            remember_secret(base64.b64decode(token).decode().partition(":")[2])


def _stamp(file: Path) -> _Stamp:
    found = file.stat()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _header(raw: bytes, place: str) -> str:
    if len(raw) > _MAX_BYTES:
        raise _unreadable(place, "has more than 64 KiB")
    try:
        token = raw.decode("ascii").strip()
    except UnicodeDecodeError:
        raise _unreadable(place, "has bytes that are not allowed in a header") from None
    if not token:
        raise _unreadable(place, "is empty")
    return _checked(token if token.startswith(("Bearer ", "Basic ")) else f"Bearer {token}", place)


def _checked(header: str, place: str) -> str:
    # A line break would end the header and let someone else add another.
    if not header.isascii() or not header.isprintable():
        raise _unreadable(place, "has characters that are not allowed in a header")
    return header


def _unreadable(place: str, cause: str) -> TransientError:
    return TransientError(
        f"read the Argo token: {place} {cause}", code="token-unreadable", hint="check argo.token-file"
    )
