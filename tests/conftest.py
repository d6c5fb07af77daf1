"""Fixtures that several kinds of tests share: real brokers, and transports that are stopped after each test."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from bridge.core import log
from tests.support.certificates import Authority
from tests.support.faults_report import pytest_terminal_summary  # noqa: F401  # a hook, found here by its name
from tests.support.machine import scaled
from tests.support.mosquitto import Mosquitto, MosquittoOptions, find_mosquitto
from tests.support.rabbitmq import SHARED_RABBITMQ, RabbitMq, RabbitMqOptions, find_rabbitmq
from tests.support.transports import TransportMaker

# How long an example takes says how busy the machine is, and nothing about the product.
settings.register_profile("any-machine", deadline=None)
settings.load_profile("any-machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a broker, so that e.g. `-m "not mosquitto"` leaves it out; give slow machines more time."""
    for item in items:
        given = item.get_closest_marker("timeout")
        limit_s = given.args[0] if given is not None else item.config.getoption("timeout")
        item.add_marker(pytest.mark.timeout(scaled(limit_s)), append=False)
        for broker in ("mosquitto", "rabbitmq"):
            if f"needs_{broker}" in getattr(item, "fixturenames", ()):
                item.add_marker(broker)


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Whoever calls the command in this process sets up its log; the next test must not find it quiet, or elsewhere."""
    root = logging.getLogger(log.ROOT)
    handlers, level, propagate = root.handlers[:], root.level, root.propagate
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    root.propagate = propagate


def _require(program: object, name: str, package: str) -> None:
    if program is None:
        reason = f"the {name} broker is not installed: sh tests/install-brokers.sh, or apt-get install {package}"
        if os.environ.get("ARGO_BRIDGE_REQUIRE_BROKERS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def needs_mosquitto() -> None:
    """Skip where Mosquitto is not installed."""
    _require(find_mosquitto(), "Mosquitto", "mosquitto")


@pytest.fixture(scope="session")
def needs_rabbitmq() -> None:
    """Skip where RabbitMQ is not installed."""
    _require(find_rabbitmq(), "RabbitMQ", "rabbitmq-server")


@pytest.fixture
def start_mosquitto(needs_mosquitto: None) -> Iterator[Callable[[MosquittoOptions], Mosquitto]]:
    """Start real Mosquitto brokers with the options given; all are killed after the test."""
    with ExitStack() as started:
        yield lambda options: started.enter_context(Mosquitto(options))


@pytest.fixture
def mosquitto(start_mosquitto: Callable[[MosquittoOptions], Mosquitto]) -> Mosquitto:
    """A real Mosquitto, without persistence, that lets everybody in."""
    return start_mosquitto(MosquittoOptions())


@pytest.fixture
def start_rabbitmq(needs_rabbitmq: None) -> Iterator[Callable[[RabbitMqOptions], RabbitMq]]:
    """Start real RabbitMQ nodes of this test's own, which takes some ten seconds each; all are killed after it."""
    with ExitStack() as started:
        yield lambda options: started.enter_context(RabbitMq(options))


@pytest.fixture(scope="session")
def rabbitmq(needs_rabbitmq: None) -> Iterator[RabbitMq]:
    """A real RabbitMQ, shared by all tests of this process: each uses names of its own."""
    with RabbitMq(SHARED_RABBITMQ) as broker:
        yield broker


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority of this test's own."""
    return Authority(tmp_path)


@pytest.fixture
def transports() -> Iterator[TransportMaker]:
    """Makes MQTT transports with recording ends; all are stopped after the test."""
    maker = TransportMaker()
    yield maker
    maker.stop_all()
