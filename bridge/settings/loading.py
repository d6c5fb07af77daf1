"""Reads bridge.yaml and the environment into `Settings`, and finds the mapping files.

Collects every problem instead of stopping at the first; changes nothing and makes no network connection. Thread:
whichever loads a configuration (the main thread at start, the reloader's later).
"""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.argo.options import Secret
from bridge.configfile.fields import Section
from bridge.configfile.kinds import INVALID, Place
from bridge.configfile.nodes import ListNode, MapNode, ScalarNode, is_null, kind_of, locate, quote
from bridge.configfile.problems import Code, Problems
from bridge.configfile.source import SourceFile, read_file, shown_path
from bridge.interface.options import InterfaceOptions
from bridge.interface.topics import Topics
from bridge.mapping.definition_checks import MappingContext
from bridge.settings.checks import Checked, check_argo, check_bridge, check_connections, is_folder
from bridge.settings.environment import with_argo_variables, with_bridge_variables
from bridge.settings.model import ConnectionSettings, Settings
from bridge.settings.risks import warn_of_risks
from bridge.spool.options import DeadLetterOptions, SpoolOptions
from bridge.status.options import StatusOptions
from bridge.web.options import WebOptions

PLUGIN_EXCHANGE = "amq.topic"
"""The exchange of RabbitMQ's MQTT plugin, which writes / as a dot and escapes nothing."""
# What the checks take in place of a section that cannot be read: nothing that they would warn of.
_UNREAD = {
    "connections": {},
    "interface": InterfaceOptions(operations=()),
    "status": StatusOptions(),
    "spool": SpoolOptions(),
    "dead_letters": DeadLetterOptions(),
    "web": WebOptions(),
}


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The result of reading bridge.yaml and the environment.

    Attributes:
        settings: None if any key is missing or invalid.
        mapping_files: Those that could be read, in order of their patterns, then of their paths.
        context: What mappings are checked against, as far as it could be read.
    """

    settings: Settings | None
    mapping_files: tuple[SourceFile, ...] = ()
    context: MappingContext = field(default_factory=MappingContext)


def load_settings(path: Path, environ: Mapping[str, str], problems: Problems) -> LoadedSettings:
    """Read a bridge.yaml with the variables of `environ`, and the mapping files it lists."""
    of_file = Problems()
    root = read_file(path, of_file)
    if root is not None and is_null(root):
        root = MapNode(root.position)
    if isinstance(root, ScalarNode | ListNode):
        text = f"a configuration must be a map with keys such as bridge, connections and argo, not {kind_of(root)}"
        problems.error(root.position, Code.WRONG_TYPE, text)
        return LoadedSettings(None)
    if root is not None and root.entries and not Section(Settings).knows_any_of(root):
        # Its keys are not quoted: they may be lines of a password file.
        text = "this is not a configuration: it has none of the keys bridge, connections, argo, ..."
        problems.error(root.position, Code.WRONG_TYPE, text)
        return LoadedSettings(None)
    problems.found += of_file.found
    if root is None:
        return LoadedSettings(None)
    root = with_bridge_variables(root, environ, problems)
    root, token = with_argo_variables(root, environ, problems)
    folder = path.parent.absolute()
    read, is_sound = Section(Settings).read_keys(root, Place(problems, folder=folder))
    checked = Checked(root, folder, problems)
    values = read | {key: default for key, default in _UNREAD.items() if read[key] is INVALID}
    _complete(values, token)
    _check(values, checked)
    is_sound = is_sound and not problems.has_errors
    files = _mapping_files(root, checked) if read["mappings"] is not INVALID else ()
    known = (path, *(file.path for file in files))
    warn_of_risks(values, known, checked, has_token=token is not None)
    return LoadedSettings(
        settings=Settings(**values) if is_sound else None,
        mapping_files=files,
        context=_context(values, root),
    )


def _context(values: dict[str, Any], root: MapNode) -> MappingContext:
    argo, connections = values["argo"], root.get("connections")
    names = (one.key for one in connections.entries) if isinstance(connections, MapNode) else ()
    places = enumerate(values["status"].notify)
    return MappingContext(
        prefix=values["interface"].prefix,
        connections=frozenset(names),
        namespaces=() if argo is INVALID else argo.namespaces,
        dotless=_dotless(values["connections"]),
        notices=tuple((one.topic, locate(root, "status", "notify", place, "topic")) for place, one in places),
    )


def _complete(values: dict[str, Any], token: Secret | None) -> None:
    """Add to each section what it needs from the others and from the environment, as far as they could be read."""
    bridge, argo, connections, interface = (values[key] for key in ("bridge", "argo", "connections", "interface"))
    values["spool"] = dataclasses.replace(values["spool"], dead_letters=values["dead_letters"])
    if argo is not INVALID:
        values["argo"] = dataclasses.replace(argo, token=token)
    if bridge is not INVALID:
        topics = Topics(interface.prefix, bridge.id)
        values["connections"] = {name: _completed(name, one, topics, interface) for name, one in connections.items()}


def _completed(
    name: str, connection: ConnectionSettings, topics: Topics, interface: InterfaceOptions
) -> ConnectionSettings:
    mqtt, amqp = connection.mqtt, connection.amqp
    if mqtt is not None:
        mqtt = dataclasses.replace(
            mqtt,
            name=name,
            client_id=mqtt.client_id or f"argo-bridge-{topics.bridge_id}-{name}",
            topics=topics,
            max_publish_bytes=interface.max_publish_bytes,
        )
    if amqp is not None:
        amqp = dataclasses.replace(
            amqp,
            name=name,
            bridge_id=topics.bridge_id,
            prefix=topics.prefix,
            max_payload_bytes=interface.max_payload_bytes,
            max_publish_bytes=interface.max_publish_bytes,
        )
    return ConnectionSettings(mqtt=mqtt, amqp=amqp)


def _dotless(connections: Mapping[str, ConnectionSettings]) -> frozenset[str]:
    return frozenset(name for name, one in connections.items() if one.amqp and one.amqp.exchange == PLUGIN_EXCHANGE)


def _check(values: dict[str, Any], checked: Checked) -> None:
    bridge, argo, connections, interface = (values[key] for key in ("bridge", "argo", "connections", "interface"))
    dotless = _dotless(connections)
    if dotless and any(char in interface.prefix for char in ".*"):
        text = f'"prefix" has a dot or *, which connection {quote(min(dotless))} cannot carry on {PLUGIN_EXCHANGE}'
        checked.error(("interface", "prefix"), Code.BAD_TOPIC, text)
    if bridge is not INVALID:
        check_bridge(bridge, checked)
    if argo is not INVALID:
        check_argo(argo, checked)
    check_connections(connections, checked)


def _mapping_files(root: MapNode, checked: Checked) -> tuple[SourceFile, ...]:
    listed = root.get("mappings")
    patterns = listed.items if isinstance(listed, ListNode) else ()
    files: dict[Path, None] = {}
    for pattern in patterns:
        if isinstance(pattern, ScalarNode):
            files.update(dict.fromkeys(_matching(pattern, checked)))
    trees = [(file, read_file(file, checked.problems)) for file in files]
    return tuple(SourceFile(file, tree) for file, tree in trees if tree is not None)


def _matching(pattern: ScalarNode, checked: Checked) -> list[Path]:
    names = glob.glob(pattern.text, root_dir=checked.folder, recursive=True)  # noqa: PTH207 - takes absolute ones too
    found = sorted(checked.folder / name for name in names)
    files = [path for path in found if not is_folder(path)]
    if files:
        return files
    text = f"mappings: {quote(pattern.text)} matches no file under {shown_path(checked.folder)}"
    if glob.has_magic(pattern.text):
        checked.problems.warning(pattern.position, Code.NO_FILES, text)
    else:
        checked.problems.error(pattern.position, Code.NO_FILES, text)
    return []
