"""Translates what settings and mappings want to be told of workflows into what status is told. Pure.

Thread: any.
"""

from __future__ import annotations

from bridge.core import topic_filter
from bridge.interface.status import NoticeKind
from bridge.interface.topics import published_problem
from bridge.mapping.mapping_set import MappingSet
from bridge.settings import Settings
from bridge.status.seen.sources import NO_WISHES, FollowedWorkflows, Notice, Wishes, scope_selector


def followed_workflows(settings: Settings, mappings: MappingSet) -> FollowedWorkflows:
    """Return which workflows are followed, and who is told, as the configuration has it."""
    status, bridge_id = settings.status, settings.bridge.id
    return FollowedWorkflows(
        bridge_id=bridge_id,
        namespaces=settings.argo.namespaces,
        selector=scope_selector(bridge_id, status.scope.kind, status.scope.selector),
        notices=tuple(Notice(one.topic, one.on is NoticeKind.FAILED) for one in status.notify),
        wishes=lambda name, topic: mapping_wishes(mappings, name, topic),
    )


def mapping_wishes(mappings: MappingSet, name: str, topic: str) -> Wishes:
    """Return what a mapping wants of one of its workflows.

    Args:
        mappings: those of the configuration: what a workflow's annotations say may be older.
        name: the mapping's.
        topic: the concrete topic of the message that led to the workflow.
    """
    mapping = mappings.get(name)
    if mapping is None:
        return NO_WISHES
    wishes = mapping.status_wishes
    if not wishes.notices or not topic_filter.matches(mapping.pattern.topic_filter, topic):
        return Wishes(wishes.nodes)
    captured = mapping.pattern.captured(topic)
    filled = ((pattern.filled(captured), failed_only) for pattern, failed_only in wishes.notices)
    # A level may be empty, or make a topic that begins with $.
    sendable = ((text, only) for text, only in filled if not published_problem(text))
    return Wishes(wishes.nodes, tuple(Notice(text, only) for text, only in sendable))
