"""Text that can be stored and published, whatever it came from. Pure; any thread."""

from __future__ import annotations


def well_formed(text: str) -> str:
    r"""Return `text` with each lone surrogate written out as ``\udXXX``: UTF-8 has no bytes for it, nor has SQLite."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
