"""The bridge killed at each named point of its work while events flow, in MQTT 5."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.at_each_point import BROKER, kill_at_each_point
from tests.faults.conftest import Tell
from tests.support.mosquitto import Mosquitto, MosquittoOptions


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_bridge_killed_at_each_point_runs_every_event_once_in_v5(
    tmp_path: Path, start_mosquitto: Callable[[MosquittoOptions], Mosquitto], tell: Tell
) -> None:
    """Before and after each commit, between answer and mark, mark and reply: one workflow an event, and an answer."""
    kill_at_each_point("5", tmp_path, start_mosquitto(BROKER), tell)
