"""A damaged file: found, set aside whole, never overwritten; the bridge goes on with a new one."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from bridge.core.errors import SpoolError
from bridge.spool import files
from bridge.spool.records import NewRows
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import done, event, identity, letter, message, seqs_waiting
from tests.support.clock import FakeClock

Damage = Callable[[bytearray], bytearray]


def opened(path: Path) -> Spool:
    return Spool.open(path, clock=FakeClock())


def filled(path: Path, count: int = 400) -> bytes:
    with opened(path) as spool:
        spool.commit(NewRows(events=[event(n, value="x" * 200) for n in range(count)]))
    return path.read_bytes()


def header_zeroed(data: bytearray) -> bytearray:
    data[:100] = bytes(100)
    return data


def first_page_zeroed(data: bytearray) -> bytearray:
    data[:4096] = bytes(4096)
    return data


def truncated(data: bytearray) -> bytearray:
    return data[: len(data) // 2]


def truncated_within_a_page(data: bytearray) -> bytearray:
    return data[: len(data) - 5000]


def emptied(data: bytearray) -> bytearray:
    return data[:0]


def pages_scrambled(data: bytearray) -> bytearray:
    # Behind the pages of a new spool, which hold the schema.
    data[4096 * 40 : 4096 * 65] = random.Random(1).randbytes(4096 * 25)
    return data


def replaced_by_text(data: bytearray) -> bytearray:
    return bytearray(b"not a database at all\n" * 500)


def use(spool: Spool) -> None:
    """Do a bit of everything."""
    spool.commit(NewRows(events=[event(10_000)], outbox=[message("a")], dead_letters=[letter()]))
    spool.find_waiting(identity(3))
    spool.settle([done(seq) for seq in seqs_waiting(spool)])
    spool.outbox("plant", 0, 99)
    spool.dead_letters()
    spool.purge()


@pytest.mark.parametrize(
    "damage",
    [header_zeroed, first_page_zeroed, truncated, truncated_within_a_page, emptied, pages_scrambled, replaced_by_text],
)
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: Damage) -> None:
    """It keeps its bytes under a name that says so, the new spool is empty and works, and the next start is quiet."""
    path = tmp_path / "spool.db"
    bad = bytes(damage(bytearray(filled(path))))
    path.write_bytes(bad)
    with opened(path) as spool:
        assert spool.set_aside is not None
        assert spool.set_aside.name == "spool.db.corrupt-20250615T150640Z"
        assert spool.set_aside.read_bytes() == bad
        assert spool.commit(NewRows(events=[event(1)])).stored == 1
        assert spool.check() == ()
    with opened(path) as spool:
        assert spool.set_aside is None
        assert spool.figures().waiting == 1


def test_flipped_bytes_never_end_in_a_surprise(tmp_path: Path) -> None:
    """A hundred files with flipped bytes: each opens, sound or set aside, and every later fault is a SpoolError."""
    original = filled(tmp_path / "whole.db", 60)
    chance = random.Random(3)
    aside = 0
    for number in range(100):
        path = tmp_path / f"flipped-{number}.db"
        data = bytearray(original)
        for _ in range(chance.choice([1, 4, 64])):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        with suppress(SpoolError), opened(path) as spool:
            aside += spool.set_aside is not None
            use(spool)
        with opened(path) as spool:
            # Whatever the first start met, the second one works or has begun anew.
            use(spool)
    assert 20 < aside < 100


def test_damage_met_while_running_is_found_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a file too large for a check at each start the commit fails as corrupt; the next start sets it aside."""
    monkeypatch.setattr(files, "CHECKED_BYTES", 0)
    path = tmp_path / "spool.db"
    data = bytearray(filled(path))
    path.write_bytes(pages_scrambled(data))
    with opened(path) as spool:
        assert spool.set_aside is None
        with pytest.raises(SpoolError) as caught:
            spool.settle([done(seq) for seq in range(1, 500)])
        assert caught.value.code == "corrupt"
        assert "restart" in caught.value.hint
        assert spool.damage is caught.value
    with opened(path) as spool:
        assert spool.set_aside is not None
        assert spool.commit(NewRows(events=[event(1)])).stored == 1


def test_the_log_goes_with_the_damaged_file(tmp_path: Path) -> None:
    """Rows that were only in the write-ahead log are kept beside the file that was set aside."""
    path = tmp_path / "spool.db"
    spool = opened(path)
    spool.commit(NewRows(events=[event(n) for n in range(50)]))
    log = (tmp_path / "spool.db-wal").read_bytes()
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "spool.db").write_bytes(b"\0" * 4096)
    (copy / "spool.db-wal").write_bytes(log)
    spool.close()
    with opened(copy / "spool.db") as other:
        assert other.set_aside is not None
        kept = other.set_aside.with_name(other.set_aside.name + "-wal")
        assert kept.exists() or b"sensors/49" in other.set_aside.read_bytes()
        assert other.figures().rows == 0


def test_a_row_that_says_nothing_is_found_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit rot within a row is damage as well: reading it fails as corrupt, and the next start sets the file aside."""
    monkeypatch.setattr(files, "CHECKED_BYTES", 0)
    path = tmp_path / "spool.db"
    filled(path, 3)
    with closing(files.connect(str(path))) as connection:
        connection.execute("update waiting set body = substr(body, 1, 30) where seq = (select max(seq) from waiting)")
    with opened(path) as spool:
        assert spool.set_aside is None
        with pytest.raises(SpoolError) as caught:
            spool.waiting("boiler", 0, 9)
        assert caught.value.code == "corrupt"
        assert spool.damage is caught.value
    with opened(path) as spool:
        assert spool.set_aside is not None
        assert seqs_waiting(spool) == []


def test_check_tells_counts_that_do_not_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool whose counters lie is reported, by what and by how much."""
    monkeypatch.setattr(files, "CHECKED_BYTES", 0)
    path = tmp_path / "spool.db"
    filled(path, 3)
    with closing(files.connect(str(path))) as connection:
        connection.execute("delete from waiting where seq = (select max(seq) from waiting)")
    with opened(path) as spool:
        assert "waiting and ended: 2 counted, 3 expected" in spool.check()
