"""Broker URLs are read with the right defaults, and a bad one says what is wrong."""

from __future__ import annotations

import socket
import ssl

import pytest

from bridge.core.errors import ConfigError
from bridge.transports.broker import MQTT_PORTS, parse_broker, unreachable


@pytest.mark.parametrize(
    ("url", "text", "has_tls", "is_websocket", "path"),
    [
        ("mqtt://broker", "broker:1883", False, False, "/mqtt"),
        ("mqtts://broker", "broker:8883", True, False, "/mqtt"),
        ("ws://broker", "broker:80", False, True, "/mqtt"),
        ("wss://broker:9443/path", "broker:9443", True, True, "/path"),
        ("mqtt://[::1]:1884", "[::1]:1884", False, False, "/mqtt"),
    ],
)
def test_each_scheme_has_its_port_and_ways(url: str, text: str, has_tls: bool, is_websocket: bool, path: str) -> None:
    """Port, TLS, WebSocket and path follow from the URL."""
    broker = parse_broker(url, MQTT_PORTS)
    assert (str(broker), broker.has_tls, broker.is_websocket, broker.websocket_path) == (
        text,
        has_tls,
        is_websocket,
        path,
    )


@pytest.mark.parametrize("url", ["http://broker", "broker:1883", "mqtt://", "mqtt://host:99999", "mqtt://h:0", ""])
def test_a_bad_url_is_a_config_error(url: str) -> None:
    """It is named in the message."""
    with pytest.raises(ConfigError) as caught:
        parse_broker(url, MQTT_PORTS)
    assert caught.value.code == "bad-url"
    assert f'"{url}"' in caught.value.message


@pytest.mark.parametrize(
    ("error", "problem", "part"),
    [
        (socket.gaierror(-2, "Name or service not known"), "unreachable", "name broker"),
        (ConnectionRefusedError(111, "Connection refused"), "unreachable", "Connection refused"),
        (TimeoutError("timed out"), "unreachable", "in time"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "tls-failed", "WRONG_VERSION_NUMBER"),
    ],
)
def test_a_connection_that_cannot_be_made_says_why(error: Exception, problem: str, part: str) -> None:
    """Unknown name, refused, no answer and TLS are told apart."""
    found = unreachable(parse_broker("mqtt://broker", MQTT_PORTS), error, str(error))
    assert found.code == problem
    assert part in found.message
