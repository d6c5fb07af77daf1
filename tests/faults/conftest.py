"""What the fault tests share: an Argo Server in a process of its own, and a place for their figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.accounting import Account
from tests.support.bridge_files import INSPECT
from tests.support.faults_report import FIGURES, figures_line
from tests.support.simulator_process import SimulatorProcess

Tell = Callable[..., None]


@pytest.fixture
def argo() -> Iterator[SimulatorProcess]:
    """The Argo Server, as a process of its own, so that it does not slow the bridge down."""
    with SimulatorProcess("--container-duration", "0.02", "--retention", "2000") as process:
        process.put_template(INSPECT)
        yield process


@pytest.fixture
def tell(
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> Tell:
    """Print the figures of a test, and add them to those of the run: ``tell(account, kills=3)``."""

    def told(result: Account, **counts: int) -> None:
        ends = {
            "events": result.events,
            "workflows": result.workflows,
            "waiting": result.waiting,
            "dead-lettered": result.dead,
            "lost": len(result.lost),
            "duplicated": len(result.duplicated),
        }
        figures = counts | ends
        record_property(FIGURES, figures)
        with capsys.disabled():
            print(f"\n{request.node.name}: {figures_line(figures.items())}")

    return told
