"""The keys of a mapping file, declared once and read into frozen dataclasses that know the position of each value.

Compiles and evaluates no expression (`compiler` does); `definition_checks` checks what the text alone shows. Thread:
whichever loads a configuration; the results are frozen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from bridge.configfile.containers import ListOf, MapOf, OneOrMore
from bridge.configfile.fields import ABSENT, Section, declare, section
from bridge.configfile.kinds import (
    DNS_LABEL,
    INVALID,
    Boolean,
    Choice,
    Duration,
    FilePath,
    Integer,
    Number,
    Place,
    Structure,
    Text,
)
from bridge.configfile.nodes import ListNode, MapNode, Node, ScalarNode, is_null, kind_of, locate
from bridge.configfile.problems import Code, Position, Problems
from bridge.configfile.source import SourceFile
from bridge.interface.status import Notice
from bridge.mapping.formats.prepared import Encoding
from bridge.mapping.payloads import FORMATS_NOT_YET, PayloadFormat
from bridge.rules.active import DAYS
from bridge.rules.collect import Keep
from bridge.rules.concurrency import WhenBusy
from bridge.rules.trigger import Trigger

# Source: Kubernetes, "Object Names and IDs" and "Labels and Selectors".
DNS_SUBDOMAIN = r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LABEL_KEY = r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"

_DAY = "|".join(DAYS)
DAYS_PATTERN = rf"({_DAY})(-({_DAY}))?(, ?({_DAY})(-({_DAY}))?)*"
HOURS_PATTERN = r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]"
_NAME_WORDS = "small letters, digits and - (not first, not last), at most 63 characters"
_OBJECT_NAME = Text(DNS_SUBDOMAIN, "a name in Kubernetes: small letters, digits, - and .")
_ANY_TEXT = Text(words="text", may_be_empty=True)
_UNREAD = "unread"
_NOWHERE = MapNode(Position(""))


class EmptyPayload(StrEnum):
    """How to treat a message without payload."""

    SKIP = "skip"
    DEAD_LETTER = "dead-letter"
    EVENT = "event"


class OnUnreadable(StrEnum):
    """How to treat a payload that cannot be decoded."""

    DEAD_LETTER = "dead-letter"
    SKIP = "skip"


class Retained(StrEnum):
    """What a retained message means that the broker delivers when the bridge subscribes."""

    SKIP = "skip"
    ONCE = "once"
    EVERY = "every"


class Known(StrEnum):
    """Which keys can fall silent."""

    SEEN = "seen"


class Otherwise(StrEnum):
    """What happens to readings outside of the active hours."""

    HOLD = "hold"
    DROP = "drop"


@section
class WindowDefinition:
    """Figures over the last readings of a key: window.avg, min, max, sum, count, delta, first, last."""

    last_s: float = declare(Duration("1s"), "How long a reading is in the window.")
    of: str = declare(Text(words="an expression"), "The number that a reading brings into the window.")
    at_most: int = declare(Integer(1, 10_000), "How many readings; the oldest leave first.", default=600)


@section
class CountDefinition:
    """How many readings it takes."""

    at_least: int = declare(Integer(2, 1000), "Only the last of so many readings goes on.")
    within_s: float = declare(Duration("1s"), "How long a reading counts.")


@section
class CollectDefinition:
    """Many readings become one event."""

    quiet_s: float | None = declare(Duration("1s"), "The event is made once nothing came for so long.", default=ABSENT)
    at_most_s: float | None = declare(
        Duration("1s"), "With quiet: the event is made so long after the first reading, at the latest.", default=ABSENT
    )
    every_s: float | None = declare(
        Duration("1s"), "The event is made so long after the first reading.", default=ABSENT
    )
    count: int | None = declare(Integer(2, 1000), "The event is made of so many readings.", default=ABSENT)
    keep: Keep = declare(
        Choice(Keep),
        "Which reading the event is made of; with all, `readings` is the list of their payloads.",
        default="last",
    )


@section
class ConcurrencyDefinition:
    """How many workflows of a key may run at once."""

    max_running: int = declare(Integer(1, 1000), "How many.", default=1, name="max")
    when_busy: WhenBusy = declare(
        Choice(WhenBusy),
        "What happens to readings that would start one more: they wait (queue), are dropped (drop), only the last "
        "waits (newest), or the last waits and the running workflow is stopped (replace).",
        default="queue",
    )


@section
class ActiveDefinition:
    """When readings go on."""

    days: str = declare(
        Text(DAYS_PATTERN, "days, such as mon-fri or sat,sun"),
        "Days on which the hours begin; default: every day.",
        default="mon-sun",
    )
    hours: str = declare(
        Text(HOURS_PATTERN, 'hours, such as "06:00-22:00"'),
        "Local time; an end before the beginning is on the next day. Default: the whole day.",
        default="00:00-00:00",
    )
    zone: str = declare(Text(words="a time zone"), "Time zone of the IANA database; default: UTC.", default="UTC")
    otherwise: Otherwise = declare(
        Choice(Otherwise),
        "Readings outside of the hours: drop them, or hold the last one of each key until the hours begin.",
        default="drop",
        name="else",
    )


@section
class PayloadDefinition:
    """How the payload is decoded and checked.

    After `definition_checks`, `descriptor_set` is the content of the file `descriptor`.
    """

    format: PayloadFormat = declare(
        Choice(PayloadFormat, not_yet=FORMATS_NOT_YET),
        "How the bytes are decoded.",
        default="json",
    )
    schema: Mapping[str, Any] | None = declare(
        Structure("a JSON Schema"),
        "JSON Schema for the decoded payload; payloads that do not match are dead-lettered.",
        default=ABSENT,
    )
    empty: EmptyPayload = declare(
        Choice(EmptyPayload),
        "What to do with a message without payload, which clears a retained topic: skip it, dead-letter it, or treat "
        "it like any other.",
        default="skip",
    )
    charset: str = declare(
        Text(words="a character set"), "Character set of the text, by its name in Python.", default="utf-8"
    )
    encoding: Encoding | None = declare(
        Choice(Encoding),
        "How the payload is compressed; at most 1 MiB when decompressed. Default: not at all.",
        default=ABSENT,
    )
    columns: tuple[str, ...] | None = declare(
        ListOf(Text(words="a column's name"), least=1, distinct=True),
        "With format csv: names of the columns, if the payload has no header line.",
        default=ABSENT,
    )
    delimiter: str = declare(
        Text(r"[,;:|\t]", "one of , ; : | and a tab"), "With format csv: what stands between cells.", default=","
    )
    descriptor: Path | None = declare(
        FilePath(),
        "With format protobuf: file of a descriptor set (protoc --include_imports --descriptor_set_out), relative to "
        "the mapping file; it is read when the mapping is loaded.",
        default=ABSENT,
    )
    message: str | None = declare(
        Text(words="the name of a message"),
        "With format protobuf: its name, as package.Name.",
        default=ABSENT,
    )
    descriptor_set: bytes | None = dataclasses.field(default=None, repr=False, compare=False)
    on_unreadable: OnUnreadable = declare(
        Choice(OnUnreadable),
        "What to do with a payload that does not have the format: dead-letter it, or skip it, which is counted, and "
        "logged once a minute.",
        default="dead-letter",
    )


@section
class WorkflowDefinition:
    """The workflow that a message starts. Exactly one of its sources is set.

    After `definition_checks`, `namespace` is the default one if the file names none, and "" before. Likewise,
    `manifest` is then absolute, and `manifest_tree` has the content of that file, where `${...}` means nothing.
    """

    namespace: str = declare(
        Text(DNS_LABEL, f"a namespace: {_NAME_WORDS}"),
        "Namespace of the workflow, one of argo.namespaces; default: the first of them.",
        default=ABSENT,
    )
    template: str | None = declare(_OBJECT_NAME, "WorkflowTemplate to run, in the same namespace.", default=ABSENT)
    cluster_template: str | None = declare(_OBJECT_NAME, "ClusterWorkflowTemplate to run.", default=ABSENT)
    cron: str | None = declare(
        _OBJECT_NAME, "CronWorkflow to run now.", default=ABSENT, not_yet='"cron" as a source is not built yet'
    )
    manifest: Path | None = declare(
        FilePath(), "File of a Workflow to run, relative to the mapping file.", default=ABSENT
    )
    spec: Mapping[str, Any] | None = declare(
        Structure("a workflow spec"), "The workflow's spec, in Argo's format.", default=ABSENT
    )
    entrypoint: str | None = declare(Text(), "Template to begin with; default: the source's own.", default=ABSENT)
    parameters: Mapping[str, str] = declare(
        MapOf(_ANY_TEXT), "Values of the workflow's parameters; ${...} takes a value from the message.", default={}
    )
    name: str | None = declare(
        Text(),
        "Name of the workflow, usually with ${...}; a second event with the same name fails. Default: a generated "
        "name.",
        default=ABSENT,
    )
    generate_name: str | None = declare(
        Text(r"[a-z0-9][-a-z0-9]{0,45}", "small letters, digits and -, at most 46 characters"),
        "Prefix of generated names; default: the template's name, else the mapping's.",
        default=ABSENT,
    )
    labels: Mapping[str, str] = declare(
        MapOf(
            Text(LABEL_VALUE, "a label value: letters, digits, -, _ and ., at most 63", may_be_empty=True),
            LABEL_KEY,
            "a label key",
        ),
        "Labels of the workflow, the same for every event.",
        default={},
    )
    annotations: Mapping[str, str] = declare(
        MapOf(_ANY_TEXT, LABEL_KEY, "an annotation key"),
        "Annotations of the workflow; ${...} takes a value from the message.",
        default={},
    )
    service_account: str | None = declare(
        _OBJECT_NAME, "Service account of the workflow's pods; default: the source's own.", default=ABSENT
    )
    manifest_tree: MapNode | None = dataclasses.field(default=None, repr=False, compare=False)


@section
class NoticeDefinition(Notice):
    """A topic notified when one of the mapping's workflows finishes."""

    topic: str = declare(
        Text(words="a topic"), "Topic that gets the last status of each run, not retained; {x} is a capture of `topic`."
    )


