"""Writes the configuration of one bridge under test: bridge.yaml and a mapping file in a folder of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NAMESPACE = "factory"
BRIDGE_ID = "under-test"
CONNECTION = "plant"
TEMPLATE = "inspect"

INSPECT = {
    "metadata": {"name": TEMPLATE},
    "spec": {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "inspect:1"}}]},
}
"""The workflow template that the mappings of tests run."""


@dataclass(frozen=True)
class BridgeFiles:
    """What is written, and where.

    folder: gets bridge.yaml, mappings.yaml and data/.
    broker_url: of the MQTT broker.
    argo_url: of the simulator.
    version: of MQTT, as bridge.yaml has it.
    mappings: items of ``mappings:``, not indented.
    namespaces: the allow-list.
    web_port: of the health pages; 0 = a free one.
    more: further top-level lines of bridge.yaml.
    connections: the value of ``connections:`` in place of the one MQTT connection, as flow YAML.
    bridge_id: where another bridge shares the broker.
    argo: further keys of ``argo:``, as flow YAML.
    """

    folder: Path
    broker_url: str
    argo_url: str
    version: str = "5"
    mappings: str = ""
    namespaces: tuple[str, ...] = (NAMESPACE,)
    web_port: int = 0
    more: str = ""
    connections: str = ""
    bridge_id: str = BRIDGE_ID
    argo: str = ""

    @property
    def data_dir(self) -> Path:
        """The folder of the spool."""
        return self.folder / "data"

    @property
    def config(self) -> Path:
        """The path of bridge.yaml."""
        return self.folder / "bridge.yaml"

    def write(self) -> Path:
        """Write the files; returns the path of bridge.yaml."""
        mqtt = f'{{{CONNECTION}: {{mqtt: {{url: "{self.broker_url}", version: "{self.version}"}}}}}}'
        argo = self.argo and f", {self.argo}"
        lines = [
            f"bridge: {{id: {self.bridge_id}, data-dir: data}}",
            f"connections: {self.connections or mqtt}",
            f'argo: {{url: "{self.argo_url}", namespaces: [{", ".join(self.namespaces)}]{argo}}}',
            f'web: {{listen: "127.0.0.1:{self.web_port}"}}',
        ]
        if self.mappings:
            lines.append("mappings: [mappings.yaml]")
            (self.folder / "mappings.yaml").write_text(f"mappings:\n{self.mappings}")
        self.config.write_text("\n".join([*lines, self.more, ""]))
        return self.config
