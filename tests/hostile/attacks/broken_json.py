"""Trigger messages that are no JSON, or JSON that no request may be."""

from __future__ import annotations

import gzip
import json

from tests.hostile.attack import TRIGGER, Attack, Group, dead_letter, reply, send

SUBMIT = b'{"submit": {"template": "inspect"}}'
MAX_PAYLOAD = 256 * 1024


def refused(name: str, payload: bytes, reason: str = "invalid-json", code: int = 400) -> Attack:
    """A trigger message that is refused for this reason."""
    return Attack(name, send(TRIGGER, payload), dead_letter(reason), reply(code))


def with_id(text: str) -> bytes:
    """A good trigger message whose request id is this JSON text."""
    return b'{"submit": {"template": "inspect"}, "requestId": ' + text.encode() + b"}"


GROUP = Group(
    "broken-json",
    (
        refused("white space alone", b" \t\r\n"),
        refused("a byte order mark", b"\xef\xbb\xbf" + SUBMIT),
        refused("UTF-16", SUBMIT.decode().encode("utf-16")),
        refused("latin-1", '{"submit": {"template": "prüfen"}}'.encode("latin-1")),
        refused("overlong UTF-8", with_id('"\x00"').replace(b"\x00", b"\xc0\xaf")),
        refused("half a surrogate pair in UTF-8", with_id('"\x00"').replace(b"\x00", b"\xed\xa0\x80")),
        refused("half a surrogate pair as an escape", with_id(r'"\ud83d"')),
        refused("surrogates the wrong way round", with_id(r'"\ude00\ud83d"')),
        refused("a NUL behind the end", SUBMIT + b"\0"),
        refused("a line end within a text", with_id('"a\nb"')),
        refused("NaN", with_id("NaN")),
        refused("minus infinity", with_id("-Infinity")),
        refused("a number beyond a double", with_id("1e999")),
        refused("a whole number of 5,000 digits", with_id("9" * 5000)),
        refused("a whole number of 250,000 digits", with_id("9" * 250_000)),
        refused("hexadecimal", with_id("0x10")),
        refused("a trailing comma", b'{"submit": {"template": "inspect"},}'),
        refused("a comment", SUBMIT + b" // run it"),
        refused("single quotes", b"{'submit': {'template': 'inspect'}}"),
        refused("two documents", SUBMIT + SUBMIT),
        refused("cut in the middle", SUBMIT[:20]),
        refused("YAML", b"submit:\n  template: inspect\n"),
        refused("YAML with an alias that grows", b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
        refused("gzip", gzip.compress(SUBMIT)),
        refused("a list", b"[" + SUBMIT + b"]", "invalid-request"),
        refused("a text", json.dumps(SUBMIT.decode()).encode(), "invalid-request"),
        refused("null", b"null", "invalid-request"),
        refused("a key twice", b'{"submit": {"template": "a"}, "submit": {"template": "inspect"}}', "duplicate-key"),
        refused("a key twice, once by an escape", SUBMIT[:-1] + rb', "subm\u0069t": {}}', "duplicate-key"),
        refused("a key twice, 90 levels down", b'{"a":' * 90 + b'{"b":1,"b":2}' + b"}" * 90, "duplicate-key"),
        refused("101 levels", with_id("[" * 100 + "]" * 100), "too-deep"),
        refused("1,000 levels of objects", b'{"a":' * 1000 + b"1" + b"}" * 1000, "too-deep"),
        refused("100,000 levels of lists", b"[" * 100_000, "too-deep"),
        refused("one byte too many", SUBMIT + b" " * (MAX_PAYLOAD + 1 - len(SUBMIT)), "payload-too-large", 413),
        refused("20,000 unknown keys", json.dumps({f"k{n}": 0 for n in range(20_000)}).encode(), "unknown-key"),
        refused("the prototype of an object", b'{"__proto__": {"submit": {"template": "inspect"}}}', "unknown-key"),
        refused("the class of an object", b'{"__class__": "Workflow", "constructor": {"a": 1}}', "unknown-key"),
    ),
)