@section
class StatusDefinition:
    """Where to publish the workflow's status, its content, and whom to notify."""

    topic: str | None = declare(
        Text(words="a topic"),
        "Topic with the newest workflow's status, retained; {x} is a capture of `topic`. Default: none.",
        default=ABSENT,
    )
    nodes: bool = declare(
        Boolean(), "Whether status messages list the workflow's nodes, in `details.nodes`.", default=False
    )
    notify: tuple[NoticeDefinition, ...] = declare(
        ListOf(Section(NoticeDefinition)), "Topics notified when one of these workflows finishes.", default=[]
    )


@section
class MappingDefinition:
    """One mapping: which messages start which workflow.

    Texts that may contain `${...}` or are expressions are kept as written. `node` is the mapping in its file, for
    positions; `path` the file.
    """

    name: str = declare(Text(DNS_LABEL, _NAME_WORDS), "Name of the mapping, unique across all files.")
    topic: tuple[str, ...] = declare(
        OneOrMore(
            Text(words="a topic", hint='quote text that begins with { or #: "{site}/temperature"'), distinct=True
        ),
        "Topics to listen to, one or several: {x} captures a level, or a part of one, as topic.x; {x...} captures all "
        "further levels; + and # are allowed too.",
    )
    excepted: tuple[str, ...] = declare(
        OneOrMore(Text(words="a topic filter"), least=0),
        "Topics that are not this mapping's although `topic` matches them.",
        default=[],
        name="except",
    )
    retained: Retained = declare(
        Choice(Retained),
        "What a retained message means that the broker delivers when the bridge subscribes: nothing (skip), a message "
        "like any other (every), or one only if the key's last message was a different one (once).",
        default="skip",
    )
    connection: str | None = declare(Text(), "Connection to listen on; default: all.", default=ABSENT)
    payload: PayloadDefinition = declare(
        Section(PayloadDefinition), "How the payload is decoded and checked.", default={}
    )
    when: str | None = declare(
        Text(words="an expression"), "Condition in CEL; only if it is true, a workflow starts.", default=ABSENT
    )
    key: str | None = declare(
        Text(words="an expression"),
        "What the rules over time tell apart, usually the device; default: the concrete topic.",
        default=ABSENT,
    )
    window: WindowDefinition | None = declare(
        Section(WindowDefinition), "Figures over the last readings of a key.", default=ABSENT
    )
    trigger: Trigger = declare(
        Choice(Trigger),
        "Which readings start a workflow: every one for which `when` is true, the first one after it was not (rising), "
        "the first one for which it is not true any more (falling), those whose value is another than before (change), "
        "or the absence of readings (silent).",
        default="every",
    )
    until: str | None = declare(
        Text(words="an expression"),
        "With rising or falling: a condition in CEL; a key triggers again only once it was true.",
        default=ABSENT,
    )
    for_s: float | None = declare(
        Duration("1s"), "How long the condition must hold, or the silence last.", default=ABSENT
    )
    of: str | None = declare(
        Text(words="an expression"), "With change: the value that is compared; default: the payload.", default=ABSENT
    )
    deadband: float | None = declare(Number(), "With change: numbers that differ by less are equal.", default=ABSENT)
    known: Known = declare(
        Choice(Known), "With silent: which keys can fall silent: those that sent something before.", default="seen"
    )
    count: CountDefinition | None = declare(
        Section(CountDefinition), "Only after several readings a workflow starts.", default=ABSENT
    )
    collect: CollectDefinition | None = declare(
        Section(CollectDefinition, exactly_one=("quiet", "every", "count")),
        "Many readings, one workflow.",
        default=ABSENT,
    )
    active: ActiveDefinition | None = declare(
        Section(ActiveDefinition), "Days and hours in which workflows start.", default=ABSENT
    )
    cooldown_s: float | None = declare(
        Duration("1s"), "Pause of a key after each workflow; readings in it start none.", default=ABSENT
    )
    concurrency: ConcurrencyDefinition | None = declare(
        Section(ConcurrencyDefinition), "How many workflows of a key may run at once.", default=ABSENT
    )
    event_id: str | None = declare(
        Text(words="an expression"),
        "Messages with the same value are the same event, within this mapping and one topic; default: each message "
        "is a new event.",
        default=ABSENT,
    )
    order_by: str | None = declare(
        Text(words="an expression"), "Events with the same value are submitted one after the other.", default=ABSENT
    )
    max_age_s: float | None = declare(
        Duration("1s"), "An event that still waits after this time is dead-lettered; default: 7d.", default=ABSENT
    )
    workflow: WorkflowDefinition = declare(
        Section(WorkflowDefinition, exactly_one=("template", "cluster-template", "cron", "manifest", "spec")),
        "The workflow that a message starts.",
    )
    status: StatusDefinition | None = declare(
        Section(StatusDefinition), "Where to publish the workflow's status.", default=ABSENT
    )
    tests: tuple[Mapping[str, Any], ...] = declare(
        ListOf(Structure("a map with given and expect")), "Test messages and their expected results.", default=[]
    )
    node: MapNode = dataclasses.field(default=_NOWHERE, repr=False, compare=False)
    path: Path = dataclasses.field(default=Path(), repr=False, compare=False)

    def position(self, *path: str | int) -> Position:
        """Return the position of a value, by the keys of the file: `position("workflow", "parameters", "device")`.

        An absent value has the position of its nearest ancestor; without `path` it is the mapping itself.
        """
        return locate(self.node, *path)

    @property
    def label(self) -> str:
        """Return the mapping's name for messages."""
        return f'mapping "{self.name}"'


