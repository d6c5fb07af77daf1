"""Which queue gets which topics, what is remembered of it, and where a connection goes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import ConfigError
from bridge.transports.amqp.options import AmqpOptions, parse_nodes, virtual_host
from bridge.transports.amqp.topology import Binding, read_bindings, wanted_bindings

OPTIONS = AmqpOptions(name="office", url="amqp://localhost", bridge_id="plant-1")
VISIT = AmqpOptions(name="office", url="amqp://localhost", bridge_id="plant-1", is_visit=True)
FILTERS = frozenset({"argo/workflows/trigger", "argo/workflows/trigger/+", "sensors/+/x", "#"})
RETAINED = frozenset({"argo/workflows/status/+/+"})


def test_requests_and_sensor_messages_have_queues_of_their_own() -> None:
    """What lies under the prefix is a request; retained messages there are none."""
    found = wanted_bindings(OPTIONS, FILTERS, RETAINED)
    assert {(one.queue.rpartition(".")[2], one.key) for one in found.bindings} == {
        ("requests", "argo.workflows.trigger"),
        ("requests", "argo.workflows.trigger.*"),
        ("events", "sensors.*.x"),
        ("events", "#"),
    }
    assert set(found.request_filters) == {"argo/workflows/trigger", "argo/workflows/trigger/+"}


def test_a_queue_of_somebody_else_s_is_bound_by_them() -> None:
    """Mappings listen to it, and the bridge binds its own queue of requests only."""
    found = wanted_bindings(replace(OPTIONS, queue="orders"), FILTERS, RETAINED)
    assert {one.queue.rpartition(".")[2] for one in found.bindings} == {"requests"}
    assert set(found.event_filters) == {"sensors/+/x", "#"}


def test_a_visit_hears_everything_on_one_queue() -> None:
    """Also what is published to retained topics from now on."""
    found = wanted_bindings(VISIT, frozenset({"argo/workflows/response/trigger"}), RETAINED)
    assert {(one.queue, one.key) for one in found.bindings} == {
        ("", "argo.workflows.response.trigger"),
        ("", "argo.workflows.status.*.*"),
    }


def test_a_filter_that_is_too_long_costs_itself_only() -> None:
    """It is told, and the others are bound."""
    found = wanted_bindings(OPTIONS, frozenset({"x" * 256, "a"}), frozenset())
    assert [one.key for one in found.bindings] == ["a"]
    assert [problem.code for problem in found.problems] == ["filter-refused"]


@given(st.frozensets(st.builds(Binding, st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))))
def test_bindings_are_remembered_to_the_letter(bindings: frozenset[Binding]) -> None:
    """As texts, whatever the names hold."""
    assert read_bindings(binding.text() for binding in bindings) == bindings


def test_what_is_no_binding_is_forgotten() -> None:
    """A spool of another time costs no start."""
    assert read_bindings(["sensors/+", "[]", "[1]", "{}", "null"]) == frozenset()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("amqp://h", "/"),
        ("amqp://h/", "/"),
        ("amqp://h/%2F", "/"),
        ("amqp://h/plant", "plant"),
        ("amqp://h/plant%2Fone", "plant/one"),
    ],
)
def test_the_path_is_the_virtual_host(url: str, name: str) -> None:
    """No path, or a single slash, is the default host."""
    assert virtual_host(url) == name


def test_nodes_are_tried_in_the_order_of_the_configuration() -> None:
    """Each with the port of the url's scheme unless it names one."""
    nodes = parse_nodes("amqps://first", ["second", "third:1234", "[::1]:5"])
    assert [str(node) for node in nodes] == ["first:5671", "second:5671", "third:1234", "[::1]:5"]
    assert all(node.has_tls for node in nodes)


@pytest.mark.parametrize("url", ["http://h", "amqp://", "amqp://h:0", "amqp://h:x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """With a code."""
    with pytest.raises(ConfigError, match="read broker url"):
        parse_nodes(url)
