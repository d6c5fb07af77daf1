"""The verbs of the `argo-bridge` command: their names, summaries and modules. Pure.

A verb's module is imported only if that verb is used: importing the clients, schemas and expressions of all verbs takes
most of a second. Thread: the command's main thread.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from importlib import import_module

from bridge.interface.operations import SPECS, Operation, OperationSpec


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb.

    `module`, within `bridge.cli.verbs`, has ``add_options(parser)``, of an operation ``add_options(parser, spec)``: it
    adds the options and sets ``handler``, a function from the parsed arguments to an exit code.
    """

    name: str
    module: str
    summary: str
    spec: OperationSpec | None = None

    def add_to(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser], *, with_options: bool) -> None:
        """Add the verb to the list of commands, and its options, which imports its module."""
        parser = subparsers.add_parser(self.name, help=self.summary)
        if with_options:
            import_module(f"bridge.cli.verbs.{self.module}").add_options(parser, *([self.spec] if self.spec else []))


VERBS: tuple[Verb, ...] = (
    Verb("run", "run", "run the bridge"),
    Verb("check", "check", "check bridge.yaml, the environment and all mapping files"),
    Verb("demo", "demo", "try it out, with its own broker, simulated Argo Server and sensors"),
    Verb("send", "send", "send a trigger message or a sensor message, and follow the workflow it starts"),
    *(
        # The replies to logs are a stream; all others have one request and one reply.
        Verb(operation.value, "logs" if operation is Operation.LOGS else "operations", spec.meaning, spec)
        for operation, spec in SPECS.items()
    ),
    Verb("watch", "watch", "watch workflows live"),
    Verb("dead-letters", "dead_letters", "list, show, replay and purge dead letters"),
    Verb("simulate", "simulate", "run a simulated Argo Server, without a cluster"),
    Verb("validate", "validate", "check workflow manifests against a version of Argo"),
    Verb("schemas", "schemas", "generate, list and compare the JSON Schemas of Argo's releases"),
    Verb("asyncapi", "asyncapi", "print the AsyncAPI document of the message interface"),
)
"""In the order of the list of commands."""
