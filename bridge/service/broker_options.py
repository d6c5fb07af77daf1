"""Translates the settings of a connection into what its transport is told. Pure.

Apart from the other options, so that a command that only visits a broker imports nothing of a bridge that runs.
"""

from __future__ import annotations

from bridge.settings import AmqpLogin, AmqpSettings, Settings
from bridge.transports.amqp.options import AmqpOptions, Declare


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
        password_file=amqp.password_file,
        is_certificate_login=amqp.login is AmqpLogin.CERTIFICATE,
        tls=amqp.tls,
        heartbeat_s=int(amqp.heartbeat_s),
        prefetch=amqp.prefetch,
        max_payload_bytes=settings.interface.max_payload_bytes,
        max_publish_bytes=settings.interface.max_publish_bytes,
    )
