"""What the cluster runs decides what is valid, and an outage at start stops nothing."""

from __future__ import annotations

import orjson
import pytest
from pipeline_fakes import FlakySpool

from bridge.argo.errors import AnswerKind
from bridge.core.errors import PermanentError, TransientError
from bridge.core.metrics import Metrics
from bridge.core.model import WorkflowOrder
from bridge.pipeline.cluster import VERSION_KEY, ClusterSchema, VersionWatch
from bridge.validation.library import SchemaLibrary
from tests.support.clock import FakeClock

LIBRARY = SchemaLibrary()
OLDEST, NEWEST = LIBRARY.versions[0], LIBRARY.newest


def order(parameters: dict[str, str] | None = None, **spec: object) -> WorkflowOrder:
    """An order whose manifest has this spec."""
    whole = {"workflowTemplateRef": {"name": "t"}} | spec
    return WorkflowOrder("factory", "t", orjson.dumps({"metadata": {}, "spec": whole}), "w", parameters or {})


@pytest.mark.parametrize(
    ("configured", "stored", "version", "source"),
    [
        ("auto", None, NEWEST, "newest known"),
        ("auto", OLDEST, OLDEST, "last known"),
        (OLDEST, NEWEST, OLDEST, "configured"),
        ("auto", "not a version", NEWEST, "last known"),
    ],
)
def test_the_schema_at_start(configured: str, stored: str | None, version: str, source: str) -> None:
    """The configured version, else the one seen last, else the newest known; a strange one stops nothing."""
    state = ClusterSchema(LIBRARY, configured, stored).state
    assert (state["schema"], state["schemaFrom"]) == (version, source)


def test_what_argo_tells_is_used_from_then_on() -> None:
    """Unless a version is configured."""
    schema = ClusterSchema(LIBRARY, "auto", None)
    assert schema.learn(f"v{OLDEST}")
    assert not schema.learn(f"v{OLDEST}")
    assert schema.state == {"schema": OLDEST, "schemaFrom": "argo server"}
    fixed = ClusterSchema(LIBRARY, NEWEST, None)
    assert not fixed.learn(f"v{OLDEST}")
    assert fixed.state["schema"] == NEWEST


def test_an_order_is_checked_by_what_the_cluster_runs_now() -> None:
    """A field that no release has is refused, on every call; a good manifest passes, under a new version too."""
    schema = ClusterSchema(LIBRARY, "auto", None)
    for _ in range(2):
        schema.check_order(order())
        with pytest.raises(PermanentError, match="paralelism") as caught:
            schema.check_order(order(paralelism=5))
        assert caught.value.details
        schema.learn(OLDEST)


def test_a_value_outside_of_its_enum_is_refused() -> None:
    """Argo does not look; the bridge names the parameter, the value and what it takes."""
    schema = ClusterSchema(LIBRARY, "auto", None)
    entries = [{"name": "color", "enum": ["red", "green"]}, {"name": "on", "enum": [True, 7]}, {"name": "free"}]
    arguments = {"parameters": entries}
    for value in ("true", "7"):
        schema.check_order(order({"color": "red", "on": value, "free": "x"}, arguments=arguments))
    with pytest.raises(PermanentError, match=r'parameter "color": "blue" is not one of red, green') as caught:
        schema.check_order(order({"color": "blue"}, arguments=arguments))
    assert caught.value.code == "invalid-workflow"
    assert [detail["pointer"] for detail in caught.value.details] == ["/parameters/color"]


def test_the_manifests_that_are_remembered_have_a_budget() -> None:
    """However many different large ones are asked about, a few MB of them are kept."""
    schema = ClusterSchema(LIBRARY, "auto", None)
    for number in range(60):
        schema.check_order(order(arguments={"parameters": [{"name": "p", "value": f"{number}" + "v" * 240_000}]}))
        schema.check_order(order())
    kept = sum(len(manifest) for _, manifest in schema._accepted)
    assert 2**20 < kept <= 8 * 2**20
    assert schema._accepted_bytes == kept


class FakeClient:
    """An Argo Server that has a version, or does not answer."""

    def __init__(self) -> None:
        self.answer: str | TransientError = TransientError("read Argo's version: refused", code="unreachable")
        self.access: dict[str, TransientError] = {}
        self.asked: list[str] = []

    def version(self) -> str:
        """As the client."""
        if isinstance(self.answer, str):
            return self.answer
        raise self.answer

    def check_access(self, namespace: str) -> None:
        """As the client."""
        self.asked.append(namespace)
        if namespace in self.access:
            raise self.access[namespace]


