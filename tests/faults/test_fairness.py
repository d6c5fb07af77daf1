"""One namespace whose creates all fail, with a backlog: the mapping of another one goes on as if there were none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.simulator import FaultKind
from tests.support.mosquitto import Mosquitto
from tests.support.spine import OTHER_NAMESPACE, Spine, mapping
from tests.support.transport_ends import wait_until

HERE = mapping("here", "sensors/here/{device}")
THERE = mapping("there", "sensors/there/{device}", namespace=OTHER_NAMESPACE)
FAILING = 1000
WELL = range(5000, 5200)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [(FaultKind.STATUS, {"status": 500}), (FaultKind.STATUS, {"status": 503}), (FaultKind.GARBAGE, {})],
    ids=["500", "503", "garbage"],
)
def test_a_failing_namespace_starves_no_other(
    kind: FaultKind, keys: dict[str, Any], tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """200 events run while the failing namespace is asked a few times, not once for each of them."""
    with Spine(tmp_path, mosquitto, HERE + THERE) as spine:
        fault = spine.fail(kind, path=rf"/workflows/{OTHER_NAMESPACE}(/|$)", **keys)
        spine.client.publish_many("sensors/there/1", [b'{"n": %d}' % number for number in range(FAILING)])
        spine.bridge.await_count("events_stored_total", FAILING, mapping="there")
        wait_until(lambda: fault.hits > 5, "failures", 30)
        before = fault.hits
        spine.client.publish_many("sensors/here/1", [b'{"n": %d}' % number for number in WELL])
        spine.await_numbers(*WELL, within_s=60)
        assert fault.hits - before < len(WELL) / 4
        spine.simulator.faults.clear()
        spine.await_numbers(*range(FAILING), *WELL, within_s=60)
