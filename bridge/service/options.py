"""Translates the settings into what each part is told: parts of one layer know nothing of each other. Pure."""

from __future__ import annotations

from bridge.argo.options import ArgoOptions
from bridge.interface.topics import Topics
from bridge.pipeline.cluster import ClusterSchema
from bridge.pipeline.requests import RequestRules
from bridge.settings import AmqpLogin, AmqpSettings, MqttSettings, Settings
from bridge.spool.records import SpoolLimits
from bridge.status.availability import OFFLINE
from bridge.transports.amqp_options import AmqpOptions, Declare
from bridge.transports.mqtt import MqttOptions, MqttVersion, TlsOptions, Will
from bridge.validation.policy import Policy

SPOOL_FILE = "spool.sqlite"
"""Within bridge.data-dir."""


def spool_limits(settings: Settings) -> SpoolLimits:
    """Return the spool's bounds as the settings have them."""
    spool, letters = settings.spool, settings.dead_letters
    return SpoolLimits(
        max_rows=spool.max_rows,
        max_bytes=spool.max_bytes,
        keep_done_s=spool.keep_done_s,
        dead_max_rows=letters.max_rows,
        dead_max_bytes=letters.max_bytes,
        dead_keep_s=letters.keep_s,
    )


def request_rules(settings: Settings, topics: Topics, schema: ClusterSchema) -> RequestRules:
    """Return what requests are read by as the settings have it."""
    return RequestRules(
        bridge_id=settings.bridge.id,
        topics=topics,
        policy=Policy(settings.argo.namespaces, settings.interface.manifests),
        operations=frozenset(settings.interface.operations),
        check_workflow=schema.check,
    )


def argo_options(settings: Settings) -> ArgoOptions:
    """Return how to reach the Argo Server as the settings have it."""
    argo = settings.argo
    return ArgoOptions(
        url=argo.url,
        token_file=argo.token_file,
        authorization="" if argo.token is None else argo.token.reveal(),
        ca_file=argo.tls.ca,
        insecure=argo.tls.insecure,
    )


def mqtt_options(settings: Settings, name: str, mqtt: MqttSettings, topics: Topics) -> MqttOptions:
    """Return what one MQTT connection is told."""
    tls = mqtt.tls
    return MqttOptions(
        name=name,
        url=mqtt.url,
        client_id=settings.client_id(name),
        version=MqttVersion(mqtt.version.value),
        username=mqtt.username or "",
        password_file=str(mqtt.password_file or ""),
        tls=TlsOptions(str(tls.ca or ""), str(tls.cert or ""), str(tls.key or ""), tls.insecure),
        will=Will(topics.availability, OFFLINE),
        keepalive_s=int(mqtt.keepalive_s),
        session_expiry_s=int(mqtt.session_expiry_s),
        receive_maximum=mqtt.receive_maximum,
        max_publish_bytes=settings.interface.max_publish_bytes,
    )


def amqp_options(settings: Settings, name: str, amqp: AmqpSettings) -> AmqpOptions:
    """Return what one AMQP connection is told."""
    tls = amqp.tls
    return AmqpOptions(
        name=name,
        url=amqp.url,
        bridge_id=settings.bridge.id,
        hosts=amqp.hosts,
        exchange=amqp.exchange,
        prefix=settings.interface.prefix,
        declare=Declare(amqp.declaration.value),
        username=amqp.username or "",
        password_file=str(amqp.password_file or ""),
        is_certificate_login=amqp.login is AmqpLogin.CERTIFICATE,
        tls=TlsOptions(str(tls.ca or ""), str(tls.cert or ""), str(tls.key or ""), tls.insecure),
        heartbeat_s=int(amqp.heartbeat_s),
        prefetch=amqp.prefetch,
        max_payload_bytes=settings.interface.max_payload_bytes,
        max_publish_bytes=settings.interface.max_publish_bytes,
    )
