"""Makes inputs that hostile or broken senders make, each by the random numbers it is given alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

MAX_BYTES = 1 << 20
NASTY_TEXTS = (
    "", " ", "\0", "a\nb", "\u202e", "\ufeff", "\ud800", "\U0001f600", "{{", "{{=1+1}}", "${payload.n}", "$$",
    "$SYS", "+", "#", "/", "//", "..", "../../x", "__proto__", "constructor", "true", "null", "NaN", "1e999", "-0",
    "0x10", "\u0663", "a" * 300, "a" * 5000, "\\", '"', "%00", "%2F", "argo-bridge/event", "application/json",
    "workflows.argoproj.io/completed", "2026-11-30T00:00:00Z", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "x\x1b[2Jy",
)  # fmt: skip
NASTY_NUMBERS = (0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, 10**400, 0.1, -0.0, 1e308, 5e-324)
TOKENS = (
    b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\u0000", b"\\ud800", b"\0", b"\xff", b"\xef\xbb\xbf", b"{{", b"}}",
    b"${", b"&a ", b"*a", b"<<: ", b"!!binary ", b"!!python/object ", b"? ", b"- ", b"|", b"%", b"\t", b"\r\n", b"'",
    b"#", b"~", b"1e999", b"9" * 100, b"[" * 60, b"{a: " * 20, b"\n---\n",
)  # fmt: skip

_CHARACTERS = "abcxyzABC0189 .-_/{}$+#\"'\\\t\x7f\xa0\u0301\u05d0\u200b\u2028äßñ中\U0001f600"


def text(rng: Random) -> str:
    """A text: a nasty one, or random characters."""
    if rng.random() < 0.5:
        return rng.choice(NASTY_TEXTS)
    return "".join(rng.choices(_CHARACTERS, k=rng.randrange(20)))


def scalar(rng: Random) -> Any:
    """A JSON value without parts."""
    return rng.choice((text, lambda r: r.choice(NASTY_NUMBERS), lambda r: r.choice((None, True, False))))(rng)


def value(rng: Random, levels: int = 4) -> Any:
    """A JSON value of some levels."""
    kind = rng.randrange(4) if levels else 0
    if kind < 2:
        return scalar(rng)
    count = rng.randrange(5)
    if kind == 2:
        return [value(rng, levels - 1) for _ in range(count)]
    return {text(rng): value(rng, levels - 1) for _ in range(count)}


def deep(rng: Random) -> Any:
    """A value of up to 900 levels."""
    found: Any = scalar(rng)
    for _ in range(rng.randrange(900)):
        found = [found] if rng.random() < 0.5 else {"a": found}
    return found


def misspelt(rng: Random, word: str) -> str:
    """A word with one or two characters changed."""
    for _ in range(rng.randrange(1, 3)):
        at = rng.randrange(len(word) + 1)
        word = word[:at] + rng.choice("abcxyz0") * rng.randrange(2) + word[at + rng.randrange(2) :]
    return word


def many_keys(rng: Random, words: Sequence[str]) -> dict[str, Any]:
    """An object of up to 3,000 keys, which look like words that are known."""
    near = [misspelt(rng, rng.choice(words)) for _ in range(5)]
    whole = scalar(rng)
    return {f"{near[number % 5]}{number}": whole for number in range(rng.choice((10, 100, 1000, 3000)))}


def changed(rng: Random, whole: Any, words: Sequence[str]) -> Any:
    """`whole` with one part replaced, renamed, doubled or left out."""
    if isinstance(whole, dict) and whole and rng.random() < 0.8:
        key = rng.choice(list(whole))
        rest = {name: part for name, part in whole.items() if name != key}
        way = rng.randrange(8)
        if way == 0:
            return rest
        if way == 1:
            return rest | {misspelt(rng, key): whole[key]}
        if way == 2:
            return whole | many_keys(rng, words)
        if way == 3:
            return whole | {rng.choice(words): value(rng)}
        return whole | {key: changed(rng, whole[key], words)}
    if isinstance(whole, list) and whole and rng.random() < 0.8:
        at = rng.randrange(len(whole))
        part = changed(rng, whole[at], words)
        return [*whole[:at], *[part] * rng.choice((1, 1, 1, 1, 1, 1, 1, 2, 10)), *whole[at + 1 :]]
    return rng.choice((value, value, scalar, deep))(rng)


def changed_often(rng: Random, whole: Any, words: Sequence[str]) -> Any:
    """`whole` with up to four changes, mostly one or two."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 4))):
        whole = changed(rng, whole, words)
    return whole


def as_json(rng: Random, whole: Any) -> bytes:
    """JSON text of 1 MiB at most, now and then broken."""
    data = json.dumps(whole, ensure_ascii=rng.random() < 0.7).encode("utf-8", "surrogatepass")[:MAX_BYTES]
    return mutated(rng, data) if rng.random() < 0.2 else data


def mutated(rng: Random, data: bytes) -> bytes:
    """`data` with up to six changes of bytes, pieces and tokens."""
    for _ in range(rng.randrange(1, 7)):
        at, length = rng.randrange(len(data) + 1), rng.choice((0, 1, 1, 2, 8, 50))
        piece = data[at : at + length]
        more = piece * rng.choice((2, 3, 50))
        new = rng.choice((b"", more, piece[::-1], rng.choice(TOKENS), rng.randbytes(rng.randrange(1, 5))))
        data = data[:at] + new + data[at + length :]
    return data


def words_in(*wholes: Any) -> tuple[str, ...]:
    """Every key in these values, in order."""
    found: dict[str, None] = {}

    def look(part: Any) -> None:
        if isinstance(part, dict):
            found.update(dict.fromkeys(part))
            for inner in part.values():
                look(inner)
        elif isinstance(part, list):
            for inner in part:
                look(inner)

    look(list(wholes))
    return tuple(found)


Make = Callable[[Random], Any]
