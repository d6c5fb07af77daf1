"""Finds the nearest known word to a misspelt one, for every "did you mean". Pure."""

from __future__ import annotations

from collections.abc import Iterable


def distance(first: str, second: str, most: int = 10**9) -> int:
    """Return the edit distance, a swap of neighbours counting as one edit; above `most`, any larger number."""
    before_last: list[int] = []
    last = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        current = [i]
        for j, b in enumerate(second, 1):
            cost = min(last[j] + 1, current[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                cost = min(cost, before_last[j - 2] + 1)
            current.append(cost)
        if min(current) > most and min(last) > most:
            return most + 1
        before_last, last = last, current
    return last[-1]


class Proposals:
    """Makes suggestions for the first misspelt words of one message only, so that garbage costs little time.

    After `max_words` or `max_steps` there are none; a step is one compared pair of letters (at most 0.7 us).
    """

    def __init__(self, max_words: int = 10, max_steps: int = 100_000) -> None:
        self._words = max_words
        self._steps = max_steps

    @property
    def spent(self) -> bool:
        """Whether no more suggestions will be made."""
        return self._words <= 0 or self._steps <= 0

    def nearest(self, word: str, known: Iterable[str]) -> str:
        """Return the word of `known` that `word` was probably meant to be, or "" if none is near or limits are reached.

        Near means: an edit distance of at most a third of the longer word's length, but at least 1, ignoring case.
        """
        if self.spent:
            return ""
        self._words -= 1
        wanted = word[:64].lower()
        best, best_distance = "", 10**9
        for candidate in known:
            limit = max(1, max(len(wanted), len(candidate)) // 3)
            if abs(len(wanted) - len(candidate)) > limit:
                continue
            self._steps -= len(wanted) * len(candidate)
            if self._steps < 0:
                break
            found = distance(wanted, candidate.lower(), limit)
            if found <= limit and (found, candidate) < (best_distance, best):
                best, best_distance = candidate, found
        return best


def nearest(word: str, known: Iterable[str]) -> str:
    """Return what `Proposals` would for a single word; `known` must be the operator's, or short."""
    return Proposals().nearest(word, known)


def proposal(found: str) -> str:
    """Return ``; did you mean "X"?`` for the result of `nearest`, or "" if it found nothing."""
    return f'; did you mean "{found}"?' if found else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean "X"?`` for the nearest of `known`, or ""."""
    return proposal(nearest(word, known))