@section
class MappingFile:
    """A mapping file."""

    mappings: tuple[MappingDefinition, ...] = declare(
        ListOf(Section(MappingDefinition)), "Rules that turn messages into workflows; each matching rule runs."
    )


def read_definitions(sources: Iterable[SourceFile], problems: Problems) -> tuple[MappingDefinition, ...]:
    """Read the mappings of all files, in the order of files and within them.

    A mapping with a problem is included as far as it could be read, so that the rest can be checked and all problems
    reported at once. Use none of them if there are errors.
    """
    definitions = []
    for source in sources:
        listed = _listed(source.root, problems)
        for item in listed.items if isinstance(listed, ListNode) else ():
            definition = _definition(item, source.path, problems)
            if definition is not None:
                definitions.append(definition)
    return tuple(definitions)


def _listed(root: Node, problems: Problems) -> Node | None:
    """Return the list of mappings if the top level of the file is valid."""
    place = Place(problems)
    if is_null(root):
        place.refuse(root.position, Code.MISSING_KEY, 'the file is empty; it needs the key "mappings", a list')
        return None
    if not isinstance(root, MapNode):
        place.refuse(
            root.position, Code.WRONG_TYPE, f'a mapping file must be a map with "mappings", not {kind_of(root)}'
        )
        return None
    if not Section(MappingFile).knows_any_of(root):
        place.refuse(root.position, Code.MISSING_KEY, 'this is not a mapping file: it has no key "mappings"')
        return None
    listed = root.get("mappings")
    # The items are read one by one, so that one invalid mapping does not prevent the checks of the others.
    shallow = tuple(
        dataclasses.replace(entry, value=ListNode(entry.value.position))
        if entry.key == "mappings" and isinstance(entry.value, ListNode)
        else entry
        for entry in root.entries
    )
    Section(MappingFile).read_keys(dataclasses.replace(root, entries=shallow), place)
    return listed


def _definition(item: Node, path: Path, problems: Problems) -> MappingDefinition | None:
    if not isinstance(item, MapNode):
        Place(problems, key="mappings").must_be(item, "a list of maps, each with name, topic and workflow")
        return None
    name = item.get("name")
    named = name.text if isinstance(name, ScalarNode) else ""
    kind = Section(MappingDefinition)
    value = kind.read(item, Place(problems).item_named("mapping", named))
    if value is INVALID:
        value = kind.salvage(item)
    if value is INVALID:
        return None
    definition: MappingDefinition = value
    return dataclasses.replace(definition, workflow=_with_source(definition.workflow), node=item, path=path)


def _with_source(workflow: WorkflowDefinition) -> WorkflowDefinition:
    """Return the workflow with a placeholder for a source that could not be read, which is reported already."""
    sources = (workflow.template, workflow.cluster_template, workflow.manifest, workflow.spec)
    template = workflow.template if any(source is not None for source in sources) else _UNREAD
    return dataclasses.replace(workflow, template=template, namespace=workflow.namespace or "")
