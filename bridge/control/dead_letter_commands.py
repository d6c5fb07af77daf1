"""Handles commands about dead letters: list, show, replay, purge.

The same code serves with and without a running bridge. Every response is limited in size, and each question does a
limited amount of work: the caller continues from the end of the response.

Limits: does not know who asks, or how.

Thread: ``control``, or the command's own if no bridge runs.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from bridge.control.protocol import error_keys
from bridge.core.clock import rfc3339
from bridge.core.errors import PermanentError, SpoolError, cut
from bridge.spool.records import DeadLetter, LetterFilter, NewEvent, Replayed
from bridge.spool.store import Spool

PAGE = 100
PAGE_BYTES = 262_144
MAX_IDS = 100
MAX_MESSAGE = 1000
SHOWN_EVENTS = 10
PURGE_STEP = 1000

ReplayLetter = Callable[[int], Replayed]
"""Replays one dead letter; raises PermanentError if it cannot be replayed, SpoolError if not now."""


class DeadLetterCommands:
    """The dead letters of one spool."""

    def __init__(self, spool: Spool, replay: ReplayLetter) -> None:
        self._spool = spool
        self._replay_letter = replay
        self._verbs = {"list": self._list, "show": self._show, "replay": self._replay, "purge": self._purge}

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one question (`Ask`); work done before a `SpoolError` is kept.

        Raises:
            PermanentError: ``bad-question``, or ``no-such-letter`` for `show`.
        """
        keys = dict(question)
        verb = keys.pop("do", None)
        answer = self._verbs.get(verb) if isinstance(verb, str) else None
        if answer is None:
            raise _bad(f"unknown verb {verb!r}")
        return answer(keys)

    def _list(self, keys: dict[str, Any]) -> dict[str, Any]:
        before = _taken(keys, "before", int, None)
        limit = _taken(keys, "limit", int, PAGE)
        where = _filter(keys)
        if not 1 <= limit <= PAGE:
            raise _bad(f"limit is 1 to {PAGE}")
        rows: list[dict[str, Any]] = []
        size = 0
        for letter in self._spool.dead_letters(before, limit, where):
            row = _summary(letter)
            size += len(orjson.dumps(row))
            if rows and size > PAGE_BYTES:
                return {"letters": rows, "more": True}
            rows.append(row)
        return {"letters": rows, "more": len(rows) == limit}

    def _show(self, keys: dict[str, Any]) -> dict[str, Any]:
        seq = _taken(keys, "id", int)
        _refuse_rest(keys)
        letter = self._spool.dead_letter(seq)
        if letter is None:
            raise PermanentError(f"no dead letter {seq}", code="no-such-letter")
        return {"letter": _whole(letter, self._spool.dead_events(seq, SHOWN_EVENTS))}

    def _replay(self, keys: dict[str, Any]) -> dict[str, Any]:
        ids = _taken_ids(keys)
        _refuse_rest(keys)
        return {"results": [self._replayed(seq) for seq in ids]}

    def _replayed(self, seq: int) -> dict[str, Any]:
        try:
            replayed = self._replay_letter(seq)
        except (PermanentError, SpoolError) as error:
            return {"id": seq, "error": error_keys(error)}
        return {"id": seq, "waiting": replayed.waiting, "known": replayed.known, "notKept": replayed.not_kept}

    def _purge(self, keys: dict[str, Any]) -> dict[str, Any]:
        if "ids" in keys:
            ids = _taken_ids(keys)
            _refuse_rest(keys)
            return {"purged": self._spool.remove_dead_letters(ids), "upto": 0}
        upto = _taken(keys, "upto", int, None)
        older_than_s = _taken(keys, "olderThan", float, None)
        where = _filter(keys, older_than_s)
        if upto is None:
            newest = self._spool.dead_letters(None, 1)
            upto = newest[0].seq if newest else 0
        return {"purged": self._spool.purge_dead_letters(where, upto, PURGE_STEP), "upto": upto}


def _bad(text: str) -> PermanentError:
    return PermanentError(f"cannot carry out the question: {text}", code="bad-question")


def _taken(keys: dict[str, Any], name: str, kind: type, *default: Any) -> Any:
    """Take key `name` out of `keys`; numbers are limited to what the spool can hold."""
    value = keys.pop(name, default[0] if default else ...)
    if default and value is default[0]:
        return value
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (isinstance(value, int | float) and not 0 <= value < 2**62):
        raise _bad(f"{name} is missing, or is not a valid {kind.__name__}")
    return value


def _taken_ids(keys: dict[str, Any]) -> list[int]:
    ids = keys.pop("ids", None)
    if not isinstance(ids, list) or len(ids) > MAX_IDS or not all(type(one) is int and 0 <= one < 2**62 for one in ids):
        raise _bad(f"ids must be a list of at most {MAX_IDS} numbers")
    return ids


def _filter(keys: dict[str, Any], older_than_s: float | None = None) -> LetterFilter:
    found = LetterFilter(_taken(keys, "mapping", str, None), _taken(keys, "reason", str, None), older_than_s)
    _refuse_rest(keys)
    return found


def _refuse_rest(keys: Iterable[str]) -> None:
    rest = sorted(keys)
    if rest:
        raise _bad(f"unknown key {rest[0]!r}")


def _summary(kept: DeadLetter) -> dict[str, Any]:
    letter = kept.letter
    return {
        "id": kept.seq,
        "reason": letter.reason,
        "message": cut(letter.message, MAX_MESSAGE),
        "mapping": letter.mapping,
        "topic": letter.topic,
        "connection": letter.connection,
        "count": kept.count,
        "attempts": letter.attempts,
        "firstTime": rfc3339(kept.first_wall_s),
        "lastTime": rfc3339(kept.last_wall_s),
        "replayable": _replayable(kept),
    }


def _replayable(kept: DeadLetter) -> int:
    """Return how many events a replay can create, as far as the dead letter tells."""
    letter = kept.letter
    if letter.event_id:
        return kept.kept or 0
    return int(letter.properties is not None and len(letter.payload) == letter.payload_bytes)


def _whole(kept: DeadLetter, events: Iterable[NewEvent]) -> dict[str, Any]:
    letter = kept.letter
    whole = _summary(kept) | {
        "message": letter.message,
        "details": letter.details,
        "payloadBytes": letter.payload_bytes,
        "payloadSha256": letter.payload_digest.hex(),
    }
    if letter.event_id:
        return whole | {"eventId": letter.event_id.hex(), "events": _bounded(events)}
    whole["payload"] = _payload(letter.payload)
    if letter.properties is not None:
        whole["contentType"] = letter.properties.content_type
        whole["userProperties"] = letter.properties.user
    return whole


def _payload(payload: bytes) -> dict[str, str]:
    """Return the payload as text if it is text, otherwise as base64."""
    try:
        return {"text": payload.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(payload).decode("ascii")}


def _bounded(events: Iterable[NewEvent]) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    size = 0
    for event in events:
        order = event.order
        size += len(order.manifest) + sum(len(name) + len(value) for name, value in order.parameters.items())
        if shown and size > PAGE_BYTES:
            break
        shown.append(
            {
                "eventId": event.id.hex(),
                "topic": event.topic,
                "namespace": order.namespace,
                "workflow": order.name,
                "parameters": order.parameters,
                "manifest": orjson.loads(order.manifest),
            }
        )
    return shown
