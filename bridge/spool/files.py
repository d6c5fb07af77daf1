"""The spool's file: created completely or not at all, upgraded in steps, set aside if damaged, never overwritten.

The SQL comes from the package: named statements (queries.sql) and numbered migrations.

Thread: the one that opens the spool. The data directory's lock (`DataDirLock`) keeps other processes out.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from bridge.core.errors import SpoolError
from bridge.spool.encoding import reply_of_body
from bridge.spool.sqlite_errors import fault_of, is_damage

APPLICATION_ID = 0x41724272
# A file up to this size is checked completely at each start; a larger one only after damage was found while running.
CHECKED_BYTES = 32 * 2**20
# A schema number above all possible migrations is damage, not a newer bridge.
LAST_NUMBER = 9999
_COMPANIONS = ("-wal", "-shm", "-journal")
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION = re.compile(r"^(\d{4})_(\w+)\.sql$")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step from schema version ``number - 1`` to ``number``.

    Attributes:
        number: 1 to 9999; the resulting ``user_version``.
        name: its purpose, in a word.
        sql: statements; no transaction control.
    """

    number: int
    name: str
    sql: str


def parse_statements(text: str) -> Mapping[str, str]:
    """Return the blocks of `text` by name; each begins with a line ``-- name: NAME``.

    Raises:
        ValueError: a name occurs twice.
    """
    parts = _NAME.split(text)
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"statement names stand twice: {sorted({name for name in names if names.count(name) > 1})}")
    return MappingProxyType({name: body.strip().rstrip(";") for name, body in zip(names, bodies, strict=True)})


def load_statements() -> Mapping[str, str]:
    """Return the statements of queries.sql by name."""
    return parse_statements(resources.files("bridge.spool").joinpath("queries.sql").read_text("utf-8"))


def load_migrations() -> tuple[Migration, ...]:
    """Return the migrations in order; their numbers are 1, 2, 3 and so on."""
    files = resources.files("bridge.spool").joinpath("migrations").iterdir()
    matches = [(_MIGRATION.match(file.name), file) for file in files]
    found = [Migration(int(match[1]), match[2], file.read_text("utf-8")) for match, file in matches if match]
    return tuple(sorted(found, key=lambda migration: migration.number))


def connect(path: str, *, uri: bool = False) -> sqlite3.Connection:
    """Open a connection in autocommit mode that any one thread may use at a time."""
    return sqlite3.connect(
        path, timeout=5.0, isolation_level=None, check_same_thread=False, cached_statements=128, uri=uri
    )


def prepare_writer(connection: sqlite3.Connection) -> None:
    """Configure a writer connection: WAL, a commit that waits for ``fsync``, a cache of 8 MiB."""
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    # Debian's SQLite overwrites deleted rows with zeros unless disabled: this doubles the written pages.
    connection.execute("pragma secure_delete = off")
    connection.execute("pragma cache_size = -8192")
    connection.execute("pragma temp_store = memory")
    connection.execute("pragma wal_autocheckpoint = 8000")
    connection.execute("pragma journal_size_limit = 67108864")


def open_reader(path: Path) -> sqlite3.Connection:
    """Open another connection, for reading only."""
    return connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def migrate(connection: sqlite3.Connection, migrations: Iterable[Migration]) -> None:
    """Upgrade the schema, each step with its number in one transaction.

    Raises:
        SpoolError: ``spool-newer``: a newer bridge wrote the file. A retry does not help.
        sqlite3.Error: a step failed; the steps before it are kept, it left nothing.
    """
    steps = list(migrations)
    version = int(connection.execute("pragma user_version").fetchone()[0])
    newest = steps[-1].number if steps else 0
    if version > newest:
        raise SpoolError(
            f"cannot open the spool: its schema is version {version}, this bridge supports versions up to {newest}",
            code="spool-newer",
            hint="run the newer bridge, or move the file away",
        )
    for step in steps[version:]:
        try:
            connection.executescript(f"begin immediate;\n{step.sql}\npragma user_version = {step.number};\ncommit;")
        finally:
            if connection.in_transaction:
                connection.execute("rollback")


def open_writer(path: Path, migrations: Iterable[Migration], wall_s: float) -> tuple[sqlite3.Connection, Path | None]:
    """Open the spool's file; a missing or damaged one is created anew.

    Returns:
        the writer's connection, and where a damaged file was put, or None.

    Raises:
        SpoolError: ``read-only``, ``disk-full``, ``spool-newer``, ``spool-unusable``.
    """
    steps = tuple(migrations)
    with _mapped("open the spool"):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = _set_aside(path, wall_s) if _is_torn(path) else None
        if not path.exists():
            _create(path, steps)
        connection = connect(str(path))
        try:
            if not _is_sound(connection, path, steps):
                # Renamed before it is closed: closing would write the log's pages into the damaged file.
                aside = _set_aside(path, wall_s)
                connection.close()
                _create(path, steps)
                connection = connect(str(path))
            prepare_writer(connection)
            migrate(connection, steps)
        except BaseException:
            connection.close()
            raise
        suspicion(path).unlink(missing_ok=True)
        return connection, aside


