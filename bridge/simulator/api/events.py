"""The endpoints of events and WorkflowEventBindings. There are no bindings, so an event starts nothing.

Answers like the Argo Server if no binding matches, and refuses what it refuses. Run on the simulator's loop thread.
Source: Argo v4.1 server/event, server/auth/webhook; texts as recorded.
"""

from __future__ import annotations

from bridge.simulator.http.access import Caller
from bridge.simulator.http.answers import TEXT_TYPE, UnaryAnswer
from bridge.simulator.http.parsing import ParsedRequest
from bridge.simulator.http.routing import CallerOf
from bridge.simulator.objects.manifests import parse_json
from bridge.simulator.objects.store import Object
from bridge.simulator.objects.world import World

_BINDINGS = "workfloweventbindings"
_WEBHOOK_REFUSAL = b'{"message": "failed to process webhook request"}'


class EventsApi:
    """Endpoints of events.

    Args:
        world: The state they work on.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def receive(
        self, request: ParsedRequest, caller_of: CallerOf, namespace: str, discriminator: str
    ) -> Object | UnaryAnswer:
        """POST events/NS/DISCRIMINATOR; without an Authorization header it counts as an unknown webhook."""
        del discriminator
        if "authorization" not in request.headers:
            return UnaryAnswer(403, _WEBHOOK_REFUSAL, TEXT_TYPE)
        parse_json(request.body)
        self._world.access.require_other(caller_of(), "list", _BINDINGS, namespace)
        return {}

    def list(self, request: ParsedRequest, caller: Caller, namespace: str) -> Object:
        """GET workflow-event-bindings/NS."""
        del request
        self._world.access.require_other(caller, "list", _BINDINGS, namespace)
        return {"metadata": {"resourceVersion": str(self._world.store.version)}, "items": None}
