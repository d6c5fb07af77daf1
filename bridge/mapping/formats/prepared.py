"""What comes before the format: compression and other character sets.

Raises only `PayloadError`. Thread: any (see `decoder`).
"""

from __future__ import annotations

import codecs
import sys
import zlib
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bridge.configfile.nodes import quote
from bridge.core.errors import cut
from bridge.core.model import NO_PROPERTIES, MessageProperties
from bridge.mapping.formats.decoder import Decoder, OptionError, PayloadError, library, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    Step = Callable[[bytes], bytes]

MAX_INFLATED_BYTES = 1024 * 1024
_MAX_WINDOW_LOG = 23  # 8 MiB, which every reader should accept: RFC 8878 section 3.1.1.1.2
_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "unicode-escape", "undefined"})
"""Text codecs of Python that are notations. Some of them take time quadratic in the text."""


class Encoding(StrEnum):
    """How payloads are compressed; `deflate` as in HTTP, with the header of zlib (RFC 1950)."""

    GZIP = "gzip"
    ZSTD = "zstd"
    DEFLATE = "deflate"


class PreparedDecoder(Decoder):
    """A format whose payloads go through some steps first; the result of the last payload is kept."""

    def __init__(self, inner: Decoder, steps: tuple[Step, ...]) -> None:
        super().__init__()
        self._inner = inner
        self._steps = steps
        self._last: tuple[bytes | None, bytes] = (None, b"")

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


def inflate_step(encoding: Encoding) -> Step:
    """Return what decompresses a payload, to at most `MAX_INFLATED_BYTES`.

    Raises:
        OptionError: its library is not installed.
    """
    if encoding is Encoding.ZSTD:
        zstd = library(_ZSTD, "encoding")
        window = {zstd.DecompressionParameter.window_log_max: _MAX_WINDOW_LOG}
        return _inflating(encoding, lambda: zstd.ZstdDecompressor(options=window), zstd.ZstdError)
    bits = zlib.MAX_WBITS + (16 if encoding is Encoding.GZIP else 0)
    return _inflating(encoding, lambda: zlib.decompressobj(bits), zlib.error)


def _inflating(encoding: Encoding, make: Callable[[], Any], failure: type[Exception]) -> Step:
    def inflate(payload: bytes) -> bytes:
        stream = make()
        try:
            inflated: bytes = stream.decompress(payload, MAX_INFLATED_BYTES + 1)
        except failure as error:
            raise PayloadError(f"decode payload: not {encoding}: {cut(str(error))}") from error
        if len(inflated) > MAX_INFLATED_BYTES:
            raise PayloadError(f"decode payload: more than {MAX_INFLATED_BYTES // 1024} KiB when decompressed")
        if not stream.eof:
            raise PayloadError(f"decode payload: not {encoding}: it is not complete")
        if stream.unused_data:
            raise PayloadError(f"decode payload: there is more behind the end of the {encoding} data")
        return inflated

    return inflate
