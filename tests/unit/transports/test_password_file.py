"""A password is what its file holds, whichever editor wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.transports.password_file import read_password


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b" p\xc3\xa4ss\rword \n\n", " p\u00e4ss\rword \n"),
        (b"", ""),
    ],
)
def test_one_line_end_is_no_part_of_the_password(tmp_path: Path, content: bytes, password: str) -> None:
    """Neither that of Unix nor that of Windows; all else is."""
    file = tmp_path / "password"
    file.write_bytes(content)
    assert read_password(file) == password


def test_a_file_that_is_no_text_is_told_as_one_that_cannot_be_read(tmp_path: Path) -> None:
    """By its name, and without what it holds."""
    file = tmp_path / "password"
    file.write_bytes(b"\xff\xfes\0")
    with pytest.raises(OSError, match="password is not UTF-8 text"):
        read_password(file)
