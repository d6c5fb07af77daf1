"""The error types of the bridge. The type tells whether a retry can help.

Library exceptions are mapped to these types where the library is called (paho in transports, requests in argo, sqlite3
in spool, yaml in configfile) and nowhere else.
"""

from __future__ import annotations

from bridge.core.foreign import cleaned


class BridgeError(Exception):
    """Base of every error that the bridge raises deliberately.

    Attributes:
        message: a sentence "verb noun: cause", safe to show to a sender (no tokens, no payloads).
        code: kebab-case, stable; used in logs, dead letters, metrics and documentation.
        hint: what to do about it; "" if the message is enough.
    """

    default_code = "bridge-error"

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint

    def __str__(self) -> str:
        """The message, followed by the hint."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(BridgeError):
    """The configuration cannot be used. A retry helps only after someone has changed it."""

    default_code = "bad-config"


class TransientError(BridgeError):
    """It may work later: a connection, a timeout, a 5xx; `retry_after_s` is what the other side asked for, or None."""

    default_code = "unavailable"

    def __init__(self, message: str, *, code: str = "", hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, code=code, hint=hint)
        self.retry_after_s = retry_after_s


class PermanentError(BridgeError):
    """It will never work in this form; retrying is pointless.

    `details` has one entry per finding, for a reply's ``details`` key; () if the message is enough.
    """

    default_code = "refused"

    def __init__(self, message: str, *, code: str = "", hint: str = "", details: tuple[object, ...] = ()) -> None:
        super().__init__(message, code=code, hint=hint)
        self.details = details


class SpoolError(BridgeError):
    """The spool cannot be read or written: disk full, read-only, corrupt. Ingest stops meanwhile."""

    default_code = "spool-unusable"


def cut(text: str, limit: int = 256) -> str:
    """Return `text` cut to `limit` characters; for remote bodies in messages and logs."""
    text = cleaned(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
