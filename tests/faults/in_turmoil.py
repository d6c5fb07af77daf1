"""Everything that can fail fails while events flow: the bridge, the broker, the network, the disk, the Argo Server.

FAULTS_MINUTES=30 lets it go on for half an hour, FAULTS_SEED=N makes other choices. The test files take one version of
MQTT each, so that they can run side by side. Published = submitted once + waiting + dead-lettered, and that is counted.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.faults.conftest import Tell
from tests.support.bridge_inside import LeftBehind
from tests.support.faults_report import MINUTES, random_source
from tests.support.mosquitto import Mosquitto, MosquittoOptions
from tests.support.simulator_process import SimulatorProcess
from tests.support.turmoil import Turmoil

VERSIONS = 2
FOR_S = MINUTES * 60 / VERSIONS
BROKER = MosquittoOptions(persistence=True, config=("max_queued_messages 0", "max_inflight_messages 1000"))


def rage_and_count(version: str, folder: Path, broker: Mosquitto, argo: SimulatorProcess, tell: Tell) -> None:
    """Let everything fail for a while, settle, and count."""
    with Turmoil(folder, broker, argo, version, random_source("turmoil", version)) as turmoil:
        turmoil.rage(FOR_S)
        turmoil.settle()
        result, whole = turmoil.account(), turmoil.account(is_whole=True)
        figures, publisher = turmoil.figures, turmoil.publisher
    tell(replace(whole, lost=result.lost), **figures.counts, **{"lost by the broker": len(whole.lost)})
    assert result.lost == ()
    assert (result.foreign, result.same_annotation) == ((), ())
    # An unnamed event that was not confirmed is published again, and nobody can tell it from a new one.
    assert [n for n in result.duplicated if publisher.is_named(n) or n not in figures.repeated] == []
    left = LeftBehind(turmoil.files)
    assert all(map(publisher.waits, left.kept.waiting))
    assert all(map(publisher.dies, left.kept.dead))
    assert (left.reports, left.problems) == ([], ())
    assert argo.stats["unexpected"] == []
