"""Parses status updates from other systems into rows of the spool; status decides what to do with them.

Thread: the transport's, through ingest. Keeps no state; does no I/O.
"""

from __future__ import annotations

import orjson

from bridge.core.errors import PermanentError
from bridge.core.model import Message
from bridge.interface import messages
from bridge.interface.messages import RequestBody
from bridge.interface.status_updates import external_update, invalid
from bridge.spool.records import NewExternalStatus
from bridge.validation.policy import Policy


class StatusUpdates:
    """Parses messages on ``PREFIX/status``.

    Args:
        policy: the operator's allow-list of namespaces.
        keep_s: how long a status for a workflow that Argo does not know is shown, seconds.
    """

    def __init__(self, policy: Policy, keep_s: float) -> None:
        self._policy = policy
        self._keep_s = keep_s

    def decode(self, message: Message) -> RequestBody:
        """Return the body of an update.

        Raises:
            PermanentError: ``invalid-status-update``: there is none; the detail says why.
        """
        try:
            return messages.decode_request(message)
        except PermanentError as error:
            raise invalid([{"pointer": "", "message": error.message}]) from error

    def read(self, body: RequestBody) -> NewExternalStatus:
        """Return the row of an update.

        Raises:
            PermanentError: ``invalid-status-update``, or ``forbidden-namespace``.
        """
        reported = external_update(body.keys)
        namespace = self._policy.namespace(None, reported.namespace)
        document = {
            "status": reported.status,
            "progress": reported.progress,
            "message": reported.message,
            "details": reported.details,
        }
        try:
            text = orjson.dumps(document)
        except TypeError as error:
            # A number of more than 64 bits in the details: other readers would round it.
            raise invalid([{"pointer": "/details", "message": str(error)}]) from error
        return NewExternalStatus(namespace, reported.workflow_id, text, self._keep_s)
