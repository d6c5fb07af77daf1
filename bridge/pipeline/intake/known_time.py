"""The clock of rules that must not count what nobody saw: it stands still while the bridge or a link is down.

Bookkeeping only. Thread: whoever holds the lock of `RuledEvents`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ALL = ""
"""The clock of mappings that listen on every connection: it runs while all of them are up."""


class KnownTime:
    """For each connection, the bridge's own clock without the time in which it was down.

    Args:
        connections: their names; all are down.
        unknown_s: what was down until `left_at_s`, by connection.
        left_at_s: the bridge's own clock at its last commit before this start: what came after it is unknown.
    """

    def __init__(self, connections: Iterable[str], unknown_s: Mapping[str, float], left_at_s: float) -> None:
        self._connections = frozenset(connections)
        names = (*self._connections, ALL)
        self._unknown_s = {name: unknown_s.get(name, 0.0) for name in names}
        self._down_since_s: dict[str, float] = dict.fromkeys(names, left_at_s)

    @property
    def unknown_s(self) -> Mapping[str, float]:
        """What was down in all, by connection."""
        return self._unknown_s

    def up(self, connection: str, age_s: float) -> bool:
        """Let the clock of a connection run; returns whether it stood still."""
        is_news = self._starts(connection, age_s)
        if not self._connections & self._down_since_s.keys():
            self._starts(ALL, age_s)
        return is_news

    def down(self, connection: str, age_s: float) -> None:
        """Let the clock of a connection stand still."""
        for name in (connection, ALL):
            self._down_since_s.setdefault(name, age_s)

    def lose(self, seconds: float) -> None:
        """Take a time out of all clocks that ran: nobody was looking."""
        for name in self._unknown_s.keys() - self._down_since_s.keys():
            self._unknown_s[name] += seconds

    def now_s(self, connection: str, age_s: float) -> float:
        """Return the seconds on the clock of a connection, or of `ALL`."""
        return self._down_since_s.get(connection, age_s) - self._unknown_s[connection]

    def is_running(self, connection: str) -> bool:
        """Whether the clock of a connection runs."""
        return connection not in self._down_since_s

    def _starts(self, name: str, age_s: float) -> bool:
        since_s = self._down_since_s.pop(name, None)
        if since_s is None:
            return False
        self._unknown_s[name] += age_s - since_s
        return True
