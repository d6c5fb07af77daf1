"""What comes before the format: other character sets. Raises only `PayloadError`. Thread: any (see `decoder`)."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any

from bridge.configfile.nodes import quote
from bridge.core.model import NO_PROPERTIES, MessageProperties
from bridge.mapping.formats.decoder import Decoder, OptionError, PayloadError, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    Step = Callable[[bytes], bytes]

_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined"})
"""Text codecs of Python that are notations. Some of them take time quadratic in the text."""


class PreparedDecoder(Decoder):
    """A format whose payloads go through some steps first; the result of the last payload is kept."""

    def __init__(self, inner: Decoder, steps: tuple[Step, ...]) -> None:
        super().__init__()
        self._inner = inner
        self._steps = steps
        self._last = (b"", b"")

    def decode(self, payload: bytes, properties: MessageProperties = NO_PROPERTIES) -> Any:
        """Return the value of the prepared payload. See `Decoder`."""
        return self._inner.decode(self._prepared(payload), properties)

    def exact(self, payload: bytes, decoded: Any, properties: MessageProperties = NO_PROPERTIES) -> Any:
        """Return the exact value of the prepared payload. See `Decoder`."""
        return self._inner.exact(self._prepared(payload), decoded, properties)

    def _prepared(self, payload: bytes) -> bytes:
        given, result = self._last
        if given is not payload:
            result = payload
            for step in self._steps:
                result = step(result)
            self._last = (payload, result)
        return result


def charset_step(charset: str) -> Step | None:
    """Return what makes UTF-8 of a payload; None if it is UTF-8 already.

    Raises:
        OptionError: Python has no such text codec.
    """
    try:
        name = codecs.lookup(charset).name
        "a".encode(charset)
    except (LookupError, ValueError) as error:
        text = f"is {quote(charset)}, no character set that Python knows; examples: latin-1, cp1252, utf-16, shift_jis"
        raise OptionError("charset", text) from error
    if name in _NO_CHARSETS:
        raise OptionError("charset", f"is {quote(charset)}, a notation and no character set")

    def to_utf8(payload: bytes) -> bytes:
        try:
            return payload.decode(charset).encode()
        except UnicodeError as error:
            raise PayloadError(f"decode payload: not {charset}: {shown(payload)}") from error

    return None if name == "utf-8" else to_utf8
