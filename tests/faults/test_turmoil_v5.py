"""Everything that can fail fails while events flow, in MQTT 5 (FAULTS_MINUTES=30 and FAULTS_SEED=N: in_turmoil)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.conftest import Tell
from tests.faults.in_turmoil import BROKER, FOR_S, rage_and_count
from tests.support.mosquitto import Mosquitto, MosquittoOptions
from tests.support.simulator_process import SimulatorProcess


@pytest.mark.slow
@pytest.mark.timeout(FOR_S + 400)
def test_whatever_fails_every_event_has_one_end_in_v5(
    tmp_path: Path, start_mosquitto: Callable[[MosquittoOptions], Mosquitto], argo: SimulatorProcess, tell: Tell
) -> None:
    """Published = submitted once + waiting + dead-lettered; nothing lost that the broker had saved, nothing twice."""
    rage_and_count("5", tmp_path, start_mosquitto(BROKER), argo, tell)
