"""Every figure is read back under its documented name."""

from bridge.core.metrics import Metrics


def test_a_figure_is_read_by_its_name_and_labels() -> None:
    """What was never counted is 0, and two bridges share no counts."""
    first, second = Metrics(), Metrics()
    first.dead_letters.labels("expired").inc()
    assert first.value("dead_letters_total", reason="expired") == 1
    assert first.value("dead_letters_total", reason="name-taken") == 0
    assert second.value("dead_letters_total", reason="expired") == 0


def test_the_exposition_is_prometheus_text() -> None:
    """A scraper reads each figure with its help text under the prefix argo_bridge_."""
    metrics = Metrics()
    metrics.connected.labels("plant").set(1)
    text = metrics.exposition().decode()
    assert 'argo_bridge_connected{connection="plant"} 1.0' in text
    assert "# HELP argo_bridge_spool_waiting " in text
