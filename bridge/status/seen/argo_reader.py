"""Puts the Argo client behind what status needs: list, get, watch.

It keeps no state but the watches under way, retries nothing, and has a client of its own, so that a stop can cut its
calls without cutting anybody else's.

Thread: any.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from bridge.argo.client import ArgoClient
from bridge.argo.credentials import Credentials
from bridge.argo.errors import AnswerKind, PermanentAnswerError, TransientAnswerError, error_of
from bridge.argo.options import ArgoOptions
from bridge.argo.watch import EndReason, Watch, WatchEnd, WatchRequest
from bridge.argo.watch import WatchFrame as ArgoFrame
from bridge.core.errors import PermanentError
from bridge.core.model import WorkflowRef
from bridge.status.seen.sources import FrameKind, Listing, WatchExpiredError, WatchFrame

# Argo writes ":" on a quiet watch each 15 s. A status is cleared within 20 s of a DELETE, so a connection that died
# without a word must be noticed before that.
SILENCE_S = 18.0

_KINDS = {kind.value: kind for kind in FrameKind}


class ArgoServerReader:
    """Reads workflows from an Argo Server; see `bridge.status.seen.sources.ArgoReader` for what each method promises.

    Args:
        options: where the server is.
        credentials: shared with the other clients.
    """

    def __init__(self, options: ArgoOptions, credentials: Credentials) -> None:
        self._options = options
        self._credentials = credentials
        self._client = ArgoClient(options, credentials)
        self._lock = threading.Lock()
        self._watches: dict[int, Watch] = {}
        self._is_over = False

    @property
    def token_renewals(self) -> int:
        """How often the token was renewed."""
        return self._credentials.renewals

    def list(self, namespace: str, selector: str) -> Listing:
        """Return all workflows of one namespace that match."""
        found = self._client.list_workflows(namespace, selector)
        return Listing(found.resource_version, found.items)

    def get(self, ref: WorkflowRef, *, nodes: bool) -> dict[str, Any] | None:
        """Return one workflow, None when it certainly does not exist."""
        try:
            return self._client.get_workflow(ref.namespace, ref.name, with_nodes=nodes)
        except PermanentAnswerError as error:
            if error.answer.proves_absence:
                return None
            raise
        except TransientAnswerError as error:
            if error.answer.kind is AnswerKind.UNAVAILABLE:
                raise
            # Of this one question: others are not held up by a right that is missing in one namespace.
            raise PermanentError(error.message, code=error.code, hint=error.hint) from error
        except PermanentError as error:
            if error.code == "bad-name":
                return None  # no workflow can have it
            raise

    def watch(self, namespace: str, selector: str, resource_version: str) -> Iterator[WatchFrame | None]:
        """Yield what changes, and None for a sign of life."""
        request = WatchRequest(namespace, selector, resource_version)
        watch = Watch(self._options, self._credentials, request, silence_s=SILENCE_S)
        with self._lock:
            self._watches[id(watch)] = watch
            if self._is_over:
                watch.stop()
        try:
            for event in watch:
                if isinstance(event, WatchEnd):
                    _ended(event, namespace)
                    return
                if isinstance(event, ArgoFrame):
                    yield _frame(event)
                elif event.is_sign_of_life:  # the passing of time is none: a server that is away would be hammered
                    yield None
        finally:
            with self._lock:
                del self._watches[id(watch)]
            watch.close()

    def interrupt(self) -> None:
        """Let every call under way end soon, and later ones at once."""
        with self._lock:
            self._is_over = True
            watches = list(self._watches.values())
        for watch in watches:
            watch.stop()
        self._client.close()


def _frame(frame: ArgoFrame) -> WatchFrame | None:
    kind = _KINDS.get(frame.type)
    return None if kind is None else WatchFrame(kind, frame.workflow, frame.resource_version, frame.size_bytes)


def _ended(end: WatchEnd, namespace: str) -> None:
    if end.reason in (EndReason.EOF, EndReason.STOPPED):
        return
    if end.reason is EndReason.EXPIRED:
        raise WatchExpiredError(end.answer.message)
    raise error_of(end.answer, f"watch workflows in {namespace}")
