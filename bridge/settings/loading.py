"""Reads bridge.yaml and the environment into `Settings`, and finds the mapping files.

Collects every problem instead of stopping at the first; changes nothing and connects to nothing.
Thread: whichever loads a configuration (the main thread at start, the reloader's later).
"""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge.argo.options import Secret
from bridge.configfile.fields import Section
from bridge.configfile.kinds import INVALID, Place
from bridge.configfile.nodes import ListNode, MapNode, ScalarNode, is_null, kind_of, locate, quote
from bridge.configfile.problems import Code, Position, Problems
from bridge.configfile.source import SourceFile, read_file, shown_path
from bridge.interface.options import InterfaceOptions
from bridge.interface.topics import Topics
from bridge.settings.checks import Checked, check_argo, check_bridge, check_connections, is_folder
from bridge.settings.environment import with_argo_variables, with_bridge_variables
from bridge.settings.model import ConnectionSettings, Settings
from bridge.settings.risks import warn_of_risks

PLUGIN_EXCHANGE = "amq.topic"
"""Where RabbitMQ's MQTT plugin publishes: it writes / as a dot, and escapes none."""


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """What came of bridge.yaml and the environment.

    Attributes:
        settings: None if any key is missing or wrong.
        mapping_files: The mapping files that could be read, in order of their patterns, then of their paths.
        prefix: The interface's prefix as far as it is known, for the checks of mappings.
        connections: Names of the connections, sound or not.
        namespaces: The allow-list; () where it is not known.
        dotless: Names of the connections whose topics cannot have a dot within a level.
        notices: The topics of `status.notify` with their places, for the checks of mappings.
    """

    settings: Settings | None
    mapping_files: tuple[SourceFile, ...] = ()
    prefix: str = InterfaceOptions().prefix
    connections: frozenset[str] = frozenset()
    namespaces: tuple[str, ...] = ()
    notices: tuple[tuple[str, Position], ...] = ()
    dotless: frozenset[str] = frozenset()


def load_settings(path: Path, environ: Mapping[str, str], problems: Problems) -> LoadedSettings:
    """Read one bridge.yaml with the variables of `environ`, and the mapping files that it names."""
    of_file = Problems()
    root = read_file(path, of_file)
    if root is not None and is_null(root):
        root = MapNode(root.position)
    if isinstance(root, ScalarNode | ListNode):
        text = f"a configuration must be a map with keys such as bridge, connections and argo, not {kind_of(root)}"
        problems.error(root.position, Code.WRONG_TYPE, text)
        return LoadedSettings(None)
    if root is not None and root.entries and not Section(Settings).knows_any_of(root):
        # Its keys are not told: they may be lines of a file of passwords.
        text = "this is not a configuration: it has none of the keys bridge, connections, argo, ..."
        problems.error(root.position, Code.WRONG_TYPE, text)
        return LoadedSettings(None)
    problems.found += of_file.found
    if root is None:
        return LoadedSettings(None)
    root = with_bridge_variables(root, environ, problems)
    root, token = with_argo_variables(root, environ, problems)
    folder = path.parent.absolute()
    found = Section(Settings).read_keys(root, Place(problems, folder=folder))
    checked = Checked(root, folder, problems)
    _complete(found.values, token)
    _check(found.values, checked)
    sound = found.sound and not problems.has_errors
    files = _mapping_files(root, checked) if found.values.get("mappings") is not INVALID else ()
    known = (path, *(file.path for file in files))
    warn_of_risks(found.values, known, checked, has_token=token is not None)
    interface, argo = found.values["interface"], found.values["argo"]
    return LoadedSettings(
        settings=Settings(**found.values) if sound else None,
        mapping_files=files,
        prefix=LoadedSettings(None).prefix if interface is INVALID else interface.prefix,
        connections=_connection_names(root),
        namespaces=() if argo is INVALID else argo.namespaces,
        notices=_notices(found.values["status"], root),
        dotless=_dotless(found.values["connections"]),
    )


def _complete(values: dict[str, Any], token: Secret | None) -> None:
    """Put into each section what it holds of the others and of the environment, as far as they could be read."""
    bridge, argo, connections, interface = (values[key] for key in ("bridge", "argo", "connections", "interface"))
    if INVALID not in (values["spool"], values["dead_letters"]):
        values["spool"] = dataclasses.replace(values["spool"], dead_letters=values["dead_letters"])
    if argo is not INVALID:
        values["argo"] = dataclasses.replace(argo, token=token)
    if INVALID not in (bridge, connections):
        known = InterfaceOptions() if interface is INVALID else interface
        topics = Topics(known.prefix, bridge.id)
        values["connections"] = {name: _completed(name, one, topics, known) for name, one in connections.items()}


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


def _dotless(connections: Any) -> frozenset[str]:
    if connections is INVALID:
        return frozenset()
    return frozenset(name for name, one in connections.items() if one.amqp and one.amqp.exchange == PLUGIN_EXCHANGE)


def _notices(status: Any, root: MapNode) -> tuple[tuple[str, Position], ...]:
    if status is INVALID:
        return ()
    places = enumerate(status.notify)
    return tuple((one.topic, locate(root, "status", "notify", place, "topic")) for place, one in places)


def _check(values: dict[str, Any], checked: Checked) -> None:
    bridge, argo, connections, interface = (values[key] for key in ("bridge", "argo", "connections", "interface"))
    dotless = _dotless(connections)
    if interface is not INVALID and dotless and any(char in interface.prefix for char in ".*"):
        text = f'"prefix" has a dot or *, which connection {quote(min(dotless))} cannot carry on {PLUGIN_EXCHANGE}'
        checked.error(("interface", "prefix"), Code.BAD_TOPIC, text)
    if bridge is not INVALID:
        check_bridge(bridge, checked)
    if argo is not INVALID:
        check_argo(argo, checked)
    if connections is not INVALID:
        check_connections(connections, checked)


def _connection_names(root: MapNode) -> frozenset[str]:
    connections = root.get("connections")
    return frozenset(entry.key for entry in connections.entries) if isinstance(connections, MapNode) else frozenset()


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
