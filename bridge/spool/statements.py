"""Reads the spool's SQL from the package: named statements and numbered migrations. Runs none of it.

Thread: whichever opens the spool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION = re.compile(r"^(\d{4})_(\w+)\.sql$")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step from schema version ``number - 1`` to ``number``.

    Attributes:
        number: 1 to 9999; the ``user_version`` that it leaves.
        name: what it does, in a word.
        sql: statements; no transaction control.
    """

    number: int
    name: str
    sql: str


def parse_statements(text: str) -> Mapping[str, str]:
    """Return the blocks of `text`, each begun by a line ``-- name: NAME``, by name.

    Raises:
        ValueError: a name stands twice.
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
