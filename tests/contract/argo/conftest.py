"""A simulator of each recorded release, for replays; and the servers that must all keep the same promises."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from argo_recordings import RELEASES
from argo_servers import Server, real_server

from bridge.simulator import Simulator, SimulatorOptions


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Each recorded release."""
    return str(request.param)


@pytest.fixture
def simulator(release: str) -> Iterator[Simulator]:
    """A simulator of that release, with a clean end."""
    options = SimulatorOptions(argo_version=release, container_s=0.05, reaction_s=0.02, list_lag_s=0.0, bookmark_s=0.1)
    with Simulator(options) as running:
        yield running
        assert running.unexpected == []


@pytest.fixture(params=[RELEASES[0], RELEASES[-1], *(["real"] if os.environ.get("ARGO_SERVER") else [])])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The first and the last release that the simulator plays, and the real server if there is one."""
    if request.param == "real":
        real = real_server()
        yield real
        real.clean()
        return
    with Simulator(SimulatorOptions(argo_version=request.param)) as simulator:
        yield Server(simulator.url, "argo", {})
        assert simulator.unexpected == []
