"""What a simulator can be told when it is made. Immutable, so any thread may read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.simulator.objects.versions import DEFAULT_VERSION


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who may call, by token.

    Attributes:
        token: Without `Bearer `.
        subject: Kubernetes user name, e.g. `system:serviceaccount:argo:bridge`.
        rights: Verbs on workflows by namespace; None is everything everywhere.
        read_templates: May get and list templates.
    """

    token: str
    subject: str = "system:serviceaccount:argo:simulated"
    rights: Mapping[str, frozenset[str]] | None = None
    read_templates: bool = True


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """How a simulated Argo Server behaves.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one, which is then kept over `stop_serving` and `start_serving`.
        argo_version: Release to play (`4.1.2`, `v4.1.2` or `4.1`).
        token: The token that is asked for (a complete header value or without `Bearer `). None asks for none, as
            an Argo Server in auth mode `server`.
        identities: Further tokens with their own rights.
        namespaces: Those that exist.
        forbidden_namespaces: Those in which everything is refused with 403.
        container_s: How long a container runs unless told otherwise, in seconds.
        reaction_s: From a create to the controller's first write, in seconds.
        list_lag_s: How far lists are behind, in seconds; a real server's stays under a second.
        event_window: Events that are kept for watches; older resource versions are `too old`.
        keepalive_s: Time between comment lines of an SSE stream; a real server's 15 is fixed.
        bookmark_s: Time between bookmarks.
        retention: Finished workflows that are kept, the oldest are deleted; None keeps all.
        archive: Finished workflows are archived, as with a database behind the controller.
        archive_delay_s: From a workflow's end to its archiving, in seconds.
        crash_s: How long the server is away after a log request without any `logOptions` parameter, which crashes a
            real one; 0 only cuts that connection. What is stored lives on.
        rate_limit: What `X-Ratelimit-Limit` says; nothing is limited unless a fault does it.
        seed: For generated names, uids and a fault's probability; None differs each time.
        certfile: PEM file with the server's certificate; with `keyfile` it speaks TLS.
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
