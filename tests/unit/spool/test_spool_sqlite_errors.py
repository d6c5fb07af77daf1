"""SQLite's and the system's errors as the bridge's: the code says what to do."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from bridge.core.errors import PermanentError, SpoolError
from bridge.spool.sqlite_errors import fault_of, is_damage


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("it says")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (sqlite_error(sqlite3.SQLITE_FULL), "disk-full"),
        (sqlite_error(sqlite3.SQLITE_READONLY), "read-only"),
        (sqlite_error(sqlite3.SQLITE_READONLY_DIRECTORY), "read-only"),
        (sqlite_error(sqlite3.SQLITE_CORRUPT), "corrupt"),
        (sqlite_error(sqlite3.SQLITE_CORRUPT_INDEX), "corrupt"),
        (sqlite_error(sqlite3.SQLITE_NOTADB), "corrupt"),
        (sqlite_error(sqlite3.SQLITE_IOERR_FSYNC), "spool-unusable"),
        (sqlite_error(sqlite3.SQLITE_BUSY), "spool-unusable"),
        (OSError(errno.ENOSPC, "full"), "disk-full"),
        (OSError(errno.EROFS, "read-only"), "read-only"),
        (OSError(errno.EACCES, "denied"), "read-only"),
        (OSError(errno.EIO, "broken"), "spool-unusable"),
    ],
)
def test_a_fault_of_the_disk_has_its_code(error: Exception, code: str) -> None:
    """Extended result codes count as their primary one; each error says what was tried and what to do."""
    fault = fault_of("store events", error)
    assert isinstance(fault, SpoolError)
    assert fault.code == code
    assert fault.message.startswith("cannot store events: ")
    assert fault.hint


def test_a_fault_of_the_values_is_permanent() -> None:
    """What no retry can store is not reported as a broken spool."""
    for error in (sqlite3.DataError("too big"), sqlite3.IntegrityError("null"), OverflowError("int too large")):
        fault = fault_of("store events", error)
        assert isinstance(fault, PermanentError)
        assert fault.code == "not-storable"


def test_damage_is_told_from_other_faults() -> None:
    """Only a file that is no sound database asks for a check at the next start."""
    assert is_damage(sqlite_error(sqlite3.SQLITE_CORRUPT))
    assert is_damage(sqlite_error(sqlite3.SQLITE_NOTADB))
    assert not is_damage(sqlite_error(sqlite3.SQLITE_FULL))
    assert not is_damage(sqlite3.ProgrammingError("closed"))
