"""The nearest known word to a misspelt one, for every "did you mean". Pure."""

from __future__ import annotations

from collections.abc import Iterable


def distance(first: str, second: str) -> int:
    """Return the edit distance, counting a swap of neighbours as one edit (optimal string alignment)."""
    before_last: list[int] = []
    last = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        current = [i]
        for j, b in enumerate(second, 1):
            cost = min(last[j] + 1, current[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                cost = min(cost, before_last[j - 2] + 1)
            current.append(cost)
        before_last, last = last, current
    return last[-1]


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the word of `known` that `word` was probably meant to be, or "" if none is near.

    Near is at most a third of the longer word's length, at least 1 edit, letter case not counted.
    """
    wanted = word[:64].lower()
    best, best_distance = "", 10**9
    for candidate in sorted(set(known)):
        limit = max(1, max(len(wanted), len(candidate)) // 3)
        if abs(len(wanted) - len(candidate)) > limit:
            continue
        found = distance(wanted, candidate.lower())
        if found <= limit and found < best_distance:
            best, best_distance = candidate, found
    return best


def proposal(found: str) -> str:
    """Return ``; did you mean "X"?`` for what `nearest` found, or "" where it found nothing."""
    return f'; did you mean "{found}"?' if found else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean "X"?`` for the nearest of `known`, or ""."""
    return proposal(nearest(word, known))
