"""The keys of `spool` and `dead-letters` in bridge.yaml. Frozen; any thread."""

from __future__ import annotations

from dataclasses import field

from bridge.configfile.fields import declare, section
from bridge.configfile.kinds import Duration, Integer, Size

SPOOL_FILE = "spool.sqlite"
"""Relative to bridge.data-dir."""


@section
class DeadLetterOptions:
    """Limits of the dead letters; the oldest are deleted first."""

    max_rows: int = declare(Integer(1), "Number of dead letters to keep.", default=10_000)
    max_bytes: int = declare(
        Size("64KiB"),
        "Size limit of all dead letters; never more than half of `spool.max-bytes`.",
        default="64MiB",
        name="max-bytes",
    )
    keep_s: float = declare(Duration("1m"), "How long to keep a dead letter.", default="30d")


@section
class SpoolOptions:
    """Limits of the spool.

    Ended rows are deleted early to make room; when only waiting ones are left, new events are refused (``spool-full``;
    see `Room`). The events of one message may exceed `max_rows`.
    """

    max_rows: int = declare(
        Integer(1),
        "Number of waiting events; beyond it, only lanes with few events (a quarter more), stop, terminate and "
        "delete are accepted.",
        default=5_000_000,
    )
    max_bytes: int = declare(
        Size("1MiB"), "Size limit on disk; beyond it, as for `max-rows`.", default="4GiB", name="max-bytes"
    )
    max_keys: int = declare(
        Integer(1),
        "Number of keys whose rules over time have a state; beyond it, the state of those used least recently is "
        "dropped.",
        default=1_000_000,
    )
    max_state_bytes: int = declare(
        Size("1MiB"), "Size limit of the states of rules over time; likewise.", default="256MiB", name="max-state"
    )
    keep_done_s: float = declare(
        Duration("1m"), "How long a finished event is remembered, so that a repetition is recognised.", default="24h"
    )
    # Section `dead-letters` of bridge.yaml.
    dead_letters: DeadLetterOptions = field(default_factory=DeadLetterOptions)

    @property
    def dead_max_bytes(self) -> int:
        """Maximum bytes of dead letters; at most half the spool.

        They are in the same file: if they could fill the spool, they would stop ingest forever.
        """
        return min(self.dead_letters.max_bytes, self.max_bytes // 2)
