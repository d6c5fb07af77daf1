"""The error types of the bridge: whether a retry can help is told by the type.

Library exceptions are mapped to these where the library is called (paho in transports, requests in argo,
sqlite3 in spool, yaml in configfile) and nowhere else.
"""

from __future__ import annotations

from bridge.core.foreign import cleaned


class BridgeError(Exception):
    """Base of every error that the bridge raises on purpose.

    Attributes:
        message: a sentence "verb noun: cause", safe to show to a sender (no tokens, no payloads).
        code: kebab-case, stable; used in logs, dead letters, metrics and documentation.
        hint: what to do about it; "" where the message says it all.
    """

    default_code = "bridge-error"

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint

    def __str__(self) -> str:
        """The message, with the hint behind it."""
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(BridgeError):
    """The configuration cannot be used. A retry helps only after somebody changed it."""

    default_code = "bad-config"


class TransientError(BridgeError):
    """It may work later: a connection, a timeout, a 5xx.

    Attributes:
        retry_after_s: seconds that the other side asked us to wait, or None.
    """

    default_code = "unavailable"

    def __init__(self, message: str, *, code: str = "", hint: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message, code=code, hint=hint)
        self.retry_after_s = retry_after_s


class PermanentError(BridgeError):
    """It will never work as it stands; retrying is pointless.

    Attributes:
        details: one entry a finding, for a reply's ``details`` key; () where the message says it all.
    """

    default_code = "refused"

    def __init__(self, message: str, *, code: str = "", hint: str = "", details: tuple[object, ...] = ()) -> None:
        super().__init__(message, code=code, hint=hint)
        self.details = details


class SpoolError(BridgeError):
    """The spool cannot be read or written: disk full, read-only, corrupt. Ingest stops until it can."""

    default_code = "spool-unusable"


def cut(text: str, limit: int = 256) -> str:
    """Return `text` cut to `limit` characters, for remote bodies in messages and logs."""
    text = cleaned(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
