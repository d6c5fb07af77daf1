"""Makes what came from outside harmless: secrets of this process taken out, control and bidirectional characters too.

Secrets are known to the whole process, since whoever reads one cannot know in whose text it will come back.

Thread: any.
"""

from __future__ import annotations

import re
import threading

SHOWN = "[secret]"
SHORTEST_SECRET = 8
"""Characters; a shorter one would be found in texts that have nothing to do with it."""
_REMEMBERED = 32

# Characters that a terminal obeys or that turn the order of others around, but for the line break and the tab.
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


class _Secrets:
    """The newest secrets that were read, the longest first."""

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
    """Take `secret` out of every foreign text from now on; call it wherever one is read."""
    _secrets.add(secret)


def conceal(text: str) -> str:
    """Return `text` with each known secret replaced."""
    for secret in _secrets.texts:
        if secret in text:
            text = text.replace(secret, SHOWN)
    return text


def conceal_bytes(data: bytes) -> bytes:
    """Return `data` with each known secret replaced; it stays JSON if it was."""
    for secret in _secrets.data:
        if secret in data:
            data = data.replace(secret, SHOWN.encode())
    return data


def cleaned(text: str) -> str:
    """Return `text` without secrets, and with a space for each harmful character."""
    return _HARMFUL.sub(" ", conceal(text))


def harmless_json(line: str) -> str:
    r"""Return JSON text that means the same, its harmful characters written as ``\uXXXX``."""
    return _HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
