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
    """What a request may set beside a stored template."""

    service_accounts: tuple[str, ...] | None = declare(
        ListOf(Text(), distinct=True),
        "Service accounts that `submit` may use. Default: all if `interface.manifests` is true, otherwise none.",
        default=ABSENT,
    )
    entrypoints: tuple[str, ...] | None = declare(
        ListOf(Text(), distinct=True), "Entrypoints that `submit` may use. The default is the same.", default=ABSENT
    )
    parameters: tuple[str, ...] | None = declare(
        ListOf(Text(), distinct=True),
        "Parameters that a request may set. Default: all.",
        default=ABSENT,
    )


@section
class InterfaceOptions:
    """Which requests are allowed by message, and how large messages may be."""

    prefix: str = declare(
        Text(words="a topic prefix", check=_prefix_problem),
        "Topic prefix of the interface.",
        default="argo/workflows",
    )
    operations: tuple[Operation, ...] = declare(
        ListOf(Choice(Operation), distinct=True),
        "Allowed operations; other requests get an error reply. Default: all.",
        default=[operation.value for operation in Operation],
    )
    response_topics: tuple[str, ...] | None = declare(
        ListOf(Text(words="a topic filter", check=topic_filter.filter_problem), distinct=True),
        "Topic filters for the Response Topics that a request may use; the bridge's own topics are never allowed. "
        "Default: PREFIX/response/#.",
        default=ABSENT,
    )
    reply_queues: tuple[str, ...] = declare(
        ListOf(Text(words="the name of a queue; * stands for any characters"), distinct=True),
        "Queues that a request over AMQP may use as reply_to; RabbitMQ's direct reply-to always works.",
        default=list(REPLY_QUEUES),
    )
    manifests: bool = declare(
        Boolean(),
        "Whether a trigger message may contain a whole workflow; if false, only templates can be run.",
        default=True,
    )
    submit: SubmitOptions = declare(Section(SubmitOptions), SubmitOptions.__doc__ or "", default={})
    max_payload_bytes: int = declare(
        Size("1KiB", "16MiB"), "Maximum size of a payload; a larger one gets an error reply.", default="256KiB"
    )
    max_publish_bytes: int = declare(
        Size("4KiB", "16MiB"),
        "Maximum size of a published message if the broker states none; longer outputs are cut.",
        default="256KiB",
    )
