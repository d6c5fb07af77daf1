"""Manifests, stored once by digest and shared by many events. Maps manifests to numbers, and numbers to bytes.

Both caches are limited in bytes and simply emptied when full. Numbers are never reused, so an entry can be missing but
not wrong.

Thread: `ids` under the writer's lock; `body` in any.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from bridge.core.errors import SpoolError
from bridge.spool.database import Snapshot, Transaction
from bridge.spool.sqlite_errors import CORRUPT_HINT

CACHE_BYTES = 4 * 2**20


class ManifestTable:
    """The manifests of one spool."""

    def __init__(self) -> None:
        self._ids: dict[bytes, int] = {}
        self._ids_bytes = 0
        self._bodies: dict[int, bytes] = {}
        self._bodies_bytes = 0

    def ids(self, commit: Transaction, manifests: Sequence[bytes]) -> list[int]:
        """Return the number of each manifest, stored if new, and count one more reference to each."""
        found: dict[bytes, int] = {}
        for manifest in manifests:
            if manifest not in found:
                found[manifest] = self._ids.get(manifest) or self._store(commit, manifest)
        numbers = [found[manifest] for manifest in manifests]
        commit.many("count_manifest", [(refs, number) for number, refs in Counter(numbers).items()])
        commit.after_commit.append(lambda: self._remember_ids(found))
        return numbers

    def _store(self, commit: Transaction, manifest: bytes) -> int:
        digest = hashlib.sha256(manifest).digest()
        if row := commit.run("find_manifest", (digest,)).fetchone():
            return int(row[0])
        number = commit.ledger.take_seqs(1)
        commit.run("insert_manifest", (number, digest))
        commit.run("insert_manifest_body", (number, manifest))
        return number

    def _remember_ids(self, found: dict[bytes, int]) -> None:
        for manifest, number in found.items():
            if manifest in self._ids or len(manifest) > CACHE_BYTES:
                continue
            if self._ids_bytes + len(manifest) > CACHE_BYTES:
                self._ids.clear()
                self._ids_bytes = 0
            self._ids[manifest] = number
            self._ids_bytes += len(manifest)

    def release(self, commit: Transaction, numbers: Sequence[int]) -> None:
        """Count one less reference for each of `numbers`."""
        commit.many("count_manifest", [(-refs, number) for number, refs in Counter(numbers).items()])

    def hold(self, commit: Transaction, numbers: Sequence[int]) -> None:
        """Count one more reference for each of `numbers`."""
        commit.many("count_manifest", [(refs, number) for number, refs in Counter(numbers).items()])

    def purge(self, commit: Transaction, limit: int) -> int:
        """Delete up to `limit` manifests without references; return how many."""
        unused = [row[0] for row in commit.run("unused_manifests", (limit,))]
        if not unused:
            return 0
        gone = {"ids": str(unused)}
        commit.run("delete_manifests", gone)
        commit.run("delete_manifest_bodies", gone)
        # Removed from the cache even if the commit fails: then they are found by digest again.
        self._ids.clear()
        self._ids_bytes = 0
        return len(unused)

    def body(self, snapshot: Snapshot, number: int) -> bytes:
        """Return the bytes of manifest `number`, the same object each time while it is cached."""
        body = self._bodies.get(number)
        if body is None:
            row = snapshot.run("manifest_body", (number,)).fetchone()
            if row is None:
                raise SpoolError(f"cannot read manifest {number}: it is missing", code="corrupt", hint=CORRUPT_HINT)
            body = bytes(row[0])
            # Two threads may count one body twice; the next clearing corrects this.
            if self._bodies_bytes + len(body) > CACHE_BYTES:
                self._bodies = {}
                self._bodies_bytes = 0
            self._bodies[number] = body
            self._bodies_bytes += len(body)
        return body
