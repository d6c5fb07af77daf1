"""Makes text from outside harmless: removes this process's secrets, and control and bidirectional characters.

All secrets are known to the whole process, because the reader of a secret cannot know in which text it will appear
again.

Thread: any.
"""

from __future__ import annotations

import re
import threading

SHOWN = "[secret]"
SHORTEST_SECRET = 8
"""Characters; a shorter secret would also be found in unrelated text."""
_REMEMBERED = 32

# Characters that control a terminal or reorder text, except line break and tab.
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class _Secrets:
    """The newest secrets that were read, longest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: list[str] = []
        self.texts: tuple[str, ...] = ()
        self.data: tuple[bytes, ...] = ()

    def add(self, secret: str) -> None:
        with self._lock:
            if len(secret) < SHORTEST_SECRET or secret in self._known:
                return
            self._known = [*self._known, secret][-_REMEMBERED:]
            self.texts = tuple(sorted(self._known, key=len, reverse=True))
            self.data = tuple(text.encode("utf-8", "surrogateescape") for text in self.texts)


_secrets = _Secrets()


def remember_secret(secret: str) -> None:
    """Remove `secret` from all text from outside from now on; call this wherever a secret is read."""
    _secrets.add(secret)


def conceal(text: str) -> str:
    """Return `text` with each known secret replaced."""
    for secret in _secrets.texts:
        if secret in text:
            text = text.replace(secret, SHOWN)
    return text


def conceal_bytes(data: bytes) -> bytes:
    """Return `data` with each known secret replaced; JSON stays valid JSON."""
    for secret in _secrets.data:
        if secret in data:
            data = data.replace(secret, SHOWN.encode())
    return data


def cleaned(text: str) -> str:
    """Return `text` without secrets, and with a space instead of each harmful character."""
    return _HARMFUL.sub(" ", conceal(text))


def well_formed(text: str) -> str:
    r"""Return `text` with each lone surrogate written as ``\udXXX``: neither UTF-8 nor SQLite can encode it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def harmless_json(line: str) -> str:
    r"""Return equivalent JSON text with harmful characters written as ``\uXXXX``."""
    return _HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
