"""The state of the cluster: Argo's version, the schema chosen for it, and whether the Argo Server answers.

The version is requested regularly and stored in the spool, so that an outage at the start blocks nothing: then the last
known version is used, else the newest known schema.

Threads: ingest and dispatch read `ClusterSchema`; only ``argo-version`` (`VersionWatch`) changes it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.argo.client import ArgoClient
from bridge.argo.manifests import value_text
from bridge.core import strict_json
from bridge.core.errors import BridgeError, PermanentError, SpoolError, cut
from bridge.core.log import SeldomLog, fields, logger
from bridge.core.metrics import Metrics
from bridge.core.model import HealthProblem, WorkflowOrder
from bridge.core.worker import Worker
from bridge.interface.replies import INVALID_WORKFLOW
from bridge.spool.store import Spool
from bridge.validation.library import ChosenSchema, SchemaLibrary
from bridge.validation.validator import WorkflowValidator

_log = logger(__name__)

VERSION_KEY = "argo-version"
POLL_S = 15.0
POLL_AWAY_S = 5.0
_REMEMBERED = 256
_REMEMBERED_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class _Chosen:
    choice: ChosenSchema
    validator: WorkflowValidator
    source: str


class ClusterSchema:
    """Checks workflows by the schema of the cluster's Argo version.

    Args:
        library: the known schemas.
        configured: ``argo.version``: ``auto`` or a version.
        stored: the last seen version, or None.
    """

    def __init__(self, library: SchemaLibrary, configured: str, stored: str | None) -> None:
        self._library = library
        self._is_fixed = configured != "auto"
        if self._is_fixed:
            self._chosen = self._choose(configured, "configured")
        elif stored:
            self._chosen = self._choose(stored, "last known")
        else:
            self._chosen = self._choose(library.newest, "newest known")
        self._lock = threading.Lock()
        self._accepted: OrderedDict[tuple[str, bytes], dict[str, tuple[str, ...]]] = OrderedDict()
        self._accepted_bytes = 0

    def _choose(self, version: str, source: str) -> _Chosen:
        choice = self._library.for_version(version)
        return _Chosen(choice, self._library.validator(choice.version), source)

    @property
    def state(self) -> dict[str, str]:
        """Return the data for the ``state`` topic: the schema's version, its source, and a note if it is not exact."""
        chosen = self._chosen
        state = {"schema": chosen.choice.version, "schemaFrom": chosen.source}
        return state | {"note": chosen.choice.note} if chosen.choice.note else state

    def learn(self, version: str) -> bool:
        """Process the Argo Server's version; True if a different schema is used from now on."""
        if self._is_fixed:
            return False
        before = self._chosen
        self._chosen = self._choose(version, "argo server")
        return self._chosen.choice != before.choice

    def check(self, workflow: Mapping[str, object]) -> None:
        """Check one workflow.

        Raises:
            PermanentError: ``invalid-workflow``, with one detail per finding.
        """
        refusal = self._chosen.validator.check(workflow)
        if refusal is not None:
            raise refusal

    def check_order(self, order: WorkflowOrder) -> None:
        """Check a stored order; a manifest shared by many events is checked once per version.

        A value outside its parameter's own ``enum`` is refused too, because Argo does not check it.

        Raises:
            PermanentError: as `check`.
        """
        for name, allowed in self._enums(order.manifest).items():
            value = order.parameters.get(name)
            if value is not None and value not in allowed:
                text = f'{INVALID_WORKFLOW}: parameter "{name}": "{cut(value, 64)}" is not one of {", ".join(allowed)}'
                detail = {"pointer": strict_json.pointer(("parameters", name)), "message": text}
                raise PermanentError(text, code="invalid-workflow", details=(detail,))

    def _enums(self, manifest: bytes) -> dict[str, tuple[str, ...]]:
        key = (self._chosen.choice.version, manifest)
        with self._lock:
            known = self._accepted.get(key)
            if known is not None:
                self._accepted.move_to_end(key)
                return known
        workflow = orjson.loads(manifest)
        self.check(workflow)
        enums = _enums_of(workflow)
        with self._lock:
            if key not in self._accepted:
                self._accepted[key] = enums
                self._accepted_bytes += len(manifest)
            while len(self._accepted) > _REMEMBERED or self._accepted_bytes > _REMEMBERED_BYTES:
                (_, oldest), _ = self._accepted.popitem(last=False)
                self._accepted_bytes -= len(oldest)
        return enums


