"""An Argo Server under test, simulated or real (named by ARGO_SERVER), and waiting for what it does.

ARGO_TOKEN, ARGO_NAMESPACE and ARGO_SECURE are honoured. Names are made for the test and cleaned up.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from argo_recordings import Answer, call

from tests.support.machine import scaled

LABEL = "argo-bridge.test/run"
DEADLINE_S = 60.0


@dataclass
class Server:
    """An Argo Server under test."""

    url: str
    namespace: str
    headers: dict[str, str]
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def call(self, method: str, path: str, *, params: Any = None, body: Any = None, accept: str = "") -> Answer:
        """Send a request; `path` follows /api/v1/."""
        headers = {**self.headers, **({"Accept": accept} if accept else {})}
        data = b"" if body is None else json.dumps(body).encode()
        return call(self.url, method, f"/api/v1/{path}", params=params, body=data, headers=headers)

    def workflow(self, duration: str | None = "0s", **metadata: Any) -> dict[str, Any]:
        """A manifest of one suspend, labelled as this run's."""
        suspend = {} if duration is None else {"duration": duration}
        return {
            "metadata": {"name": f"contract-{self.run}", "labels": {LABEL: self.run}, **metadata},
            "spec": {"entrypoint": "main", "templates": [{"name": "main", "suspend": suspend}]},
        }

    def create(self, workflow: dict[str, Any]) -> Answer:
        """Create a workflow."""
        return self.call("POST", f"workflows/{self.namespace}", body={"workflow": workflow})

    @property
    def minor(self) -> tuple[int, int]:
        """Major and minor number of its release."""
        major, minor = self.call("GET", "version").value["version"].removeprefix("v").split(".")[:2]
        return int(major), int(minor)

    def get(self, name: str) -> Answer:
        """Get a workflow."""
        return self.call("GET", f"workflows/{self.namespace}/{name}")

    def clean(self) -> None:
        """Delete what this run made."""
        listed = self.call(
            "GET", f"workflows/{self.namespace}", params={"listOptions.labelSelector": f"{LABEL}={self.run}"}
        )
        for item in listed.value["items"] or []:
            self.call("DELETE", f"workflows/{self.namespace}/{item['metadata']['name']}")


def real_server() -> Server:
    address = os.environ["ARGO_SERVER"]
    secure = os.environ.get("ARGO_SECURE", "true").lower() not in ("false", "0")
    url = address if "://" in address else f"{'https' if secure else 'http'}://{address}"
    token = os.environ.get("ARGO_TOKEN", "")
    return Server(url, os.environ.get("ARGO_NAMESPACE", "argo"), {"Authorization": token} if token else {})


def until(condition: Callable[[], Any]) -> Any:
    """Ask again and again, up to a deadline."""
    deadline_s = time.monotonic() + scaled(DEADLINE_S)
    while time.monotonic() < deadline_s:
        value = condition()
        if value:
            return value
        time.sleep(0.02)  # between two questions to a server that cannot call us
    raise AssertionError(f"did not hold within {DEADLINE_S} s")
