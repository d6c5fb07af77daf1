"""The bridge's counters, gauges and histograms, on prometheus-client. The only import of prometheus_client.

The service creates one `Metrics` and passes it down; there is no global registry, so tests never share counts.

Thread: any; prometheus-client locks each value.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

__all__ = ["Counter", "Metrics"]


_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Durations(Collector):
    """A histogram of seconds. The library's own takes five times as long to observe one, which every event does."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._lock = Lock()
        self._counts = [0] * (len(_BUCKETS_S) + 1)
        self._sum_s = 0.0

    def observe(self, duration_s: float) -> None:
        """Count one."""
        with self._lock:
            self._counts[bisect_left(_BUCKETS_S, duration_s)] += 1
            self._sum_s += duration_s

    @contextmanager
    def time(self) -> Iterator[None]:
        """Count how long the block takes."""
        started_s = time.perf_counter()
        try:
            yield
        finally:
            self.observe(time.perf_counter() - started_s)

    def collect(self) -> Iterator[Metric]:
        """Yield it for the exposition."""
        with self._lock:
            counts, sum_s = list(self._counts), self._sum_s
        names = [*map(str, _BUCKETS_S), "+Inf"]
        buckets = list(zip(names, accumulate(counts), strict=True))
        yield HistogramMetricFamily(self._name, self._text, buckets=buckets, sum_value=sum_s)


class Metrics:
    """Every metric of the bridge, under its documented name (docs/operations.md)."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        counter, gauge = self._counter, self._gauge
        self.messages_received = counter("messages_received", "Messages received from brokers", "connection")
        self.messages_skipped = counter("messages_skipped", "Messages skipped, by cause", "cause")
        self.qos0_dropped = counter("qos0_dropped", "QoS 0 messages dropped because of a limit", "connection")
        self.events_stored = counter("events_stored", "Events committed to the spool", "mapping")
        self.rule_states_dropped = counter(
            "rule_states_dropped", "States of rules that were dropped because there were too many", "mapping"
        )
        self.events_duplicate = counter("events_duplicate", "Repeated events", "mapping")
        self.event_id_reused = counter("event_id_reused", "Known event ids with a different payload", "mapping")
        self.expression_errors = counter("expression_errors", "Errors in a mapping's expressions", "mapping")
        self.dead_letters = counter("dead_letters", "Dead letters, by reason code", "reason")
        self.replies = counter("replies", "Replies, by code", "code")
        self.replies_unsendable = counter(
            "replies_unsendable", "Messages and replies that could not be sent, by cause", "cause"
        )
        self.workflows_created = counter("workflows_created", "Workflows accepted by Argo", "namespace")
        self.submit_failures = counter("submit_failures", "Unsuccessful responses from Argo, by code", "code")
        self.status_updates = counter("status_updates", "Status messages published", "namespace")
        self.external_statuses = counter(
            "external_statuses", "Status updates from other systems, by outcome", "outcome"
        )
        self.connects = counter("connects", "Broker connections established", "connection")
        self.disconnects = counter("disconnects", "Broker connections lost, by reason", "connection", "reason")
        self.late_acks = counter("late_acks", "Acknowledgements dropped after a reconnect", "connection")
        self.internal_errors = counter("internal_errors", "Unexpected exceptions, each with a report", "where")
        self.log_suppressed = counter("log_suppressed", "Log lines suppressed by rate limits", "action")
        self.spool_waiting = gauge("spool_waiting", "Rows waiting for submission")
        self.spool_bytes = gauge("spool_bytes", "Bytes of the spool file")
        self.submissions_in_flight = gauge("submissions_in_flight", "Requests to Argo in flight")
        self.connected = gauge("connected", "1 while connected", "connection")
        self.argo_reachable = gauge("argo_reachable", "1 while the Argo Server answers")
        self.commit_seconds = self._histogram("commit_seconds", "Duration of a spool commit")
        self.submit_seconds = self._histogram("submit_seconds", "Duration of a create request")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"argo_bridge_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"argo_bridge_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str) -> Durations:
        durations = Durations(f"argo_bridge_{name}", text)
        self._registry.register(durations)
        return durations

    def value(self, name: str, **labels: str) -> float:
        """Return one sample by its name without prefix, ``value("dead_letters_total", reason="x")``; 0.0 if none."""
        return self._registry.get_sample_value(f"argo_bridge_{name}", labels) or 0.0

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus text format."""
        return generate_latest(self._registry)
