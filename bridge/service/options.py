"""Translates the settings into what each part is told: parts of one layer know nothing of each other. Pure."""

from __future__ import annotations

from bridge.interface.reply_addresses import ReplyRules
from bridge.interface.topics import Topics
from bridge.mapping.mapping_set import MappingSet
from bridge.pipeline.cluster import ClusterSchema
from bridge.pipeline.intake.requests import RequestRules
from bridge.settings.model import Settings
from bridge.validation.policy import Policy


def request_rules(settings: Settings, schema: ClusterSchema) -> RequestRules:
    """Return what requests are read by as the settings have it."""
    interface = settings.interface
    # Who may send a whole workflow can name in it what he likes.
    others = None if interface.manifests else ()
    accounts, entrypoints = interface.submit.service_accounts, interface.submit.entrypoints
    return RequestRules(
        bridge_id=settings.bridge.id,
        policy=Policy(
            settings.argo.namespaces,
            interface.manifests,
            service_accounts=others if accounts is None else accounts,
            entrypoints=others if entrypoints is None else entrypoints,
            parameters=interface.submit.parameters,
        ),
        operations=frozenset(settings.interface.operations),
        check_workflow=schema.check,
    )


def reply_rules(settings: Settings, mappings: MappingSet, topics: Topics) -> ReplyRules:
    """Return where requests may want their replies as the configuration has it."""
    listened = [mappings.filters(name) for name in settings.connections]
    notices = {notice.topic for notice in settings.status.notify}
    brokers = [one.amqp for one in settings.connections.values() if one.amqp]
    allowed = settings.interface.response_topics
    return ReplyRules(
        topics=(f"{topics.prefix}/response/#",) if allowed is None else allowed,
        queues=settings.interface.reply_queues,
        own_topics=frozenset(notices).union(*listened, *(mapping.published for mapping in mappings)),
        own_queues=frozenset(queue.name for options in brokers for queue in options.queues()),
    )
