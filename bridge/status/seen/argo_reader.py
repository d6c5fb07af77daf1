"""Puts the Argo client behind what status needs: list, get, watch.

It keeps no state but the watches under way, retries nothing, and has a client of its own, so that a stop can cut its
calls without cutting anybody else's.

Thread: any.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from bridge.argo.client import ArgoClient, WorkflowList
from bridge.argo.credentials import Credentials
from bridge.argo.errors import AnswerKind, PermanentAnswerError, TransientAnswerError, error_of
from bridge.argo.options import ArgoOptions
from bridge.argo.watch import EndReason, Watch, WatchEnd, WatchFrame, WatchRequest
from bridge.core.errors import PermanentError
from bridge.core.model import WorkflowRef

# Argo writes ":" on a quiet watch each 15 s. A status is cleared within 20 s of a DELETE, so a connection that died
# without a word must be noticed before that.
SILENCE_S = 18.0


class ArgoReader:
    """Reads workflows. Every method raises `TransientError` or `PermanentError` when Argo does not answer it."""

    def __init__(self, options: ArgoOptions, credentials: Credentials) -> None:
        self._options = options
        self._credentials = credentials
        self._client = ArgoClient(options, credentials)
        self._lock = threading.Lock()
        self._watches: dict[int, Watch] = {}
        self._is_over = False

    @property
    def token_renewals(self) -> int:
        """How often the token was renewed: what was refused before may be granted now. Thread: any."""
        return self._credentials.renewals

    def list(self, namespace: str, selector: str) -> WorkflowList:
        """Return all workflows of one namespace that match. Thread: any."""
        return self._client.list_workflows(namespace, selector)

    def get(self, ref: WorkflowRef, *, nodes: bool) -> dict[str, Any] | None:
        """Return one workflow by namespace and name (not uid), None when it certainly does not exist."""
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
        """Yield what changes after `resource_version`, and None for a sign of life, until the stream ends.

        A return means an orderly end (or `interrupt`): go on from the last frame.

        Raises:
            TransientError: ``watch-expired``: list again. Others: the stream was cut, or could not be opened: go on
                from the last frame after a pause.
            PermanentError: refused: a retry helps only after somebody changed something.
        """
        request = WatchRequest(namespace, selector, resource_version)
        watch = Watch(self._options, self._credentials, request, silence_s=SILENCE_S)
        with self._lock:
            self._watches[id(watch)] = watch
            if self._is_over:
                watch.stop()
        try:
            for event in watch:
                if isinstance(event, WatchEnd):
                    if event.reason not in (EndReason.EOF, EndReason.STOPPED):
                        raise error_of(event.answer, f"watch workflows in {namespace}")
                    return
                if isinstance(event, WatchFrame):
                    yield event
                elif event.is_sign_of_life:  # the passing of time is none: a server that is away would be hammered
                    yield None
        finally:
            with self._lock:
                del self._watches[id(watch)]
            watch.close()

    def interrupt(self) -> None:
        """Let every call under way end soon, and later ones at once; the end is near. Thread: any."""
        with self._lock:
            self._is_over = True
            watches = list(self._watches.values())
        for watch in watches:
            watch.stop()
        self._client.close()
