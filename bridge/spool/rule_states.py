"""The part of the spool for rules over time: the state of each mapping and key.

A part of `Spool`: every method that writes returns after its commit is durable. Thread: any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import inf

from bridge.spool.database import Database, Transaction
from bridge.spool.options import SpoolOptions
from bridge.spool.records import RuleState

DROP_STEP = 1000
ROW_BYTES = 100
"""Size of a row besides its state, with the indexes."""


class RuleTables:
    """The table ``rule_states``; `Spool` makes it."""

    _database: Database
    _limits: SpoolOptions

    def rule_state(self, mapping: str, key: str) -> bytes:
        """Return the state of a mapping and key, b"" for none."""
        with self._database.reading("read the state of a rule") as snapshot:
            row = snapshot.run("find_rule_state", (mapping, _encoded(key))).fetchone()
        return b"" if row is None else bytes(row[0])

    def due_rule_states(self, mapping: str, age_s: float, known_s: float, limit: int) -> tuple[tuple[str, bytes], ...]:
        """Return up to `limit` keys of a mapping that are due at these times, with their states, earliest first."""
        with self._database.reading("read the states that are due") as snapshot:
            rows = dict(snapshot.run("rule_states_due_by_age", (mapping, age_s, limit)).fetchall())
            if len(rows) < limit:
                rows |= snapshot.run("rule_states_due_by_known", (mapping, known_s, limit - len(rows))).fetchall()
        return tuple((key.decode("utf-8", "surrogatepass"), bytes(state)) for key, state in rows.items())

    def rule_states(self, mapping: str, after_key: str, limit: int) -> tuple[tuple[str, bytes], ...]:
        """Return up to `limit` keys of a mapping behind `after_key`, with their states."""
        with self._database.reading("read the states of a rule") as snapshot:
            rows = snapshot.run("rule_states_after", (mapping, _encoded(after_key), limit)).fetchall()
        return tuple((key.decode("utf-8", "surrogatepass"), bytes(state)) for key, state in rows)

    def next_rule_due(self, mapping: str) -> tuple[float, float]:
        """Return the earliest times at which a key of a mapping is due, on each clock; infinity for never."""
        with self._database.reading("find the state that is due next") as snapshot:
            ages = snapshot.run("next_rule_age", (mapping,)).fetchone()
            known = snapshot.run("next_rule_known", (mapping,)).fetchone()
        return (inf if ages[0] is None else ages[0], inf if known[0] is None else known[0])

    def drop_rule_states(self) -> Counter[str]:
        """Drop states that were not used for longest while there are too many; returns how many, by mapping."""
        limits, dropped = self._limits, Counter[str]()
        while True:
            with self._database.reading("measure the states of rules") as snapshot:
                count, size = snapshot.run("measure_rule_states").fetchone()
                many = count - limits.max_keys
                if size + count * ROW_BYTES > limits.max_state_bytes:
                    many = max(many, count // 100 + 1)
                rows = snapshot.run("unused_rule_states", (min(many, DROP_STEP),)).fetchall() if many > 0 else ()
            if not rows:
                return dropped
            with self._database.transaction("drop states of rules") as commit:
                commit.many("drop_rule_state", rows)  # not what was changed since it was read
            dropped.update(mapping for mapping, *_ in rows)


def store_rule_states(commit: Transaction, rows: Sequence[RuleState]) -> None:
    """Store states; of a mapping and key the last one stays."""
    if not rows:
        return
    newest = {(row.mapping, row.key): row for row in rows}
    kept = [row for row in newest.values() if row.state]
    gone = [(row.mapping, _encoded(row.key)) for row in newest.values() if not row.state]
    if kept:
        commit.many("put_rule_state", [_values(row) for row in kept])
    if gone:
        commit.many("delete_rule_state", gone)


def _values(row: RuleState) -> tuple[object, ...]:
    age_s = None if row.due_age_s == inf else row.due_age_s
    known_s = None if row.due_known_s == inf else row.due_known_s
    return (row.mapping, _encoded(row.key), row.state, age_s, known_s, row.used)


def _encoded(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")
