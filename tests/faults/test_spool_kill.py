"""SIGKILL at any point: what was acknowledged is there, nothing is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bridge.spool.encoding import encode_event
from bridge.spool.files import APPLICATION_ID, connect, load_migrations, migrate, prepare_writer
from bridge.spool.records import NewRows, Outcome
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import event, identity
from tests.support.clock import FakeClock
from tests.support.machine import scaled

# Commits batches of three from a number on, ends the middle one of each with a message; tells each after its commit.
LOOP = """
import sys
from pathlib import Path
from bridge.core.clock import SystemClock
from bridge.spool.records import NewRows
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import done, event, identity
spool = Spool.open(Path(sys.argv[1]), clock=SystemClock())
number = int(sys.argv[2])
print("open", flush=True)
while True:
    spool.commit(NewRows(events=[event(number + n) for n in range(3)]))
    print("stored", number, flush=True)
    row = spool.find_waiting(identity(number + 1))
    spool.settle([done(row.seq, str(number + 1))])
    print("ended", number + 1, flush=True)
    number += 3
    if number % 30 == 0:
        spool.purge()
"""

# Opens a spool and says so; run to be killed while it does.
OPEN = """
import sys
from pathlib import Path
from bridge.core.clock import SystemClock
from bridge.spool.store import Spool
print("start", flush=True)
Spool.open(Path(sys.argv[1]), clock=SystemClock())
"""

# Runs a migration that is killed in its middle.
MIGRATE = """
import os, signal, sys
from bridge.spool.files import connect, migrate, prepare_writer
from bridge.spool.files import Migration, load_migrations
connection = connect(sys.argv[1])
prepare_writer(connection)
connection.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
step = "alter table meta add column more text; insert into meta values ('half', 'done', ''); select die();"
migrate(connection, (*load_migrations(), Migration(len(load_migrations()) + 1, "more", step)))
"""


# Brings a file from one version to the next, and is killed in the middle of it.
UPGRADE = """
import os, signal, sys
from dataclasses import replace
from bridge.spool.files import connect, migrate, prepare_writer
from bridge.spool.files import load_migrations
connection = connect(sys.argv[1])
prepare_writer(connection)
connection.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
*before, last = load_migrations()[: int(sys.argv[2])]
migrate(connection, (*before, replace(last, sql=last.sql + "; select die();")))
"""

# What every version has had from the first on.
ONE_WAITS = """
insert into lanes (id, name, waiting) values (1, 'boiler', 1);
insert into manifests values (2, x'{digest}', 1);
insert into manifest_bodies values (2, x'{manifest}');
insert into events (seq, id, digest, namespace, name) values (3, x'{id}', x'00', 'factory', 'boiler-1');
insert into waiting (seq, lane, manifest, not_before_s, attempts, stored_at_s, body)
values (3, 1, 2, 0, 0, 1, x'{body}');
update state set next_seq = 4, rows = 1;
"""


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


def told_before_death(path: Path, first: int, lines: int) -> list[tuple[str, int]]:
    """Run the loop, kill it some way behind `lines` lines, and return all that it told."""
    with child(LOOP, str(path), str(first)) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().split() for _ in range(lines + 1)]
        process.send_signal(signal.SIGKILL)
        told += [line.split() for line in process.stdout.read().splitlines() if " " in line]
    assert told[0] == ["open"]
    return [(verb, int(number)) for verb, number in told[1:]]


@pytest.mark.timeout(300)
def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    """Twenty kills at random points of one spool: every stored event is there once, every end with its message."""
    path = tmp_path / "spool.db"
    chance = random.Random(20)
    first = 0
    stored: set[int] = set()
    ended: set[int] = set()
    for _ in range(20):
        told = told_before_death(path, first, chance.randrange(1, 60))
        stored |= {number + n for verb, number in told if verb == "stored" for n in range(3)}
        ended |= {number for verb, number in told if verb == "ended"}
        first = max(stored) + 1
    with Spool.open(path, clock=FakeClock()) as spool:
        assert spool.set_aside is None
        assert spool.check() == ()
        outcomes = {each.id: each.outcome for each in spool.commit(NewRows(events=list(map(event, stored)))).known}
        assert set(outcomes) == {identity(number) for number in stored}
        assert all(outcomes[identity(number)] is Outcome.DONE for number in ended)
        texts = [row.message.topic for _, row in spool.outbox("plant", 0, 10**6)]
        assert len(texts) == len(set(texts))
        assert {f"to/{number}" for number in ended} <= set(texts)
        figures = spool.figures()
        # A batch may have been cut off between commit and print, so there may be more than was told; none is missing.
        assert figures.rows == figures.waiting + len(texts)


@pytest.mark.timeout(300)
def test_a_kill_while_starting_never_leaves_half_a_spool(tmp_path: Path) -> None:
    """Killed at any moment of its first start, the next start finds nothing or a whole file."""
    chance = random.Random(7)
    for number in range(10):
        path = tmp_path / f"spool-{number}.db"
        with child(OPEN, str(path)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "start\n"
            try:
                process.wait(chance.uniform(0, 0.03))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        with Spool.open(path, clock=FakeClock()) as spool:
            assert spool.set_aside is None
            assert spool.commit(NewRows(events=[event(1)])).stored == 1
            assert spool.check() == ()


def test_a_kill_within_a_migration_leaves_the_step_before(tmp_path: Path) -> None:
    """Rows and schema are those of the last whole step; the next start can run the step again."""
    path = tmp_path / "spool.db"
    with Spool.open(path, clock=FakeClock()) as spool:
        spool.commit(NewRows(events=[event(1)]))
    with child(MIGRATE, str(path)) as process:
        assert process.wait(30) == -signal.SIGKILL
    with Spool.open(path, clock=FakeClock()) as spool:
        assert spool.set_aside is None
        assert spool.meta("half") is None
        assert spool.figures().waiting == 1
    with closing(connect(str(path))) as connection:
        migrate(connection, load_migrations())
        assert connection.execute("pragma table_info(meta)").fetchall()[-1][1] == "value"


def an_older_file(path: Path, version: int) -> None:
    """Write a file as version `version` of the schema had it, in which one event waits."""
    one = event(1)
    values = {"digest": b"m", "manifest": one.order.manifest, "id": one.id, "body": encode_event(one)}
    with closing(connect(str(path))) as connection:
        connection.execute("pragma auto_vacuum = incremental")
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        prepare_writer(connection)
        migrate(connection, load_migrations()[:version])
        connection.executescript(ONE_WAITS.format(**{name: value.hex() for name, value in values.items()}))


@pytest.mark.parametrize("version", range(1, len(load_migrations())))
def test_a_kill_within_each_upgrade_loses_nothing(tmp_path: Path, version: int) -> None:
    """From every version to the next: killed half way, the next start upgrades the file again, and the event waits."""
    path = tmp_path / "spool.db"
    an_older_file(path, version)
    with child(UPGRADE, str(path), str(version + 1)) as process:
        assert process.wait(30) == -signal.SIGKILL
    with closing(connect(str(path))) as connection:
        assert connection.execute("pragma user_version").fetchone()[0] == version
    with Spool.open(path, clock=FakeClock()) as spool:
        assert spool.set_aside is None
        (row,) = spool.waiting("boiler", 0, 9)
        assert (row.event.id, row.event.order.name) == (identity(1), "boiler-1")
        assert spool.commit(NewRows(events=[event(1), event(2)])).stored == 1
        assert spool.check() == ()


def test_the_children_can_be_killed() -> None:
    """The tests above need signals to reach a child; without that they would prove nothing."""
    with child("import time; print('x', flush=True); time.sleep(60)") as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(scaled(10)) == -signal.SIGKILL
