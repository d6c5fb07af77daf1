"""A simulated Argo Server, for tests, the demo and `argo-bridge simulate`.

Imitates the REST API of five Argo releases as recorded from real servers, lets tests inject faults, and counts accepted
workflows. Runs no containers and imports nothing of the bridge. Each `Simulator` has its own thread.
"""

from bridge.simulator.faults import FaultKind, Faults, InjectedFault
from bridge.simulator.http.answers import ApiError
from bridge.simulator.objects.admission import Created
from bridge.simulator.objects.versions import DEFAULT_VERSION, RELEASES
from bridge.simulator.options import Identity, SimulatorOptions
from bridge.simulator.server import Simulator

__all__ = [
    "DEFAULT_VERSION",
    "RELEASES",
    "ApiError",
    "Created",
    "FaultKind",
    "Faults",
    "Identity",
    "InjectedFault",
    "Simulator",
    "SimulatorOptions",
]
