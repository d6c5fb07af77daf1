"""Gives access to the dead letters of a data directory: through its running bridge, or directly if none runs.

Thread: the command's own, or the main thread while it builds a bridge.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bridge.control.client import ControlClient
from bridge.control.dead_letter_commands import DeadLetterCommands
from bridge.control.protocol import SOCKET_FILE, Ask
from bridge.core.clock import SystemClock
from bridge.core.errors import ConfigError, TransientError
from bridge.core.log import logger
from bridge.core.metrics import Metrics
from bridge.interface.topics import Topics
from bridge.mapping.mapping_set import MappingSet
from bridge.pipeline.cluster import VERSION_KEY, ClusterSchema
from bridge.pipeline.intake.mapped import MappedEvents
from bridge.pipeline.intake.operations import OperationIntake
from bridge.pipeline.intake.requests import RequestRules, Requests
from bridge.pipeline.replay import Replay
from bridge.settings.model import Settings
from bridge.spool.lock import DataDirLock
from bridge.spool.options import SPOOL_FILE
from bridge.spool.store import Spool
from bridge.validation.library import SchemaLibrary
from bridge.validation.policy import Policy

_log = logger(__name__)

PATIENCE_S = 20.0
"""How long a bridge that is starting or stopping may hold the lock without a socket."""
LOOK_S = 0.1


def request_rules(settings: Settings, schema: ClusterSchema) -> RequestRules:
    """Return the rules for requests, from the settings."""
    interface = settings.interface
    # A client that may send whole workflows can use any of these there.
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


def build_replay(
    settings: Settings,
    mappings: MappingSet,
    spool: Spool,
    schema: ClusterSchema,
    metrics: Metrics,
    on_stored: Callable[[frozenset[str]], None],
) -> Replay:
    """Return a replay; its parts are new, so that no other thread shares their state."""
    rules = request_rules(settings, schema)
    return Replay(
        spool=spool,
        topics=Topics(settings.interface.prefix, settings.bridge.id),
        requests=Requests(rules),
        operations=OperationIntake(rules),
        mapped=MappedEvents(settings.bridge.id, mappings, metrics, SystemClock()),
        max_payload_bytes=settings.interface.max_payload_bytes,
        on_stored=on_stored,
    )


@contextmanager
def dead_letters(settings: Settings, mappings: MappingSet | None) -> Iterator[Ask]:
    """Yield a function that answers questions about dead letters (`DeadLetterCommands`).

    Without `mappings`, which are invalid then, only a running bridge can replay.

    Raises:
        ConfigError: ``no-data-dir``, ``data-dir-in-use``: a process holds the lock and does not answer.
        SpoolError: the spool cannot be opened.
    """
    folder = settings.bridge.data_dir
    if not folder.is_dir():
        raise ConfigError(
            f"bridge.data-dir {folder} does not exist",
            code="no-data-dir",
            hint="run the command where the bridge runs, with the same bridge.yaml and environment",
        )
    found = _client_or_lock(settings)
    if isinstance(found, ControlClient):
        with found:
            yield found.ask
        return
    try:
        with _opened(settings) as spool:
            replay = functools.cache(lambda: _offline_replay(settings, mappings, spool))
            yield DeadLetterCommands(spool, lambda seq: replay().letter(seq)).ask
    finally:
        found.release()


def _client_or_lock(settings: Settings) -> ControlClient | DataDirLock:
    """Return a connection to the running bridge, or the held lock if none runs."""
    folder = settings.bridge.data_dir
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ControlClient(folder / SOCKET_FILE)
        except TransientError as away:
            lock = DataDirLock(folder)
            try:
                lock.acquire()
            except ConfigError as error:
                if error.code != "data-dir-in-use" or time.monotonic() > until_s:
                    raise ConfigError(f"{error.message}; {away.message}", code=error.code) from error
                time.sleep(LOOK_S)
            else:
                return lock


def _opened(settings: Settings) -> Spool:
    path = settings.bridge.data_dir / SPOOL_FILE
    if not path.exists():
        # Nothing was ever stored. A spool created here would belong to the user of the command.
        return Spool.in_memory(clock=SystemClock())
    spool = Spool.open(path, clock=SystemClock(), limits=settings.spool)
    if spool.set_aside is not None:
        _log.error("the spool was damaged; it was set aside as %s, and a new one created", spool.set_aside)
    return spool


def _offline_replay(settings: Settings, mappings: MappingSet | None, spool: Spool) -> Replay:
    """Return a replay for while no bridge runs."""
    if mappings is None:
        raise ConfigError("cannot replay: the configuration has problems", hint="argo-bridge check lists them")
    schema = ClusterSchema(SchemaLibrary(), settings.argo.version, spool.meta(VERSION_KEY))
    return build_replay(settings, mappings, spool, schema, Metrics(), on_stored=lambda _lanes: None)
