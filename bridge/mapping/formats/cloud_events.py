"""CloudEvents 1.0, in structured mode (JSON) and in binary mode, over MQTT and AMQP.

Source: CloudEvents 1.0.2, "JSON Event Format" and "MQTT Protocol Binding". Raises only `PayloadError`. Thread: any (see
`decoder`).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from bridge.core.errors import cut
from bridge.core.model import MessageProperties
from bridge.mapping.formats.decoder import NO_OPTIONS, DecoderOptions, OnceDecoder, PayloadError, shown
from bridge.mapping.formats.plain import JsonDecoder, TextDecoder, exact_json
from bridge.mapping.formats.prepared import charset_step

_REQUIRED = ("specversion", "id", "source", "type")
_ATTRIBUTE = re.compile(r"[a-z0-9]+")
_CHARSET = re.compile(r';\s*charset="?([^\s";]+)', re.IGNORECASE)
# Only these: Python keeps every name that it was ever asked for.
_CHARSETS = {name: charset_step(name) for name in ("utf-8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16")}


class CloudEventsDecoder(OnceDecoder):
    """An event: its attributes, and its data under `data`."""

    content_type = "application/cloudevents+json"
    means = (
        "the event: `payload.id`, `payload.source`, `payload.type`, `payload.subject`, `payload.time` and all other "
        "attributes as they were sent, and `payload.data`. JSON data (also without `datacontenttype`) is its value, "
        "data of a type `text/...` is text, all other data is base64 text"
    )
    refuses = (
        "an event without `specversion` 1.0, `id`, `source` or `type`, or with `data` and `data_base64`; a batch; data "
        "that is not of its type"
    )

    def __init__(self, options: DecoderOptions = NO_OPTIONS) -> None:
        super().__init__(options)
        self._json = JsonDecoder()
        self._text = TextDecoder()

    def _read(self, payload: bytes, properties: MessageProperties, *, exact: bool) -> Any:
        media_type = _media_type(properties.content_type)
        if media_type.startswith("application/cloudevents"):
            return self._structured(payload, media_type, exact=exact)
        attributes: dict[str, Any] = {name: text for name, text in properties.user if _ATTRIBUTE.fullmatch(name)}
        if "specversion" not in attributes:  # as in MQTT 3.1.1, which has no properties
            return self._structured(payload, media_type, exact=exact)
        _check(attributes)
        attributes.pop("data", None)
        if properties.content_type:
            attributes["datacontenttype"] = properties.content_type
        if not payload:
            return attributes
        return {**attributes, "data": self._data(payload, attributes.get("datacontenttype", ""), exact=exact)}

    def _structured(self, payload: bytes, media_type: str, *, exact: bool) -> Any:
        if media_type.startswith("application/cloudevents") and media_type != self.content_type:
            raise PayloadError(f"decode payload: {cut(media_type, 64)} is not supported; send {self.content_type}")
        event = exact_json(payload) if exact else self._json.decode(payload)
        if not isinstance(event, dict):
            raise PayloadError(f"decode payload: a CloudEvents event is a JSON object, not {shown(payload)}")
        event = {name: value for name, value in event.items() if value is not None or name == "data"}
        _check(event)
        if "data_base64" not in event:
            return event
        if "data" in event:
            raise PayloadError("decode payload: the event has data and data_base64")
        data = _from_base64(event.pop("data_base64"))
        return {**event, "data": self._data(data, str(event.get("datacontenttype", "")), exact=exact)}

    def _data(self, data: bytes, content_type: str, *, exact: bool) -> Any:
        media_type = _media_type(content_type)
        if not media_type or media_type.endswith(("/json", "+json")):
            value = self._json.decode(data)
            return self._json.exact(data, value) if exact else value
        if media_type.startswith("text/"):
            return self._text.decode(_utf8(data, content_type))
        return base64.b64encode(data).decode()


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _check(attributes: dict[str, Any]) -> None:
    for name in _REQUIRED:
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            raise PayloadError(f"decode payload: it is no CloudEvents event: the attribute {name} is missing")
    if attributes["specversion"] != "1.0":
        version = cut(attributes["specversion"], 16)
        raise PayloadError(f"decode payload: specversion {version} of CloudEvents is not supported; send 1.0")


def _from_base64(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise PayloadError("decode payload: data_base64 is not base64") from error


def _utf8(data: bytes, content_type: str) -> bytes:
    named = _CHARSET.search(content_type)
    if named is None:
        return data
    if named[1].lower() not in _CHARSETS:
        raise PayloadError(f"decode payload: data in the charset {cut(named[1], 64)}; send {', '.join(_CHARSETS)}")
    step = _CHARSETS[named[1].lower()]
    return data if step is None else step(data)
