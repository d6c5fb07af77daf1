"""The keys of `argo` in bridge.yaml, as one frozen value; also builds every path of the Argo Server's REST API.

Opens no connection. Any thread.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from bridge.configfile.containers import ListOf
from bridge.configfile.fields import ABSENT, Section, declare, section
from bridge.configfile.kinds import DNS_LABEL, Boolean, FilePath, Integer, Text, Url
from bridge.core.errors import PermanentError, cut

# What Kubernetes accepts as an object's name (RFC 1123 subdomain). Checked here because names come from messages: "..",
# "/" or ":" in a path would reach a route that policy did not allow.
_SEGMENT = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

# Where distributions keep their trusted certificates, for a Python that was built elsewhere.
_SYSTEM_CA_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)


class Secret:
    """A text that only `reveal` shows: it is not in repr, str, logs or comparisons of messages."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@section
class ArgoTls:
    """TLS towards the Argo Server."""

    ca: Path | None = declare(FilePath(), "CA certificates to trust; default: the system's.", default=ABSENT)
    insecure: bool = declare(
        Boolean(), "Accept any certificate of the Argo Server without verification; for trials only.", default=False
    )


@section
class ArgoOptions:
    """The Argo Server, and what the bridge may do there.

    Proxies from the environment and ``.netrc`` are ignored, and redirects are never followed.

    Attributes:
        token: ARGO_TOKEN, the complete value of the Authorization header. It is never in a file, and None if
            `token_file` is set or `argo.url` is in the file.
        connect_timeout_s: seconds until a connection, including TLS, must be established.
        timeout_s: seconds for a whole request; 40 would outlast Argo's own 34 s for a stuck etcd, but a waiting slot is
            a lost slot, and an unknown outcome is looked up by GET anyway.
        max_answer_bytes: a larger response is given up (Argo's own limit is 100 MiB, ``GRPC_MESSAGE_SIZE``).
        max_held_bytes: for all responses that one thread reads at a time; beyond it, all but small ones are given up.
    """

    url: str = declare(
        Url(("http", "https")),
        "URL of the Argo Server; its path goes before /api. Default: from ARGO_SERVER and related variables.",
        hint="or set ARGO_SERVER",
    )
    token_file: Path | None = declare(
        FilePath(), "File that contains the bearer token; read again when it changes.", default=ABSENT
    )
    tls: ArgoTls = declare(Section(ArgoTls), "TLS, for https.", default={})
    namespaces: tuple[str, ...] = declare(
        ListOf(Text(DNS_LABEL, "a namespace: small letters, digits and -, at most 63"), least=1, distinct=True),
        "Namespaces in which the bridge may act; the first is the default.",
        hint="list the namespaces that workflows may run in, or set ARGO_NAMESPACE",
    )
    version: str = declare(
        Text(r"auto|v?[0-9]+\.[0-9]+(\.[0-9]+)?", "auto, or a version such as 4.1 or 4.1.2"),
        "Argo's version, which selects the schema for workflows; auto asks the server.",
        default="auto",
    )
    max_attempts: int = declare(
        Integer(1),
        "How often an event may fail while others of its namespace succeed before it is dead-lettered.",
        default=20,
    )
    token: Secret | None = field(default=None, repr=False)
    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0
    max_answer_bytes: int = 64 * 1024 * 1024
    max_held_bytes: int = 96 * 1024 * 1024

    @property
    def authorization(self) -> str:
        """The complete value of the Authorization header, or "" if `token_file` may provide it."""
        return "" if self.token is None else self.token.reveal()

    @property
    def place(self) -> str:
        """Host and port, for messages and logs."""
        return urlsplit(self.url).netloc


def system_ca_file() -> str | None:
    """Return the file of certificates that this machine trusts (``SSL_CERT_FILE`` wins), or None."""
    found = ssl.get_default_verify_paths().cafile
    return found or next((file for file in _SYSTEM_CA_FILES if Path(file).is_file()), None)


def segment(name: str, what: str = "name") -> str:
    """Return `name` if it is safe as one segment of a path, as every valid Kubernetes name is.

    Raises:
        PermanentError: ``bad-name``.
    """
    if _SEGMENT.fullmatch(name) is None:
        raise PermanentError(
            f'address {what}: "{cut(ascii(name)[1:-1], 80)}" is not a Kubernetes name', code="bad-name"
        )
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
"""The fields that make a workflow large and that are needed only to return it whole."""

_PAGE = 500


@lru_cache(maxsize=256)
def workflows_path(namespace: str) -> str:
    """Path to create and list; namespace "" is all of them (GET only)."""
    return "/api/v1/workflows/" + (segment(namespace, "namespace") if namespace else "")


def workflow_page_path(namespace: str, selector: str, offset: int, left_out: tuple[str, ...]) -> str:
    """Path of one page of the workflows that match a label selector, without the fields `left_out`.

    Sets ``ext.showRemainingItemCount``, because without it 4.x ends early (docs/design/argo-server.md, Reading).
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
    """Return `path` with the non-empty values of `query`; ``__`` in a key stands for a dot."""
    wanted = {key.replace("__", "."): value for key, value in query.items() if value}
    return f"{path}?{urlencode(wanted)}" if wanted else path