@contextmanager
def _mapped(verb: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise fault_of(verb, error) from error


def bytes_on_disk(path: Path) -> int:
    """Return the size of the file and its write-ahead log.

    Raises:
        SpoolError: the file cannot be seen.
    """
    with _mapped("measure the spool"):
        log = path.with_name(path.name + "-wal")
        return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def suspicion(path: Path) -> Path:
    """Return the file whose presence makes the next start check the whole spool."""
    return path.with_name(path.name + ".suspect")


def mark_suspect(path: Path) -> None:
    """Make the next start check the whole file."""
    try:
        suspicion(path).touch()
    except OSError:
        # The disk that damaged the file may refuse this too; small files are checked anyway.
        return


def _is_torn(path: Path) -> bool:
    """Whether the file cannot be opened as it is: empty, or a log without its file.

    SQLite would treat an empty file as a new database, and would replay a foreign log into a new one.
    """
    if path.exists():
        return path.stat().st_size == 0
    return any(path.with_name(path.name + suffix).exists() for suffix in _COMPANIONS)


def _is_sound(connection: sqlite3.Connection, path: Path, steps: tuple[Migration, ...]) -> bool:
    try:
        if not _is_ours(connection, steps):
            return False
        if path.stat().st_size > CHECKED_BYTES and not suspicion(path).exists():
            return True
        is_current = connection.execute("pragma user_version").fetchone()[0] == steps[-1].number
        # The counts of an older schema are not those that check_rows compares.
        return not (problems(connection) if is_current else _page_problems(connection))
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if is_damage(error):
            return False
        raise


def _is_ours(connection: sqlite3.Connection, steps: tuple[Migration, ...]) -> bool:
    """Whether the file is marked as a spool, and has the schema of its version."""
    if connection.execute("pragma application_id").fetchone()[0] != APPLICATION_ID:
        return False
    version = int(connection.execute("pragma user_version").fetchone()[0])
    if version > steps[-1].number:
        return version <= LAST_NUMBER
    with closing(connect(":memory:")) as model:
        migrate(model, steps[:version])
        if _schema(connection) != _schema(model):
            return False
    return bool(connection.execute("select count(*) from state").fetchone()[0] == 1)


def _schema(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("select name, sql from sqlite_schema where sql is not null order by name").fetchall()


def problems(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Return the problems of the spool, one sentence each; () if it is intact. Reads the whole file.

    Raises:
        sqlite3.Error: it cannot be read, because it is damaged (`is_damage`) or for another reason.
    """
    if found := _page_problems(connection):
        return found
    counts = connection.execute(load_statements()["check_rows"])
    wrong = [f"{name}: {counted} counted, {kept} expected" for name, counted, kept in counts if counted != kept]
    # SQLite's check does not look inside texts and blobs.
    for body, *_ in connection.execute("select w.body, e.*, w.* from waiting w join events e on e.seq = w.seq"):
        try:
            reply_of_body(body)
        except SpoolError as error:
            wrong.append(error.message)
    return tuple(wrong)


def _page_problems(connection: sqlite3.Connection) -> tuple[str, ...]:
    found = tuple(str(row[0]) for row in connection.execute("pragma integrity_check(100)"))
    return () if found == ("ok",) else found


def _create(path: Path, steps: tuple[Migration, ...]) -> None:
    temporary = path.with_name(path.name + ".new")
    for leftover in (temporary, *(temporary.with_name(temporary.name + suffix) for suffix in _COMPANIONS)):
        leftover.unlink(missing_ok=True)
    # Payloads are private; the log inherits the file's mode.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = connect(str(temporary))
    try:
        connection.execute("pragma auto_vacuum = incremental")
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        migrate(connection, steps)
    finally:
        connection.close()
    _fsync(temporary)
    temporary.rename(path)
    _fsync(path.parent)


def _set_aside(path: Path, wall_s: float) -> Path:
    stamp = datetime.fromtimestamp(max(wall_s, 0.0), UTC).strftime("%Y%m%dT%H%M%SZ")
    target = path.with_name(f"{path.name}.corrupt-{stamp}")
    number = 1
    while any(target.with_name(target.name + suffix).exists() for suffix in ("", *_COMPANIONS)):
        number += 1
        target = path.with_name(f"{path.name}.corrupt-{stamp}-{number}")
    for suffix in (*_COMPANIONS, ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))
    _fsync(path.parent)
    return target


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
