"""What people see of dead letters."""

from __future__ import annotations

from bridge.cli.views.dead_letters import show_letter, show_list

LETTER = {
    "id": 7,
    "reason": "invalid-payload",
    "message": "no good\x1b[2J",
    "mapping": "boiler",
    "topic": "a/\x07" + "b" * 60,
    "count": 3,
    "lastTime": "2026-11-24T14:00:00.000Z",
    "replayable": 2,
}


def test_a_table_is_aligned_and_harmless(capsys):
    """One line a letter, columns below their titles, long topics cut, control characters written out."""
    show_list([LETTER, LETTER | {"id": 12345, "mapping": ""}])
    title, first, second = capsys.readouterr().out.splitlines()
    assert title.index("REASON") == first.index("invalid-payload") == second.index("invalid-payload")
    assert "2026-11-24 14:00:00Z" in first
    assert "no good\\x1b[2J" in first
    assert "…" in first
    assert (first + second).isprintable()


def test_nothing_is_said_in_words(capsys):
    """An empty list is a sentence, not a table of titles."""
    show_list([])
    assert capsys.readouterr().out == "no dead letters\n"


def test_a_letter_is_shown_whole_and_harmless(capsys):
    """Payload lines stay lines; whatever they hold, nothing but printable text and ends of lines is written."""
    payload = {"text": '{\n\t"a": "\x1b]0;x\x07"\n}'}
    show_letter(LETTER | {"payload": payload, "details": [{"at": "\x1b"}], "events": [{"workflow": "w-1"}]})
    lines = capsys.readouterr().out.split("\n")
    assert all(line.isprintable() for line in lines)
    assert "payload (text):" in lines
    assert '  \\t"a": "\\x1b]0;x\\x07"' in lines
    assert "events (1 of 2 that a replay submits):" in lines
    assert '  - {"workflow": "w-1"}' in lines
