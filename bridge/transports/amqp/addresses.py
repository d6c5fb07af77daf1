"""Translates topics into routing keys and back, and topic filters into binding keys. Pure; any thread.

Levels are separated by `.` instead of `/`. Within a level `.`, `*` and `%` are written as `%2E`, `%2A` and `%25`, so
that the translation is reversible. On the exchange of RabbitMQ's MQTT plugin nothing is escaped, because the
plugin escapes nothing: there a dot within a level looks like a slash.

Source: AMQP 0-9-1 sections 3.1.3.3 and 4.2.5.3; RabbitMQ, "MQTT Plugin", How it Works.
"""

from __future__ import annotations

import re

MAX_KEY_BYTES = 255
"""A routing key is a short string."""

MQTT_PLUGIN_EXCHANGE = "amq.topic"

_ESCAPED = {".": "%2E", "*": "%2A", "%": "%25"}
_ESCAPES = re.compile(r"%2[EA5]", re.IGNORECASE)
_RESERVED = re.compile(r"[.*%]")
# Characters that a key may contain and a topic name may not: they stay visible, and no topic ever has a wildcard.
_NEVER_IN_A_TOPIC = {"+": "%2B", "#": "%23", "\0": "%00"}
_UNREADABLE = re.compile(r"[+#\0]")


class Addresses:
    """The translation for one exchange, by its name."""

    def __init__(self, exchange: str) -> None:
        self._is_plain = exchange == MQTT_PLUGIN_EXCHANGE

    def key_of(self, topic: str) -> str:
        """Return the routing key of a topic name; it may be longer than `MAX_KEY_BYTES`."""
        return ".".join(self._written(level) for level in topic.split("/"))

    def binding_of(self, topic_filter: str) -> str:
        """Return the binding key of a topic filter: `+` becomes `*`, and `#` stays `#`; both match zero levels."""
        levels = topic_filter.split("/")
        return ".".join("*" if level == "+" else level if level == "#" else self._written(level) for level in levels)

    def topic_of(self, key: str | bytes) -> str:
        """Return the topic name of a routing key, whatever it contains; never one with a wildcard or a NUL.

        A key that is not UTF-8 comes as bytes; each invalid byte appears as `%XX`.
        """
        text = key if isinstance(key, str) else "".join(_shown(char) for char in key.decode("utf-8", "surrogateescape"))
        if "%" not in text and not _UNREADABLE.search(text):
            return text.replace(".", "/")
        return "/".join(self._read(word) for word in text.split("."))

    def _written(self, level: str) -> str:
        return level if self._is_plain else _RESERVED.sub(lambda found: _ESCAPED[found[0]], level)

    def _read(self, word: str) -> str:
        if not self._is_plain:
            word = _ESCAPES.sub(lambda found: chr(int(found[0][1:], 16)), word)
        return _UNREADABLE.sub(lambda found: _NEVER_IN_A_TOPIC[found[0]], word)


def _shown(char: str) -> str:
    return f"%{ord(char) - 0xDC00:02X}" if 0xDC80 <= ord(char) <= 0xDCFF else char


def key_problem(key: str) -> str:
    """Return why `key` cannot be a routing or binding key, or ""."""
    size_bytes = len(key.encode("utf-8", "surrogatepass"))
    if size_bytes <= MAX_KEY_BYTES:
        return ""
    return f"its routing key has {size_bytes} bytes, the maximum is {MAX_KEY_BYTES}"
