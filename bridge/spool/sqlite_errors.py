"""Maps errors of SQLite and the file system to the bridge's errors. No I/O.

Thread: any.
"""

from __future__ import annotations

import errno
import sqlite3

from bridge.core.errors import BridgeError, PermanentError, SpoolError

_DISK_FULL = ("disk-full", "free space on the disk of bridge.data-dir; the bridge continues by itself")
_READ_ONLY = ("read-only", "make bridge.data-dir writable for the user that runs the bridge")
CORRUPT_HINT = "restart the bridge: it checks the file, sets it aside and creates a new one"
_UNUSABLE = ("spool-unusable", "check the disk of bridge.data-dir, and whether another process uses the file")

_BY_SQLITE_CODE = {
    sqlite3.SQLITE_FULL: _DISK_FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
}
_BY_ERRNO = {
    errno.ENOSPC: _DISK_FULL,
    errno.EDQUOT: _DISK_FULL,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _READ_ONLY,
    errno.EPERM: _READ_ONLY,
}
# The spool's own numbers and names are unique while its tables are intact; the one that may repeat is handled.
_BROKEN_UNIQUENESS = (
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
)
# Raised for the values and not for the file: another batch may succeed.
_ABOUT_VALUES = (
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    sqlite3.IntegrityError,
    sqlite3.DataError,
    UnicodeEncodeError,
    OverflowError,
)


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code of `error`, or 0 if the module raised it itself."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def is_damage(error: BaseException) -> bool:
    """Whether `error` says that the file is not an intact database."""
    if isinstance(error, sqlite3.Error):
        # The module's error for a text column with other content; SQLite does not check text.
        if "decode to UTF-8" in str(error) or getattr(error, "sqlite_errorcode", 0) in _BROKEN_UNIQUENESS:
            return True
        return primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    # A UnicodeDecodeError comes from an error message that quotes a damaged schema.
    return isinstance(error, UnicodeDecodeError) or (isinstance(error, SpoolError) and error.code == "corrupt")


def fault_of(verb: str, error: Exception) -> BridgeError:
    """Return the bridge's error for `error`, raised while doing `verb` (``"store events"``).

    Returns:
        `SpoolError` where the file or disk is at fault; `PermanentError` ``not-storable`` where the values are.
    """
    if isinstance(error, OSError):
        code, hint = _BY_ERRNO.get(error.errno or 0, _UNUSABLE)
        return SpoolError(f"cannot {verb}: {error}", code=code, hint=hint)
    if is_damage(error):
        return SpoolError(f"cannot {verb}: {error}", code="corrupt", hint=CORRUPT_HINT)
    if isinstance(error, _ABOUT_VALUES):
        return PermanentError(f"cannot {verb}: a value cannot be stored: {error}", code="not-storable")
    code, hint = _UNUSABLE
    if isinstance(error, sqlite3.Error):
        code, hint = _BY_SQLITE_CODE.get(primary_code(error), _UNUSABLE)
    return SpoolError(f"cannot {verb}: {error}", code=code, hint=hint)
