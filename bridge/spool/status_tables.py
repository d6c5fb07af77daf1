"""The part of the spool for status: topics with our retained messages, and statuses from other systems.

A part of `Spool`: every method that writes returns after its commit is durable. Thread: any.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.spool.database import Database, Transaction
from bridge.spool.records import ExternalStatus, NewExternalStatus, RetainedTopic
from bridge.spool.waiting_rows import PAGE_BYTES, within


class StatusTables:
    """The tables ``retained`` and ``external``; `Spool` makes it."""

    _database: Database

    def retained(self) -> tuple[RetainedTopic, ...]:
        """Return every retained message that the bridge must clear, by connection and topic."""
        with self._database.reading("read retained topics") as snapshot:
            return tuple(RetainedTopic(*row) for row in snapshot.run("all_retained"))

    def retain(self, rows: Sequence[RetainedTopic]) -> None:
        """Remember retained messages, before they are published; one topic shows one workflow, the last one stored."""
        with self._database.transaction("remember retained topics") as commit:
            commit.many("retain", [(row.connection, row.topic, row.namespace, row.name, row.uid) for row in rows])

    def release(self, rows: Sequence[RetainedTopic]) -> None:
        """Forget retained messages after they were cleared; a topic that shows another workflow by now is kept."""
        with self._database.transaction("forget retained topics") as commit:
            commit.many("release_retained", [(row.connection, row.topic, row.uid) for row in rows])

    def external(self, after_seq: int = 0) -> tuple[ExternalStatus, ...]:
        """Return statuses from other systems with a number above `after_seq`, in order of arrival, some MiB at a time.

        () when there is none.
        """
        with self._database.reading("read external statuses") as snapshot:
            rows = (ExternalStatus(*row) for row in snapshot.run("external_rows", (after_seq,)))
            return tuple(within(rows, PAGE_BYTES, lambda row: len(row.body)))

    def forget_external(self, rows: Sequence[ExternalStatus]) -> None:
        """Delete statuses from other systems; if a workflow was reported again since, the newer one stays."""
        with self._database.transaction("forget external statuses") as commit:
            commit.many("delete_external", [(row.namespace, row.name, row.seq) for row in rows])


def store_external(commit: Transaction, rows: Sequence[NewExternalStatus]) -> None:
    """Store statuses from other systems; for each workflow the last one stays."""
    if not rows:
        return
    first = commit.ledger.take_seqs(len(rows))
    values = [
        (row.namespace, row.name, seq, commit.now_s + row.keep_s, row.body) for seq, row in enumerate(rows, first)
    ]
    commit.many("put_external", values)
