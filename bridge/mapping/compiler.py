"""Compiles the definitions of mapping files into a `MappingSet`, and collects every problem with its place.

Reads no files and never raises because of a file's content: a mapping with a problem is left out and reported. Thread:
whichever loads a configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from bridge.configfile.nodes import quote
from bridge.configfile.problems import Code, Position, Problem, Problems
from bridge.core.errors import BridgeError
from bridge.expressions.expression import ExpressionError, ExpressionFault, compile_condition, compile_expression
from bridge.expressions.topic_pattern import TopicPattern, TopicPatterns
from bridge.interface.replies import Refusal
from bridge.mapping.compiled import (
    EMPTY_REFUSED,
    EMPTY_SKIPPED,
    Mapping,
    Quiet,
    WorkflowPlan,
)
from bridge.mapping.definition import EmptyPayload, OnUnreadable, Retained, StatusDefinition
from bridge.mapping.formats.csv_rows import text_columns
from bridge.mapping.formats.decoder import DecoderOptions, OptionError
from bridge.mapping.mapping_set import MappingSet
from bridge.mapping.payload_schema import PayloadSchema, SchemaError
from bridge.mapping.payloads import DECODERS, PayloadFormat, make_decoder
from bridge.mapping.render import Template, parse_status_topic, parse_template
from bridge.mapping.rule_definitions import conflicts, has_rules, rules_of, variables
from bridge.mapping.ruled import RuledMapping
from bridge.mapping.sources import base_name, manifest_bytes
from bridge.rules.trigger import Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from collections.abc import Mapping as MappingOf

    from bridge.mapping.definition import MappingDefinition
    from bridge.mapping.formats.decoder import Decoder
    from bridge.mapping.formats.prepared import Encoding
    from bridge.mapping.sources import TemplateManifest

    Decoders = dict[tuple[PayloadFormat, DecoderOptions, Encoding | None], Decoder]
_T = TypeVar("_T")
_UNREAD = DECODERS[PayloadFormat.BYTES]()
_EMPTY: dict[EmptyPayload, Quiet | Refusal | None] = {
    EmptyPayload.SKIP: EMPTY_SKIPPED,
    EmptyPayload.DEAD_LETTER: EMPTY_REFUSED,
    EmptyPayload.EVENT: None,
}


def compile_mappings(
    definitions: Iterable[MappingDefinition], template_manifest: TemplateManifest
) -> tuple[MappingSet, list[Problem]]:
    """Return the compiled mappings, without those that have a problem, and all problems in order.

    The definitions were checked and have their namespace. That a configuration with problems is refused as a whole is
    the caller's decision.
    """
    problems = Problems()
    decoders: Decoders = {}
    compiled: list[Mapping] = []
    ruled: dict[str, RuledMapping] = {}
    for definition in definitions:
        job = _Job(definition, TopicPatterns.parse(definition.topic, definition.excepted), problems)
        found = len(problems.found)
        mapping = job.mapping(decoders, template_manifest)
        with_rules = job.ruled(mapping)
        if len(problems.found) == found:
            compiled.append(mapping)
            if with_rules is not None:
                ruled[mapping.name] = with_rules
    return MappingSet(compiled, ruled), problems.in_order()


@dataclass(frozen=True, slots=True)
class _Job:
    """One mapping being compiled."""

    definition: MappingDefinition
    topics: TopicPatterns
    problems: Problems

    def mapping(self, decoders: Decoders, template_manifest: TemplateManifest) -> Mapping:
        """Compile all parts, so that all problems are reported; the result counts only if there were none."""
        definition, status = self.definition, self.definition.status or StatusDefinition()
        return Mapping(
            name=definition.name,
            topics=self.topics,
            decoder=self._decoder(decoders),
            plan=self._plan(template_manifest),
            connection=definition.connection or "",
            empty=_EMPTY[definition.payload.empty],
            skips_unreadable=definition.payload.on_unreadable is OnUnreadable.SKIP,
            schema=self._schema(),
            condition=self._at("when", definition.when, compile_condition),
            event_id=self._at("event-id", definition.event_id, compile_expression),
            order_by=self._at("order-by", definition.order_by, compile_expression),
            status_topic=self._at(("status", "topic"), status.topic, parse_status_topic),
            takes_retained=definition.retained is not Retained.SKIP,
            nodes=status.nodes,
            notices=tuple((TopicPattern.parse(one.topic), one.on) for one in status.notify),
            max_age_s=definition.max_age_s,
        )

    def ruled(self, mapping: Mapping) -> RuledMapping | None:
        """Compile the rules over time, if there are any; likewise."""
        definition = self.definition
        for key, reason in conflicts(definition):
            self._problem(definition.position(key), Code.CONFLICTING_KEYS, f'"{key}" means nothing here: {reason}')
        if not has_rules(definition):
            return None
        self._check_silent(mapping)
        try:
            rules = rules_of(definition)
        except ValueError as error:
            text = f'"zone": {quote(str(error))} is no time zone; use a name such as Europe/Berlin'
            self._problem(definition.position("active", "zone"), Code.BAD_VALUE, text)
            return None
        window = definition.window
        return RuledMapping(
            mapping,
            rules,
            key=self._at("key", definition.key, compile_expression, is_before=True),
            until=self._at("until", definition.until, compile_condition),
            of=self._at("of", definition.of, compile_expression),
            skips_repeated=definition.retained is Retained.ONCE,
            window_of=None
            if window is None
            else self._at(("window", "of"), window.of, compile_expression, is_before=True),
        )

    def _check_silent(self, mapping: Mapping) -> None:
        """A silence has a topic and a key, but no payload."""
        if self.definition.trigger is not Trigger.SILENT:
            return
        texts: list[tuple[tuple[str, ...], Template | None]] = [
            *((("workflow", "parameters", name), text) for name, text in mapping.plan.parameters),
            *((("workflow", "annotations", name), text) for name, text in mapping.plan.annotations),
            (("workflow", "name"), mapping.plan.name),
            (("status", "topic"), mapping.status_topic),
        ]
        read = [path for path, text in texts if text is not None and text.reads_payload]
        ids = ((("event-id",), mapping.event_id), (("order-by",), mapping.order_by))
        read += [path for path, one in ids if one is not None and one.reads_payload]
        for path in read:
            text = f'"{path[-1]}" reads the payload, and a silence has none; topic, key and now can be read'
            self._problem(self.definition.position(*path), Code.CONFLICTING_KEYS, text)

    def _plan(self, template_manifest: TemplateManifest) -> WorkflowPlan:
        workflow = self.definition.workflow
        annotations = self._texts("annotations", workflow.annotations)
        static = {key: text.static_text for key, text in annotations if text.is_static}
        return WorkflowPlan(
            namespace=workflow.namespace,
            base=base_name(self.definition),
            manifest=self._manifest(template_manifest, static),
            name=self._at(("workflow", "name"), workflow.name, parse_template),
            parameters=self._texts("parameters", workflow.parameters),
            annotations=tuple((key, text) for key, text in annotations if not text.is_static),
        )

    def _manifest(self, template_manifest: TemplateManifest, annotations: MappingOf[str, str]) -> bytes:
        try:
            return manifest_bytes(self.definition.workflow, annotations, template_manifest)
        except BridgeError as error:
            self._problem(self.definition.position("workflow"), error.code, str(error))
        return b""

    def _decoder(self, decoders: Decoders) -> Decoder:
        """Return the decoder; mappings that read payloads alike share one, so that it decodes a message once."""
        payload = self.definition.payload
        if payload.descriptor is not None and payload.descriptor_set is None:
            return _UNREAD  # the file cannot be read, which is reported already
        options = DecoderOptions(
            charset=payload.charset,
            columns=payload.columns or (),
            delimiter=payload.delimiter,
            descriptor=payload.descriptor_set,
            message=payload.message or "",
            texts=text_columns(payload.schema) if payload.format is PayloadFormat.CSV else frozenset(),
        )
        wanted = (payload.format, options, payload.encoding)
        try:
            if wanted not in decoders:
                decoders[wanted] = make_decoder(*wanted)
            return decoders[wanted]
        except OptionError as error:
            place = self.definition.position("payload", error.key)
            self._problem(place, error.code, f'"payload.{error.key}" {error.message}')
        return _UNREAD

    def _schema(self) -> PayloadSchema | None:
        schema = self.definition.payload.schema
        if schema is None:
            return None
        try:
            return PayloadSchema(schema)
        except SchemaError as error:
            place = self.definition.position("payload", "schema", *error.path)
            self._problem(place, Code.BAD_SCHEMA, f"the payload's schema is wrong: {error.message}")
        return None

    def _texts(self, key: str, texts: MappingOf[str, str]) -> tuple[tuple[str, Template], ...]:
        parsed = ((name, self._at(("workflow", key, name), text, parse_template)) for name, text in texts.items())
        return tuple((name, template) for name, template in parsed if template is not None)

    def _at(
        self,
        path: str | tuple[str, ...],
        text: str | None,
        compile_text: Callable[[str, Sequence[str], Collection[str]], _T],
        *,
        is_before: bool = False,
    ) -> _T | None:
        """Compile the text at `path`; None if it is absent or has problems (which are recorded).

        `is_before`: it is evaluated before the rules, and has none of their variables.
        """
        if text is None:
            return None
        steps = (path,) if isinstance(path, str) else path
        try:
            conditions, texts = variables(self.definition)
            of_rules = conditions if steps[0] in ("when", "until", "of") else texts
            return compile_text(text, self.topics.names, () if is_before else of_rules)
        except ExpressionError as error:
            start = self.definition.position(*steps)
            for fault in error.faults:
                message = f'"{steps[-1]}": {fault.message}{self._lacking(fault)}'
                self._problem(_within(start, text, fault.offset), fault.code, message)
        return None

    def _lacking(self, fault: ExpressionFault) -> str:
        """Return which of several topics has not the capture that another has, "" otherwise."""
        lacks = self.topics.lacking(fault.subject) if fault.code is Code.UNKNOWN_CAPTURE else ""
        return f"; every topic of the mapping must have it, and {lacks} has not" if lacks else ""

    def _problem(self, position: Position, code: str | Code, message: str) -> None:
        self.problems.error(position, code, f"{self.definition.label}: {message}")


def _within(start: Position, text: str, offset: int) -> Position:
    """Return the position of a character in a text that begins at `start`. A multi-line text is one position."""
    return start if "\n" in text or not start.line else replace(start, column=start.column + offset)
