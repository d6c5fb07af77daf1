"""The SQL of the package: blocks by name, migrations by number, both complete."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from bridge.spool.files import load_migrations, load_statements, parse_statements


def test_blocks_are_found_by_name() -> None:
    """A block ends where the next begins; its final semicolon is not part of it."""
    blocks = parse_statements("-- a comment\n\n-- name: one\nselect 1;\n\n-- name: two\nselect\n  2;\n")
    assert dict(blocks) == {"one": "select 1", "two": "select\n  2"}


def test_a_name_that_stands_twice_is_refused() -> None:
    """Two blocks of one name would hide each other."""
    with pytest.raises(ValueError, match="one"):
        parse_statements("-- name: one\nselect 1;\n-- name: one\nselect 2;\n")


def test_every_statement_is_used_and_every_used_one_is_there() -> None:
    """The names in queries.sql are those that the code runs."""
    package = resources.files("bridge.spool")
    code = "".join(file.read_text("utf-8") for file in package.iterdir() if file.name.endswith(".py"))
    used = set(re.findall(r"""(?:run\(|many\(|load_statements\(\)\[|_picked\(\(|_earliest\()\s*"(\w+)\"""", code))
    assert used == set(load_statements())


def test_migrations_are_numbered_without_a_gap() -> None:
    """Numbers run 1, 2, 3 and so on: a schema version says which have run."""
    migrations = load_migrations()
    assert [migration.number for migration in migrations] == list(range(1, len(migrations) + 1))
    assert all(migration.sql.strip() for migration in migrations)