class WatchBench:
    """A version watch without its thread."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.spool = FlakySpool(self.clock)
        self.client = FakeClient()
        self.schema = ClusterSchema(LIBRARY, "auto", None)
        self.metrics = Metrics()
        self.recovered = 0
        self.watch = VersionWatch(
            self.client,  # type: ignore[arg-type]  # a fake
            ("factory", "lab"),
            schema=self.schema,
            spool=self.spool,  # type: ignore[arg-type]  # the real one, with a switch
            metrics=self.metrics,
            on_recovered=self._recovered,
        )

    def _recovered(self) -> None:
        self.recovered += 1

    def look(self, times: int = 1) -> None:
        """Ask, five seconds apart."""
        for _ in range(times):
            self.watch._look()
            self.clock.advance(5)


def test_an_outage_is_told_once_a_minute_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    """A server that is away, from the start on, does not fill the log."""
    caplog.set_level("INFO", "bridge")
    bench = WatchBench()
    bench.look(24)
    assert len(caplog.records) == 2
    assert bench.watch.state["reachable"] is False
    assert bench.metrics.value("argo_reachable") == 0
    assert "refused" in str(bench.watch.state["problem"])
    bench.client.answer = f"v{OLDEST}"
    caplog.clear()
    bench.look(3)
    assert bench.metrics.value("argo_reachable") == 1
    assert bench.watch.state == {
        "version": f"v{OLDEST}",
        "reachable": True,
        "schema": OLDEST,
        "schemaFrom": "argo server",
    }
    assert [record.getMessage() for record in caplog.records] == [
        f"workflows are checked as Argo {OLDEST}",
        f"the Argo Server answers, version v{OLDEST}",
    ]


@pytest.mark.parametrize("code", ["timeout", "server-error", "not-authenticated", "token-unreadable", "not-argo"])
def test_a_server_that_only_tells_its_version_is_not_reachable(code: str) -> None:
    """A frozen etcd or an expired token: the version is answered all the same, and nothing else is."""
    bench = WatchBench()
    bench.client.answer = f"v{OLDEST}"
    bench.look()
    assert (bench.watch.state["reachable"], bench.watch.problems, bench.recovered) == (True, (), 1)
    bench.client.access = {"factory": TransientError("read workflows in factory: no", code=code)}
    bench.client.asked.clear()
    bench.look()
    assert bench.watch.state["reachable"] is False
    assert bench.metrics.value("argo_reachable") == 0
    assert [problem.code for problem in bench.watch.problems] == [code]
    assert bench.client.asked == ["factory"]
    bench.client.access.clear()
    bench.look(2)
    assert (bench.watch.state["reachable"], bench.watch.problems, bench.recovered) == (True, (), 2)


@pytest.mark.parametrize("code", ["not-permitted", "namespace-terminating", "namespace-not-found"])
def test_what_one_namespace_refuses_is_a_problem_and_no_outage(code: str) -> None:
    """The server is there and knows the token; the problem names the namespace, and the others are asked too."""
    bench = WatchBench()
    bench.client.answer = f"v{OLDEST}"
    bench.client.access = {"factory": TransientError("read workflows in factory: forbidden", code=code)}
    bench.look()
    assert bench.watch.state["reachable"] is True
    assert [(problem.code, problem.subject) for problem in bench.watch.problems] == [(code, "factory")]
    assert bench.client.asked == ["factory", "lab"]


def test_the_version_is_remembered_over_a_restart() -> None:
    """So that the next start, without Argo, checks by the same schema."""
    bench = WatchBench()
    bench.client.answer = f"v{OLDEST}"
    bench.look()
    stored = bench.spool.real.meta(VERSION_KEY)
    assert ClusterSchema(LIBRARY, "auto", stored).state["schema"] == OLDEST


def test_a_spool_that_cannot_remember_is_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    """The version is used all the same."""
    bench = WatchBench()
    bench.client.answer = f"v{OLDEST}"
    bench.spool.failing = {"set_meta"}
    bench.look()
    assert bench.schema.state["schema"] == OLDEST
    assert bench.watch.state["reachable"] is True
    assert "cannot remember" in caplog.text


def test_the_kind_of_an_answer_is_none_of_its_business() -> None:
    """A denied or strange answer is a problem that the state tells, like an outage."""
    bench = WatchBench()
    bench.client.answer = TransientError("read Argo's version: token not valid", code=AnswerKind.DENIED.value)
    bench.look()
    assert bench.watch.state["reachable"] is False
