"""The Authorization header from a file that changes, or given once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.argo.credentials import Credentials
from bridge.core.errors import TransientError
from tests.support.clock import FakeClock


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("first\n")
    return file


def replace(file: Path, text: str) -> None:
    """As Kubernetes and editors do it: another file under the same name."""
    new = file.with_name("new")
    new.write_text(text)
    new.replace(file)


def test_a_token_is_stripped_and_called_bearer(token_file):
    """The line break that editors add is no part of the token."""
    assert Credentials(token_file).authorization() == "Bearer first"


@pytest.mark.parametrize("line_end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("text", ["Bearer abc", "Basic dTpw", "Bearer v2:xyz"])
def test_a_complete_value_stays_as_it_is(token_file, text, line_end):
    """A file may hold the whole header value, whichever editor wrote it."""
    token_file.write_bytes((text + line_end).encode())
    assert Credentials(token_file).authorization() == text


def test_without_a_token_there_is_no_header():
    """An Argo Server in auth mode server asks for none."""
    assert Credentials(None).authorization() == ""


def test_a_given_value_is_complete():
    """ARGO_TOKEN is the whole value; other schemes pass."""
    assert Credentials(None, " ApiKey 1 ").authorization() == "ApiKey 1"


def test_a_new_token_is_used_within_half_a_second(token_file):
    """A rotated token is found without a restart; the file system is not asked at each request."""
    clock = FakeClock()
    credentials = Credentials(token_file, clock=clock)
    assert credentials.authorization() == "Bearer first"
    replace(token_file, "second")
    assert credentials.authorization() == "Bearer first"
    clock.advance(0.25)
    assert credentials.authorization() == "Bearer first"
    clock.advance(0.25)
    assert credentials.renewals == 2
    assert credentials.authorization() == "Bearer second"


@pytest.mark.parametrize("half", ["", "sec", "second\nsec"])
def test_a_file_that_is_being_written_is_not_believed(token_file, half):
    """Empty, cut or doubled for a moment: the last token is used until the file stands still, and nothing fails."""
    clock = FakeClock()
    credentials = Credentials(token_file, clock=clock)
    credentials.authorization()
    for text, expected in ((half, "first"), ("second", "first"), ("second", "second")):
        if token_file.read_text() != text:
            token_file.write_text(text)
        clock.advance(0.25)
        assert credentials.authorization() == f"Bearer {expected}"


def test_a_token_that_can_be_read_again_is_a_renewal(token_file):
    """Whoever waits for a token can see that there is one again, with no request in between."""
    clock = FakeClock()
    credentials = Credentials(token_file, clock=clock)
    token_file.write_text("")
    assert credentials.renewals == 0
    token_file.write_text("first")
    assert credentials.renewals == 1
    clock.advance(10.0)
    assert credentials.renewals == 1
    assert Credentials(None, "Bearer given").renewals == 0


def test_an_unchanged_file_is_not_read_again(token_file):
    """Only stat is called while nothing changes: what the same stamp hides stays hidden."""
    clock = FakeClock()
    credentials = Credentials(token_file, clock=clock)
    credentials.authorization()
    reads = []
    original = Path.open

    def counting(self: Path, *args: object, **keys: object) -> object:
        reads.append(self)
        return original(self, *args, **keys)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", counting)
        for _ in range(10):
            clock.advance(1.0)
            credentials.authorization()
    assert reads == []


def test_a_file_that_vanishes_is_an_error_until_it_is_back(token_file):
    """A token that was taken away is used for a second and not any longer, and its return is noticed at once."""
    clock = FakeClock()
    credentials = Credentials(token_file, clock=clock)
    credentials.authorization()
    token_file.unlink()
    clock.advance(1.0)
    assert credentials.authorization() == "Bearer first"
    clock.advance(1.0)
    for _ in range(2):
        with pytest.raises(TransientError) as raised:
            credentials.authorization()
        assert raised.value.code == "token-unreadable"
        assert str(token_file) in str(raised.value)
    token_file.write_text("back")
    assert credentials.authorization() == "Bearer back"


@pytest.mark.parametrize(
    "content", [b"", b" \n", b"a\nb", b"a\r\nX-Evil: 1", b"a\x00b", b"t\xc3\xb6ken", b"x" * 70_000]
)
def test_what_cannot_be_a_header_is_refused(token_file, content):
    """Empty, broken over lines, not ASCII, far too long: an error with the file's name, never with its content."""
    token_file.write_bytes(content)
    with pytest.raises(TransientError) as raised:
        Credentials(token_file).authorization()
    assert raised.value.code == "token-unreadable"
    assert "Evil" not in str(raised.value)


def test_a_given_value_with_a_line_break_is_refused():
    """A line break would begin another header."""
    with pytest.raises(TransientError) as raised:
        Credentials(None, "Bearer a\r\nX-Evil: 1").authorization()
    assert "Evil" not in str(raised.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory that stat sees and open does not")
def test_a_directory_is_no_token(tmp_path):
    """Any failure of the file system is the same error."""
    with pytest.raises(TransientError, match="directory"):
        Credentials(tmp_path).authorization()


@given(st.binary(max_size=100))
def test_no_content_gives_an_unsafe_header(content):
    """Whatever the file holds: an error, or one line of printable ASCII."""
    file = Path("/dev/shm") / f"argo-token-{os.getpid()}"
    file.write_bytes(content)
    try:
        header = Credentials(file).authorization()
    except TransientError:
        return
    finally:
        file.unlink()
    assert header.isascii()
    assert header.isprintable()
    assert header.startswith(("Bearer ", "Basic "))


def test_neither_repr_nor_error_shows_the_token(token_file):
    """Logs and reports never hold the token."""
    credentials = Credentials(token_file, "Bearer secret")
    credentials.authorization()
    assert "first" not in repr(credentials)
    assert "secret" not in repr(credentials)
