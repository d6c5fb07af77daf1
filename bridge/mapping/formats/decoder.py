"""What all payload formats share: the interface of a decoder, its options, and its error.

Decodes nothing. Thread: any; decoders keep only the last payload, in one tuple that is replaced as a whole.
"""

from __future__ import annotations

import abc
import codecs
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from bridge.configfile.nodes import quote
from bridge.configfile.problems import Code
from bridge.core.errors import PermanentError
from bridge.core.model import NO_PROPERTIES, MessageProperties

if TYPE_CHECKING:
    pass

_LONGEST_SHOWN = 64


class PayloadError(PermanentError):
    """The payload does not match the mapping: ``invalid-payload``, ``duplicate-key``, ``payload-schema``."""

    default_code = "invalid-payload"


UNREADABLE = ("invalid-payload", "duplicate-key")
"""The codes of payloads that do not have their format."""


class OptionError(Exception):
    """A decoder cannot be made: the key of `payload` that is at fault, and what to say of it ("is empty")."""

    def __init__(self, key: str, message: str, code: Code = Code.BAD_VALUE) -> None:
        super().__init__(message)
        self.key = key
        self.message = message
        self.code = code


@dataclass(frozen=True, slots=True)
class DecoderOptions:
    """What a mapping says about its format; equal options share a decoder.

    Attributes:
        charset: a text codec of Python.
        columns: the columns of CSV without a header.
        delimiter: between the cells of CSV.
        descriptor: the descriptor set of Protocol Buffers, or None.
        message: the full name of a message in it.
        texts: columns that are text, whatever is in their cells.
    """

    charset: str = "utf-8"
    columns: tuple[str, ...] = ()
    delimiter: str = ","
    descriptor: bytes | None = None
    message: str = ""
    texts: frozenset[str] = frozenset()


NO_OPTIONS = DecoderOptions()


class Decoder(abc.ABC):
    """One payload format; made of `DecoderOptions`, or `OptionError`.

    Attributes:
        content_type: of its payloads, in the AsyncAPI document.
        means: the meaning of `payload` in expressions, for the documentation.
        refuses: payloads that are refused, for the documentation.
        keys: the keys of `payload` that only some formats have, and this one has.
    """

    content_type: ClassVar[str]
    means: ClassVar[str]
    refuses: ClassVar[str]
    keys: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, options: DecoderOptions = NO_OPTIONS) -> None:
        self._options = options

    @abc.abstractmethod
    def decode(self, payload: bytes, properties: MessageProperties = NO_PROPERTIES) -> Any:
        """Return the value, quickly, or raise `PayloadError`. It is shared between mappings and must not be changed."""

    def exact(
        self,
        payload: bytes,
        decoded: Any,
        properties: MessageProperties = NO_PROPERTIES,
    ) -> Any:
        """Return the value for a workflow: `decoded`, as returned by `decode`, if that is exact.

        Raises:
            PayloadError: ``duplicate-key`` or ``invalid-payload``.
        """
        return decoded


class OnceDecoder(Decoder):
    """A format that is read in one way, once for all mappings of a message."""

    def __init__(self, options: DecoderOptions = NO_OPTIONS) -> None:
        super().__init__(options)
        self._last: tuple[bytes | None, MessageProperties, Any] = (None, NO_PROPERTIES, None)

    def decode(self, payload: bytes, properties: MessageProperties = NO_PROPERTIES) -> Any:
        """Return the value; integers beyond 64 bits are doubles here. See `Decoder`."""
        last = self._last
        if last[0] is payload and last[1] is properties:
            return last[2]
        value = self._read(payload, properties, exact=False)
        self._last = (payload, properties, value)
        return value

    def exact(self, payload: bytes, decoded: Any, properties: MessageProperties = NO_PROPERTIES) -> Any:
        """Return the same with integers of any size. See `Decoder`."""
        return self._read(payload, properties, exact=True)

    @abc.abstractmethod
    def _read(self, payload: bytes, properties: MessageProperties, *, exact: bool) -> Any:
        """Return the value, or raise `PayloadError`."""


def library(module: str, key: str = "format") -> Any:
    """Import a library that only some formats need; `key` is the one that asks for it.

    Raises:
        OptionError: ``missing-library``.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        text = f'needs the library {module}, which is not installed: pip install "argo-bridge[formats]"'
        raise OptionError(key, text, Code.MISSING_LIBRARY) from error


def trimmed(payload: bytes) -> bytes:
    """Return a payload without a byte order mark, and without one NUL at its end or before its last newline."""
    text = payload.removeprefix(codecs.BOM_UTF8)
    if text.endswith((b"\0\n", b"\0\r\n")):
        text = text.rstrip(b"\r\n")
    return text.removesuffix(b"\0")


def shown(payload: bytes) -> str:
    """Return the beginning of a payload for a message, harmless to a terminal."""
    return quote(payload[: 2 * _LONGEST_SHOWN].decode("utf-8", "backslashreplace"), _LONGEST_SHOWN)
