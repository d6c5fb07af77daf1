"""What came from outside says no secret and obeys no terminal."""

from __future__ import annotations

import base64
import io
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.argo.credentials import Credentials
from bridge.argo.errors import classify
from bridge.core import log
from bridge.core.errors import cut
from bridge.core.foreign import SHOWN, cleaned, conceal, conceal_bytes, harmless_json, remember_secret, well_formed
from bridge.core.report import ReportWriter
from bridge.transports.password_file import read_password

HARMFUL = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F))]
HARMFUL += [chr(code) for code in range(0x2066, 0x206A)]


def test_a_token_that_was_read_is_never_said(tmp_path: Path) -> None:
    """The header, the bare token and the password of a Basic header; the one before a renewal too."""
    (tmp_path / "token").write_text("eyJhbGciOi.first-token")
    Credentials(tmp_path / "token").authorization()
    Credentials(None, "Basic " + base64.b64encode(b"me:correct horse").decode())
    text = "got Authorization: Bearer eyJhbGciOi.first-token of me:correct horse"
    assert conceal(text) == f"got Authorization: Bearer {SHOWN} of me:{SHOWN}"
    assert conceal_bytes(text.encode()) == conceal(text).encode()
    assert conceal(base64.b64encode(b"me:correct horse").decode()) == SHOWN


def test_a_password_that_was_read_is_never_said(tmp_path: Path) -> None:
    """A broker that repeats it in a refusal, say."""
    (tmp_path / "password").write_text("pass-word-of-a-broker\r\n")
    read_password(tmp_path / "password")
    assert cut("no: pass-word-of-a-broker") == f"no: {SHOWN}"


def test_a_secret_is_taken_out_before_a_text_is_cut() -> None:
    """Half a secret at the end of a cut text is a secret too."""
    remember_secret("a-secret-at-the-edge")
    assert "a-sec" not in cut("x" * 250 + "a-secret-at-the-edge")


def test_what_is_short_is_no_secret() -> None:
    """A password such as "ok" would be found everywhere."""
    remember_secret("ok")
    assert conceal("ok, it is broken") == "ok, it is broken"


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_line_of_the_log_says_a_secret(form: str) -> None:
    """Not its sentence, not its keys, not its traceback."""
    remember_secret("secret-of-the-log")
    stream = io.StringIO()
    formatter = log.JsonFormatter() if form == "json" else log.ConsoleFormatter()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    try:
        raise ValueError("secret-of-the-log")
    except ValueError as error:
        record = logging.LogRecord("bridge.x", 30, "", 1, "no: %s", ("secret-of-the-log",), (type(error), error, None))
    record.topic = "secret-of-the-log"
    handler.emit(record)
    assert "secret-of-the-log" not in stream.getvalue()
    assert stream.getvalue().count(SHOWN) == 3


def test_no_report_says_a_secret(tmp_path: Path) -> None:
    """An exception may hold the text of an answer."""
    remember_secret("secret-of-a-report")
    path = ReportWriter(tmp_path).write("test", ValueError("secret-of-a-report"), 0.0)
    assert path is not None
    assert "secret-of-a-report" not in path.read_text()


@given(st.text(st.characters(codec="utf-8") | st.sampled_from(HARMFUL)))
def test_no_harmful_character_is_left(text: str) -> None:
    """Only the line break and the tab, which whoever prints lines takes care of; the rest stays as it was."""
    left = cleaned(text)
    assert not set(left) & (set(HARMFUL) - {"\n", "\t"})
    assert len(left) == len(text)
    assert all(one == other or other == " " for one, other in zip(text, left, strict=True))


@given(st.recursive(st.text(st.characters(codec="utf-8") | st.sampled_from(HARMFUL)), st.lists))
def test_json_for_machines_means_the_same(value: object) -> None:
    """What a terminal would obey is written as an escape, and read back as it was."""
    line = harmless_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(line) == value
    assert not set(line) & set(HARMFUL)


def test_an_answer_is_one_harmless_line() -> None:
    """Texts of errors and targets of redirects are cut and cleaned."""
    text = classify(302, {"location": "http://evil/\x1b[2J\u202e" + "x" * 1000}, b"", 0.0).message
    assert len(text) <= 256
    assert not set(text) & set(HARMFUL)


@given(st.text(st.characters(exclude_categories=())))
def test_the_result_has_an_encoding_and_well_formed_text_stays(text: str) -> None:
    """The result always is UTF-8; text that was already is not touched."""
    result = well_formed(text)
    result.encode()
    if not any("\ud800" <= char <= "\udfff" for char in text):
        assert result == text


def test_a_lone_surrogate_can_be_seen() -> None:
    """A lone surrogate is written out."""
    assert well_formed("a\ud800b") == "a\\ud800b"
