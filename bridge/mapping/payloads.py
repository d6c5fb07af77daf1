"""The payload formats by name, and the decoder of a mapping. Thread: whichever loads a configuration."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import TYPE_CHECKING

from bridge.configfile.problems import Code
from bridge.mapping.formats.binary import CborDecoder, MsgpackDecoder
from bridge.mapping.formats.cloud_events import CloudEventsDecoder
from bridge.mapping.formats.csv_rows import CsvDecoder
from bridge.mapping.formats.decoder import DecoderOptions, OptionError
from bridge.mapping.formats.plain import BytesDecoder, JsonDecoder, NumberDecoder, TextDecoder
from bridge.mapping.formats.prepared import Encoding, PreparedDecoder, charset_step, inflate_step
from bridge.mapping.formats.protobuf import ProtobufDecoder

if TYPE_CHECKING:
    from bridge.mapping.formats.decoder import Decoder


class PayloadFormat(StrEnum):
    """The format of a payload."""

    JSON = "json"
    TEXT = "text"
    NUMBER = "number"
    BYTES = "bytes"
    CSV = "csv"
    CBOR = "cbor"
    MSGPACK = "msgpack"
    CLOUDEVENTS = "cloudevents"
    PROTOBUF = "protobuf"


DECODERS: dict[str, type[Decoder]] = {
    PayloadFormat.JSON: JsonDecoder,
    PayloadFormat.TEXT: TextDecoder,
    PayloadFormat.NUMBER: NumberDecoder,
    PayloadFormat.BYTES: BytesDecoder,
    PayloadFormat.CSV: CsvDecoder,
    PayloadFormat.CBOR: CborDecoder,
    PayloadFormat.MSGPACK: MsgpackDecoder,
    PayloadFormat.CLOUDEVENTS: CloudEventsDecoder,
    PayloadFormat.PROTOBUF: ProtobufDecoder,
}
FORMATS_NOT_YET = ("sparkplug",)
"""Known, but refused with `not-yet`."""


def make_decoder(name: PayloadFormat, options: DecoderOptions, encoding: Encoding | None = None) -> Decoder:
    """Return the decoder of a mapping.

    Raises:
        OptionError: it cannot be made, for example because a library is not installed.
    """
    made_by = DECODERS[name]
    for option in dataclasses.fields(DecoderOptions):
        if option.name not in made_by.keys and getattr(options, option.name) != option.default:
            text = f"means nothing for the format {name}; remove it"
            raise OptionError(option.name, text, Code.CONFLICTING_KEYS)
    decoder = made_by(options)
    inflate = None if encoding is None else inflate_step(encoding)
    steps = tuple(step for step in (inflate, charset_step(options.charset)) if step is not None)
    return PreparedDecoder(decoder, steps) if steps else decoder
