"""One suite over the spool in a file and in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.spool.options import DeadLetterOptions, SpoolOptions
from bridge.spool.store import Spool
from tests.contract.spool.spool_records import MakeSpool
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["file", "memory"])
def make_spool(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[MakeSpool]:
    made: list[Spool] = []

    def make(**limits: float) -> Spool:
        letters = {key.removeprefix("dead_"): limits.pop(key) for key in list(limits) if key.startswith("dead_")}
        bounds = SpoolOptions(**limits, dead_letters=DeadLetterOptions(**letters))
        if request.param == "file":
            made.append(Spool.open(tmp_path / "spool.db", clock=clock, limits=bounds))
        else:
            made.append(Spool.in_memory(clock=clock, limits=bounds))
        return made[-1]

    yield make
    for spool in made:
        if "closed" not in repr(spool):
            assert spool.check() == ()
        spool.close()


@pytest.fixture
def spool(make_spool: MakeSpool) -> Spool:
    return make_spool()
