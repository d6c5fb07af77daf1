"""Decides when to send PINGREQ, and when a connection is dead. Pure arithmetic; runs on the transport's thread.

paho's own check closes the connection if a PINGRESP is not read within the keep alive. But a bridge that deliberately
stopped reading (spool full) must stay connected, so this check replaces paho's.
"""

from __future__ import annotations


class KeepAlive:
    """Tracks one network connection.

    The broker closes the connection after 1.5 times the keep alive without a packet from us (MQTT 5.0 section
    3.1.2.10), so a ping is sent after 0.75 of it. While we read, silence from the broker for 1.5 times the keep alive
    means that it is gone.
    """

    def __init__(self, interval_s: float, now_s: float) -> None:
        """Begin at `now_s`; an `interval_s` of 0 disables the mechanism (MQTT 5.0 section 3.1.2.10)."""
        self._ping_after_s = interval_s * 0.75
        self._dead_after_s = interval_s * 1.5
        self._sent_s = now_s
        self._heard_s = now_s
        self._pinged_s = now_s

    def sent(self, now_s: float) -> None:
        """Note that bytes were sent."""
        self._sent_s = now_s

    def heard(self, now_s: float) -> None:
        """Note that bytes arrived, or that reading begins again after a pause."""
        self._heard_s = now_s

    def is_ping_due(self, now_s: float) -> bool:
        """Whether to send a PINGREQ now; the caller sends it and calls `pinged`."""
        if not self._ping_after_s:
            return False
        silent_s = now_s - min(self._sent_s, max(self._heard_s, self._pinged_s))
        return silent_s >= self._ping_after_s

    def pinged(self, now_s: float) -> None:
        """Note that a PINGREQ was written."""
        self._sent_s = self._pinged_s = now_s

    def is_dead(self, now_s: float) -> bool:
        """Whether the broker was silent for too long; only meaningful while reading."""
        return bool(self._dead_after_s) and now_s - self._heard_s >= self._dead_after_s

    def next_check_s(self, now_s: float) -> float:
        """Seconds until `is_ping_due` can change; a large number without a keep alive."""
        if not self._ping_after_s:
            return 3600.0
        due_s = min(self._sent_s, max(self._heard_s, self._pinged_s)) + self._ping_after_s
        return max(0.0, due_s - now_s)
