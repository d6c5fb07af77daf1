"""Files of the first schema, whose dead letters kept no events, are read on."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import orjson

from bridge.spool.encoding import decode_letter, encode_letter
from bridge.spool.files import APPLICATION_ID, connect, load_migrations, migrate, prepare_writer
from bridge.spool.records import NewRows
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import event, identity, letter
from tests.support.clock import FakeClock


def first_version(path: Path) -> None:
    """Write a file as the first schema had it, with a dead letter of an event that died."""
    with closing(connect(str(path))) as connection:
        connection.execute("pragma auto_vacuum = incremental")
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
        prepare_writer(connection)
        migrate(connection, load_migrations()[:1])
        head, payload = encode_letter(letter("expired", payload=b"", event_id=identity(1)))
        connection.execute(
            "insert into dead_letters values (5, 'boiler', 'expired', 2, 1.0, 3.0, 4.0, 100, ?, ?)", (head, payload)
        )
        connection.execute("update state set next_seq = 9, dead_letters = 1, dead_bytes = 100")


def test_a_letter_of_the_first_schema_is_kept_without_its_event(tmp_path: Path) -> None:
    """The file is upgraded in place; the letter is listed, has nothing to replay, and does not merge with new ones."""
    path = tmp_path / "spool.db"
    first_version(path)
    with Spool.open(path, clock=FakeClock()) as spool:
        assert spool.set_aside is None
        (kept,) = spool.dead_letters()
        assert (kept.seq, kept.count, kept.kept, kept.letter.event_id) == (5, 2, None, identity(1))
        assert spool.dead_events(5) == ()
        spool.commit(NewRows(events=[event(1)]))
        assert spool.check() == ()


def test_a_head_without_properties_is_read() -> None:
    """What the first schema's letters were has one part less; a message without properties is what it meant."""
    head, payload = encode_letter(letter(payload=b"x"))
    old = orjson.dumps(orjson.loads(head)[:-1])
    assert decode_letter("boiler", "invalid-payload", old, payload) == decode_letter(
        "boiler", "invalid-payload", head, payload
    )
