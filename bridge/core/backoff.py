"""Capped exponential backoff with jitter, as a pure function of the attempt. Runs anywhere."""

from __future__ import annotations

import random
from dataclasses import dataclass

JITTER = random.Random()  # noqa: S311 - jitter, not a secret
"""The source of all jitter. Models seed it: an example that is replayed must take the same way."""


@dataclass(frozen=True)
class Backoff:
    """The delay of attempt n is ``initial_s * factor ** (n - 1)``, at most `cap_s`, less a random share up to `jitter`.

    The share, 0 to 1, keeps clients from retrying in step.
    """

    initial_s: float
    cap_s: float
    factor: float = 2.0
    jitter: float = 0.3

    def delay_s(self, attempt: int) -> float:
        """Return the seconds to wait after failed attempt number `attempt` (1 or more)."""
        # The exponent is limited first: 2.0 ** 5000 raises OverflowError.
        exponent = min(max(attempt, 1) - 1, 64)
        delay = min(self.cap_s, self.initial_s * self.factor**exponent)
        return delay * (1 - self.jitter * JITTER.random())
