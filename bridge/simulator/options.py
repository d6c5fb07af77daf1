"""Options of a simulator. Immutable, so any thread may read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.simulator.objects.versions import DEFAULT_VERSION


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, identified by a token.

    Attributes:
        token: Without `Bearer `.
        subject: Kubernetes user name, e.g. `system:serviceaccount:argo:bridge`.
        rights: Verbs on workflows by namespace; None means all rights.
        read_templates: May get and list templates.
    """

    token: str
    subject: str = "system:serviceaccount:argo:simulated"
    rights: Mapping[str, frozenset[str]] | None = None
    read_templates: bool = True


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """Options of a simulated Argo Server.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 chooses a free one, which is kept over `stop_serving` and `start_serving`.
        argo_version: Release to simulate (`4.1.2`, `v4.1.2` or `4.1`).
        token: The required token (a complete header value or without `Bearer `). None requires none, like an Argo
            Server in auth mode `server`.
        identities: Further tokens with their rights.
        namespaces: The existing namespaces.
        forbidden_namespaces: Namespaces in which everything is refused with 403.
        container_s: Default duration of a container, in seconds.
        reaction_s: Time from a create to the controller's first write, in seconds.
        list_lag_s: Lag of lists, in seconds; a real server's is under a second.
        event_window: Number of events kept for watches; older resource versions are `too old`.
        keepalive_s: Time between comment lines of an SSE stream; fixed at 15 s in a real server.
        bookmark_s: Time between bookmarks.
        retention: Number of finished workflows to keep, the oldest are deleted; None keeps all.
        archive: Finished workflows are archived, as with a database behind the controller.
        archive_delay_s: Time from a workflow's end to its archiving, in seconds.
        crash_s: How long the server is away after a log request without any `logOptions` parameter, which crashes a
            real one; 0 only cuts that connection. The stored state is kept.
        rate_limit: Value of `X-Ratelimit-Limit`; nothing is limited except by a fault.
        seed: For generated names, uids and a fault's probability; None differs each time.
        certfile: PEM file with the server's certificate; with `keyfile` the server uses TLS.
        keyfile: PEM file with its key.
    """

    host: str = "127.0.0.1"
    port: int = 0
    argo_version: str = DEFAULT_VERSION
    token: str | None = None
    identities: tuple[Identity, ...] = ()
    namespaces: frozenset[str] = field(default_factory=lambda: frozenset({"argo", "default"}))
    forbidden_namespaces: frozenset[str] = frozenset()
    container_s: float = 0.5
    reaction_s: float = 0.03
    list_lag_s: float = 0.2
    event_window: int = 20_000
    keepalive_s: float = 15.0
    bookmark_s: float = 60.0
    retention: int | None = None
    archive: bool = False
    archive_delay_s: float = 0.5
    crash_s: float = 0.0
    rate_limit: int = 1000
    seed: int | None = None
    certfile: str | None = None
    keyfile: str | None = None
