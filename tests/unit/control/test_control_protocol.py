"""The lines of the control channel."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.control.protocol import (
    MAX_SOCKET_PATH_BYTES,
    error_line,
    question_line,
    read_answer,
    read_question,
    result_line,
    socket_address,
)
from bridge.core.errors import BridgeError, PermanentError, SpoolError

KEYS = st.dictionaries(
    st.text().filter(lambda key: key != "version"), st.none() | st.integers(-(2**53), 2**53) | st.text()
)


@given(KEYS)
def test_a_question_comes_as_it_was_asked(question):
    """One line whatever it holds, read back without its version."""
    line = question_line(question)
    assert line.count(b"\n") == 1
    assert read_question(line) == question


@given(KEYS)
def test_a_result_comes_as_it_was_answered(result):
    """One line whatever it holds."""
    line = result_line(result)
    assert line.count(b"\n") == 1
    assert read_answer(line) == result


def test_an_error_comes_with_code_message_and_hint():
    """The asker's error is the answerer's."""
    with pytest.raises(PermanentError) as caught:
        read_answer(error_line(SpoolError("it is\nfull", code="spool-full", hint="mend it")))
    error = caught.value
    assert (error.code, error.message, error.hint) == ("spool-full", "it is\nfull", "mend it")


@given(st.binary() | st.sampled_from([b"{}", b"[]", b"1", b'{"version": 2}', b'{"version": "1"}', b"[" * 5000]))
def test_any_line_is_a_question_or_refused(line):
    """Hostile bytes raise nothing else."""
    with pytest.raises(PermanentError) as caught:
        read_question(line)
    assert caught.value.code == "bad-question"


@given(st.binary() | st.sampled_from([b"{}", b"[]", b"null", b'{"error": 5}', b'{"error": {"code": 1}}', b'{"result"']))
def test_any_answer_is_a_result_or_an_error(line):
    """What another release may answer is told in a sentence."""
    with pytest.raises(BridgeError) as caught:
        read_answer(line)
    assert caught.value.code == "bad-answer"


def test_a_long_path_has_a_short_address(tmp_path: Path):
    """An address fits into a socket's, and leads to the same folder, as long as it is used."""
    folder = tmp_path / ("d" * 100)
    folder.mkdir()
    (folder / "file").write_text("here")
    with socket_address(folder / "file") as address:
        assert len(address) <= MAX_SOCKET_PATH_BYTES
        assert Path(address).read_text() == "here"
    with socket_address(Path("/short/file")) as address:
        assert address == "/short/file"
    assert orjson.loads(question_line({}))["version"] == 1
