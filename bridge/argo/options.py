"""Where the Argo Server is and how to reach it, as one frozen value; builds every path of its REST API.

Reads no settings (the service hands the values in) and opens no connection. Any thread.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from bridge.core.errors import ConfigError, PermanentError, cut

# What kube accepts as an object's name (RFC 1123 subdomain). Checked here because names come
# from messages: "..", "/" or ":" in a path would reach another route than the one that policy allowed.
_SEGMENT = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

# Where distributions keep the certificates they trust, for a Python that was built elsewhere.
_SYSTEM_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)


@dataclass(frozen=True, slots=True)
class ArgoOptions:
    """How to reach the Argo Server. Proxies from the environment and ``.netrc`` are ignored, redirects never followed.

    Attributes:
        url: ``http://HOST:PORT[/BASE]`` or https; BASE (``ARGO_BASE_HREF``) goes before ``/api``.
        token_file: file with the token, read again when it changes; wins over `authorization`. None = none.
        authorization: complete value of the Authorization header (``ARGO_TOKEN``), or "".
        ca_file: PEM file with the certificates to trust instead of the system's.
        insecure: accept any certificate (``ARGO_INSECURE_SKIP_VERIFY``).
        connect_timeout_s: seconds until a connection, TLS included, must stand.
        timeout_s: seconds for a whole request; 40 would outlast Argo's own 34 s for a stuck etcd, but a slot that
            waits is a slot lost, and an unknown outcome is asked for by GET anyway.
        max_answer_bytes: a longer answer is given up (Argo's own bound is 100 MiB, ``GRPC_MESSAGE_SIZE``).
        max_held_bytes: of all answers that one thread reads at a time; over it, those that are not small are given up.

    Raises:
        ConfigError: the URL cannot be used.
    """

    url: str
    token_file: Path | None = None
    authorization: str = field(default="", repr=False)
    ca_file: Path | None = None
    insecure: bool = False
    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0
    max_answer_bytes: int = 64 * 1024 * 1024
    max_held_bytes: int = 96 * 1024 * 1024

    def __post_init__(self) -> None:
        problem = _url_problem(self.url)
        if problem:
            raise ConfigError(f"use argo.url: {problem}", code="bad-url")

    @property
    def base_url(self) -> str:
        """The URL without a trailing slash; a path of the API goes behind it."""
        return self.url.rstrip("/")

    @property
    def place(self) -> str:
        """Host and port, for messages and logs."""
        return urlsplit(self.url).netloc


def _url_problem(url: str) -> str:
    if not url.isascii() or not url.isprintable() or " " in url:
        return "it has characters that a URL cannot have"
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises on a port that is none
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return f'"{cut(url, 80)}" is not http://HOST:PORT or https://HOST:PORT'
    if "@" in parts.netloc:
        return "credentials do not belong in a URL; use argo.token-file"
    if parts.query or parts.fragment:
        return "it has a query or a fragment; only scheme, host, port and base path are used"
    return ""


def system_ca_file() -> str | None:
    """The file of certificates that this machine trusts (``SSL_CERT_FILE`` wins), or None where there is none."""
    found = ssl.get_default_verify_paths().cafile
    return found or next((file for file in _SYSTEM_CA_FILES if Path(file).is_file()), None)


def segment(name: str, what: str = "name") -> str:
    """Return `name` if it is safe as one segment of a path, which every name that kube accepts is.

    Raises:
        PermanentError: ``bad-name``.
    """
    if _SEGMENT.fullmatch(name) is None:
        raise PermanentError(f'address {what}: "{cut(ascii(name)[1:-1], 80)}" is no Kubernetes name', code="bad-name")
    return name


VERSION_PATH = "/api/v1/version"

HEAVY_FIELDS = (
    "metadata.managedFields",
    "status.nodes",
    "status.compressedNodes",
    "status.storedTemplates",
    "status.storedWorkflowTemplateSpec",
    "status.taskResultsCompletionStatus",
)
"""What makes a workflow large and what only one who asks for all of it needs."""

_PAGE = 500


def workflows_path(namespace: str) -> str:
    """Path to create and list; namespace "" is all of them (GET only)."""
    return "/api/v1/workflows/" + (segment(namespace, "namespace") if namespace else "")


def workflow_page_path(namespace: str, selector: str, offset: int, left_out: tuple[str, ...]) -> str:
    """Path of one page of the workflows that match a label selector, without the fields `left_out`.

    ``ext.showRemainingItemCount``, because without it 4.x ends early (docs/design/argo-server.md, Reading).
    """
    return with_query(
        workflows_path(namespace),
        listOptions__labelSelector=selector,
        listOptions__fieldSelector="ext.showRemainingItemCount=true",
        listOptions__limit=str(_PAGE),
        listOptions__continue=str(offset) if offset else "",
        fields="-" + ",".join(f"items.{field}" for field in left_out),
    )


def workflow_path(namespace: str, name: str, verb: str = "") -> str:
    """Path of one workflow, or of a verb on it (``stop``, ``retry``, ...)."""
    path = f"/api/v1/workflows/{segment(namespace, 'namespace')}/{segment(name, 'workflow')}"
    return f"{path}/{verb}" if verb else path


def template_path(namespace: str, name: str = "") -> str:
    """Path of one WorkflowTemplate, or of all of a namespace."""
    path = f"/api/v1/workflow-templates/{segment(namespace, 'namespace')}"
    return f"{path}/{segment(name, 'template')}" if name else path


def cluster_template_path(name: str) -> str:
    """Path of one ClusterWorkflowTemplate."""
    return f"/api/v1/cluster-workflow-templates/{segment(name, 'template')}"


def watch_path(namespace: str) -> str:
    """Path of the watch; namespace "" is all of them."""
    return "/api/v1/workflow-events/" + (segment(namespace, "namespace") if namespace else "")


def with_query(path: str, **query: str) -> str:
    """Return `path` with those of `query` that are not ""; ``__`` in a key stands for a dot."""
    wanted = {key.replace("__", "."): value for key, value in query.items() if value}
    return f"{path}?{urlencode(wanted)}" if wanted else path
