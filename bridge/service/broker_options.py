"""Translates the settings of a connection into what its transport is told. Pure.

Apart from the other options, so that a command that only visits a broker imports nothing of a bridge that runs.
"""

from __future__ import annotations

from bridge.interface.topics import OFFLINE, Topics
from bridge.settings import AmqpLogin, AmqpSettings, MqttSettings, Settings, TlsSettings
from bridge.transports.amqp.options import AmqpOptions, Declare
from bridge.transports.mqtt.transport import MqttOptions, MqttVersion, TlsOptions, Will


def mqtt_options(settings: Settings, name: str, mqtt: MqttSettings, topics: Topics) -> MqttOptions:
    """Return what one MQTT connection is told."""
    return MqttOptions(
        name=name,
        url=mqtt.url,
        client_id=settings.client_id(name),
        version=MqttVersion(mqtt.version.value),
        username=mqtt.username or "",
        password_file=str(mqtt.password_file or ""),
        tls=_tls(mqtt.tls),
        will=Will(topics.availability, OFFLINE, retain=mqtt.retain) if mqtt.will else None,
        retain=mqtt.retain,
        keepalive_s=int(mqtt.keepalive_s),
        session_expiry_s=int(mqtt.session_expiry_s),
        receive_maximum=mqtt.receive_maximum,
        max_publish_bytes=settings.interface.max_publish_bytes,
        own_filters=topics.own_filters,
        probe_topic=topics.probe,
        # Heard for what other systems send there; what we retain must come back, for it is compared.
        not_own=frozenset({topics.status_stream}),
    )


def amqp_options(settings: Settings, name: str, amqp: AmqpSettings) -> AmqpOptions:
    """Return what one AMQP connection is told."""
    return AmqpOptions(
        name=name,
        url=amqp.url,
        bridge_id=settings.bridge.id,
        hosts=amqp.hosts,
        exchange=amqp.exchange,
        prefix=settings.interface.prefix,
        queue=amqp.queue or "",
        queue_arguments=amqp.queue_arguments,
        declare=Declare(amqp.declaration.value),
        username=amqp.username or "",
        password_file=str(amqp.password_file or ""),
        is_certificate_login=amqp.login is AmqpLogin.CERTIFICATE,
        tls=_tls(amqp.tls),
        heartbeat_s=int(amqp.heartbeat_s),
        prefetch=amqp.prefetch,
        max_payload_bytes=settings.interface.max_payload_bytes,
        max_publish_bytes=settings.interface.max_publish_bytes,
    )


def _tls(tls: TlsSettings) -> TlsOptions:
    return TlsOptions(str(tls.ca or ""), str(tls.cert or ""), str(tls.key or ""), tls.insecure)