def _enums_of(workflow: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    entries = (workflow["spec"].get("arguments") or {}).get("parameters") or []
    return {
        entry["name"]: tuple(value_text(value) for value in entry["enum"]) for entry in entries if entry.get("enum")
    }


_OF_ONE_NAMESPACE = frozenset({"not-permitted", "namespace-terminating", "namespace-not-found"})
"""Refusals by a server that is running and accepts the token."""


class VersionWatch(Worker):
    """Asks the Argo Server for its version, and checks that it answers requests that need authorisation.

    Args:
        client: sends the requests.
        namespaces: namespaces in which it must answer.
        schema: gets the version.
        spool: stores the version.
        metrics: whether it is reachable.
        on_recovered: called on this thread when a failed request succeeds again.
    """

    def __init__(
        self,
        client: ArgoClient,
        namespaces: Sequence[str],
        *,
        schema: ClusterSchema,
        spool: Spool,
        metrics: Metrics,
        on_recovered: Callable[[], None],
    ) -> None:
        super().__init__("argo-version")
        self._client = client
        self._namespaces = namespaces
        self._on_recovered = on_recovered
        self._schema = schema
        self._spool = spool
        self._metrics = metrics
        self._seldom = SeldomLog(_log, spool.age.now_s)
        self._version = ""
        self._problems: tuple[HealthProblem, ...] = (HealthProblem("argo-not-asked", "not asked yet"),)

    @property
    def state(self) -> dict[str, object]:
        """Return the data for the ``state`` topic: ``version``, ``reachable``, ``problem``. Thread: any."""
        problems = self._problems
        is_reachable = _is_reachable(problems)
        state: dict[str, object] = {"version": self._version, "reachable": is_reachable, **self._schema.state}
        return state if is_reachable else state | {"problem": problems[0].message}

    @property
    def problems(self) -> tuple[HealthProblem, ...]:
        """Return what the Argo Server does not answer, or refuses us; `subject`: the namespace, or "". Thread: any."""
        return self._problems

    def run(self) -> None:
        """Run on the thread."""
        while not self._stop.is_set():
            self._look()
            self._stop.wait(POLL_AWAY_S if self._problems else POLL_S)

    def _look(self) -> None:
        before = self._problems
        self._problems = tuple(self._ask())
        is_reachable = _is_reachable(self._problems)
        self._metrics.argo_reachable.set(is_reachable)
        for problem in self._problems:
            key, text = f"{problem.code} {problem.subject}", "the Argo Server does not answer: %s"
            self._seldom.warning(key, text, problem.message, action="version", code=problem.code)
        if is_reachable and not _is_reachable(before):
            _log.info("the Argo Server answers, version %s", self._version, extra=fields(action="version"))
        if set(before) - set(self._problems):
            self._on_recovered()

    def _ask(self) -> Iterator[HealthProblem]:
        """Yield the failures; a server that answers nothing is not asked for each namespace."""
        try:
            version = self._client.version()
        except BridgeError as error:
            yield HealthProblem(error.code, str(error))
            return
        if version != self._version:
            self._learn(version)
        for namespace in self._namespaces:
            try:
                self._client.check_access(namespace)
            except BridgeError as error:
                is_of_one = error.code in _OF_ONE_NAMESPACE
                yield HealthProblem(error.code, str(error), namespace if is_of_one else "")
                if not is_of_one:
                    return

    def _learn(self, version: str) -> None:
        self._version = version
        if self._schema.learn(version):
            state = self._schema.state
            level = _log.warning if "note" in state else _log.info
            level("workflows are checked as Argo %s", state["schema"], extra=fields(action="version", **state))
        try:
            self._spool.set_meta(VERSION_KEY, version)
        except SpoolError as error:
            _log.warning("cannot remember Argo's version: %s", error, extra=fields(action="version", code=error.code))


def _is_reachable(problems: Sequence[HealthProblem]) -> bool:
    return all(problem.subject for problem in problems)
