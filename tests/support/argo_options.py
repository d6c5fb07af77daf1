"""Makes the options of an Argo Server at a URL, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.argo.options import ArgoOptions, ArgoTls


def argo_at(url: str, *, ca: Path | None = None, insecure: bool = False, **keys: Any) -> ArgoOptions:
    """Return those of the server at `url`; `keys` are others of ArgoOptions."""
    return ArgoOptions(url=url, namespaces=("factory",), tls=ArgoTls(ca=ca, insecure=insecure), **keys)
