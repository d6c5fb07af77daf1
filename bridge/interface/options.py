"""The keys of `interface` in bridge.yaml. Frozen; any thread."""

from __future__ import annotations

from bridge.configfile.containers import ListOf
from bridge.configfile.fields import ABSENT, Section, declare, section
from bridge.configfile.kinds import Boolean, Choice, Size, Text
from bridge.core import topic_filter
from bridge.interface.operations import Operation
from bridge.interface.topics import BRIDGE_ROOT, published_problem

REPLY_QUEUES = ("amq.gen-*", "argo-bridge.*.replies")
"""Default of ``interface.reply-queues``: queues that RabbitMQ named for their consumers, and queues named so."""


def _prefix_problem(prefix: str) -> str:
    """Why a text cannot be the interface's prefix, or ""."""
    why = published_problem(prefix)
    if why:
        return why
    levels = prefix.split("/")
    if "" in levels:
        return "it begins or ends with /, or has an empty level"
    if levels[:2] == BRIDGE_ROOT.split("/"):
        return f"topics under {BRIDGE_ROOT} are the bridge's own"
    return "" if prefix.isprintable() else "it has characters that cannot be printed"


@section
class SubmitOptions:
    """What a request may add to a stored template."""

    service_accounts: tuple[str, ...] | None = declare(
        ListOf(Text(), distinct=True),
        "Service accounts that `submit` may name. Absent, any where `interface.manifests` is true, else none.",
        default=ABSENT,
    )
    entrypoints: tuple[str, ...] | None = declare(
        ListOf(Text(), distinct=True), "Entrypoints that `submit` may name. Absent, likewise.", default=ABSENT
    )
    parameters: tuple[str, ...] | None = declare(
        ListOf(Text(), distinct=True),
        "Names of parameters that any request may give. Absent, all: a template's own parameters are for its callers.",
        default=ABSENT,
    )


@section
class InterfaceOptions:
    """What may be asked by message, and how large messages may be."""

    prefix: str = declare(
        Text(what="a topic prefix", check=_prefix_problem),
        "Topic that the interface lies under.",
        default="argo/workflows",
    )
    operations: tuple[Operation, ...] = declare(
        ListOf(Choice(Operation), distinct=True),
        "What may be asked by message; all else is refused. Absent, everything may.",
        default=[operation.value for operation in Operation],
    )
    response_topics: tuple[str, ...] | None = declare(
        ListOf(Text(what="a topic filter", check=topic_filter.filter_problem), distinct=True),
        "Topics that a request may name for its reply, + and # included, the bridge's own excepted. Absent, "
        "PREFIX/response/#.",
        default=ABSENT,
    )
    reply_queues: tuple[str, ...] = declare(
        ListOf(Text(what="the name of a queue; * stands for any characters"), distinct=True),
        "Queues that a request over AMQP may name for its reply; RabbitMQ's direct reply-to always works.",
        default=list(REPLY_QUEUES),
    )
    manifests: bool = declare(
        Boolean(), "Whether a trigger message may carry a whole workflow; false leaves templates only.", default=True
    )
    submit: SubmitOptions = declare(Section(SubmitOptions), SubmitOptions.__doc__ or "", default={})
    max_payload_bytes: int = declare(
        Size("1KiB", "16MiB"), "Largest payload that is taken; a larger one gets an error reply.", default="256KiB"
    )
    max_publish_bytes: int = declare(
        Size("4KiB", "16MiB"),
        "Largest message that is published where the broker names no maximum; longer outputs are cut.",
        default="256KiB",
    )
