"""What the health and metrics pages answer."""

from __future__ import annotations

import orjson
import pytest

from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem
from bridge.web.health import HealthPages


def pages(alive: list[HealthProblem], ready: list[HealthProblem], metrics: Metrics | None = None) -> HealthPages:
    return HealthPages(lambda: alive, lambda: ready, metrics or Metrics())


def test_health_is_200_or_503_with_the_reasons() -> None:
    """Both verdicts are JSON; every reason is named with code and message, and with its subject where it has one."""
    made = pages([], [HealthProblem("unreachable", "broker away", "plant"), HealthProblem("x", "y")])
    alive, ready = made.page("/livez"), made.page("/readyz")
    assert alive is not None
    assert ready is not None
    assert (alive.status, orjson.loads(alive.body)) == (200, {"alive": True, "reasons": []})
    assert ready.status == 503
    assert orjson.loads(ready.body) == {
        "ready": False,
        "reasons": [
            {"code": "unreachable", "message": "broker away", "subject": "plant"},
            {"code": "x", "message": "y"},
        ],
    }


def test_liveness_has_a_verdict_of_its_own() -> None:
    """A bridge that is broken for good is not alive, whatever readiness says."""
    page = pages([HealthProblem("spool-unusable", "gone")], []).page("/livez")
    assert page is not None
    assert page.status == 503


def test_metrics_are_prometheus_text() -> None:
    """The metrics page holds the bridge's own figures."""
    metrics = Metrics()
    metrics.connects.labels("plant").inc()
    page = pages([], [], metrics).page("/metrics")
    assert page is not None
    assert page.content_type.startswith("text/plain; version=0.0.4")
    assert b'argo_bridge_connects_total{connection="plant"} 1.0' in page.body


@pytest.mark.parametrize("path", ["/", "", "/livez/", "/livez/..", "/metricsx", "//readyz"])
def test_there_is_no_other_page(path: str) -> None:
    """Anything but the three paths is not found."""
    assert pages([], []).page(path) is None
