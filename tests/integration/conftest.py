"""Parts that several files of integration tests use."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.support.amqp_client import AmqpClient
from tests.support.amqp_place import Place
from tests.support.rabbitmq import RabbitMq
from tests.support.transports import TransportMaker


@pytest.fixture
def place(rabbitmq: RabbitMq, transports: TransportMaker) -> Iterator[Place]:
    """The shared broker, with names of this test's own."""
    name = f"fail-{secrets.token_hex(4)}"
    with AmqpClient(rabbitmq.port, name) as client:
        yield Place(rabbitmq, transports, client, name)
        transports.stop_all()
