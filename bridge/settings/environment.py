"""Adds environment variables to the tree of bridge.yaml, before it is read.

`ARGO_BRIDGE_` and the key's path sets any key except the connections and `status.notify`. If `argo.url` is not set,
Argo's own variables give the server, as for Argo's command line. Values are not quoted in messages unless the key's own
reader does. Pure; any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.argo.options import Secret
from bridge.configfile.containers import ListOf, MapOf
from bridge.configfile.fields import Section, keys_of
from bridge.configfile.kinds import Kind
from bridge.configfile.nodes import ListNode, MapNode, Node, ScalarNode, is_null, node_of, with_value
from bridge.configfile.problems import Code, Position, Problems
from bridge.configfile.scalars import resolve
from bridge.core.nearest import did_you_mean
from bridge.settings.model import Settings

PREFIX = "ARGO_BRIDGE_"
# Kubernetes sets these for a service named argo-bridge-...: they are not for us.
_SERVICE_LINK = re.compile(r".*_SERVICE_.*|.*_PORT|.*_PORT_.*")
# Source: Go, strconv.ParseBool, with which Argo's command line parses these variables.
_BOOLEANS = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "FALSE", "false", "False"), False
)
_UNREADABLE = re.compile("[\x00\ud800-\udfff]")


def variables() -> dict[str, tuple[tuple[str, ...], Kind]]:
    """Return every variable with the path and kind of its key."""
    return {PREFIX + "_".join(path).upper().replace("-", "_"): (path, kind) for path, kind in _keys(Settings, ())}


def _keys(cls: type[Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Kind]]:
    for key in keys_of(cls):
        path = (*above, key.name)
        if isinstance(key.kind, Section):
            yield from _keys(key.kind.cls, path)
        elif not isinstance(key.kind, MapOf) and not _holds_sections(key.kind):
            yield path, key.kind


def _holds_sections(kind: Kind) -> bool:
    return isinstance(kind, ListOf) and isinstance(kind.item, Section)


def with_bridge_variables(root: MapNode, environ: Mapping[str, str], problems: Problems) -> MapNode:
    """Return the tree with every `ARGO_BRIDGE_...` variable; they override the file."""
    known = variables()
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        where = Position(f"environment {name}")
        if _UNREADABLE.search(environ[name]):
            problems.error(where, Code.BAD_CHARACTER, "the value is not UTF-8")
        elif name in known:
            path, kind = known[name]
            root = with_value(root, path, _node(environ[name], kind, where))
        elif name.startswith(PREFIX + "CONNECTIONS"):
            problems.warning(where, Code.UNKNOWN_VARIABLE, "ignored; connections can only be set in the file")
        elif not _SERVICE_LINK.fullmatch(name):
            text = f"ignored; no key has this name{did_you_mean(name, known)}"
            problems.warning(where, Code.UNKNOWN_VARIABLE, text)
    return root


def _node(text: str, kind: Kind, where: Position) -> Node:
    if isinstance(kind, ListOf):
        parts = [part.strip() for part in text.split(",")] if text.strip() else []
        return ListNode(where, tuple(ScalarNode(where, resolve(part), part) for part in parts))
    return ScalarNode(where, resolve(text), text)


def with_argo_variables(root: MapNode, environ: Mapping[str, str], problems: Problems) -> tuple[MapNode, Secret | None]:
    """Return the tree completed by Argo's own variables, and the token of ARGO_TOKEN.

    `argo.url` wins: with it, no token or TLS setting of another server is taken from the environment. Source: Argo
    v4.1, cmd/argo/commands/client/conn.go (ARGO_SERVER, ARGO_TOKEN, ARGO_SECURE, ...).
    """
    argo = root.get("argo")
    given = argo if isinstance(argo, MapNode) else MapNode(root.position)
    if given.get("namespaces") is None and environ.get("ARGO_NAMESPACE"):
        where = Position("environment ARGO_NAMESPACE")
        root = with_value(root, ("argo", "namespaces"), node_of([environ["ARGO_NAMESPACE"]], where))
    if given.get("url") is not None or not environ.get("ARGO_SERVER"):
        return root, None
    where = Position("environment ARGO_SERVER")
    root = with_value(root, ("argo", "url"), node_of(_server_url(environ, problems), where))
    tls = given.get("tls")
    if not isinstance(tls, MapNode) or tls.get("insecure") is None:
        insecure = _boolean("ARGO_INSECURE_SKIP_VERIFY", environ, problems, default=False)
        where = Position("environment ARGO_INSECURE_SKIP_VERIFY")
        root = with_value(root, ("argo", "tls", "insecure"), node_of(insecure, where))
    token_file = given.get("token-file")
    return root, _token(environ, problems) if token_file is None or is_null(token_file) else None


def _server_url(environ: Mapping[str, str], problems: Problems) -> str:
    server = environ["ARGO_SERVER"]
    if "://" not in server:
        secure = _boolean("ARGO_SECURE", environ, problems, default=True)
        server = f"{'https' if secure else 'http'}://{server}"
    path = environ.get("ARGO_BASE_HREF", "").strip("/")
    return f"{server.rstrip('/')}/{path}" if path else server


def _boolean(name: str, environ: Mapping[str, str], problems: Problems, *, default: bool) -> bool:
    text = environ.get(name, "")
    if text and text not in _BOOLEANS:
        problems.error(Position(f"environment {name}"), Code.BAD_VALUE, "it must be true or false")
    return _BOOLEANS.get(text, default)


def _token(environ: Mapping[str, str], problems: Problems) -> Secret | None:
    text = environ.get("ARGO_TOKEN", "")
    if not text:
        return None
    # An unprintable character would break the header, or add another one.
    if not re.fullmatch(r"(Bearer|Basic) [\x21-\x7e]+", text):
        where = Position("environment ARGO_TOKEN")
        problems.error(where, Code.BAD_VALUE, 'it must be a complete header value: "Bearer ..." or "Basic ..."')
        return None
    return Secret(text)
