"""Text that can be stored and published, whatever its source. Pure; any thread."""

from __future__ import annotations


def well_formed(text: str) -> str:
    r"""Return `text` with each lone surrogate written as ``\udXXX``: neither UTF-8 nor SQLite can encode it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
