"""Reads the password of a connection from its file. Keeps nothing; any thread."""

from __future__ import annotations

from pathlib import Path

from bridge.core.foreign import remember_secret


def read_password(file: Path) -> str:
    """Return the content of `file` as UTF-8, without one line end, of Unix or Windows.

    Raises:
        OSError: it cannot be read, or is not UTF-8; a retry helps only after someone changed it.
    """
    try:
        text = file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise OSError(f"{file} is not UTF-8 text") from error
    password = text.removesuffix("\n").removesuffix("\r")
    remember_secret(password)
    return password
