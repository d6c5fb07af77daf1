"""Sends blocking requests to an Argo Server one at a time, for interactive commands, with `requests`.

Cannot be interrupted; the running bridge uses `exchanges` instead. Retries nothing and follows no redirect.

Thread: one, the caller's.
"""

from __future__ import annotations

import time
import warnings
from typing import Self

import requests

from bridge import __version__
from bridge.argo.credentials import Credentials
from bridge.argo.errors import Answer, Fault, classify, failure, token_unreadable
from bridge.argo.handles import HttpRequest
from bridge.argo.options import ArgoOptions, system_ca_file
from bridge.core.errors import TransientError
from bridge.core.foreign import conceal_bytes


class DirectClient:
    """A session with one Argo Server."""

    def __init__(self, options: ArgoOptions) -> None:
        """Open nothing yet."""
        self._options = options
        self._credentials = Credentials(options.token_file, options.authorization)
        self._session = requests.Session()
        # Proxies and .netrc of the environment are for browsers; a proxy would see the token.
        self._session.trust_env = False
        self._session.verify = not options.tls.insecure and (str(options.tls.ca or system_ca_file() or "") or True)
        self._session.headers.update({"User-Agent": f"argo-bridge/{__version__}", "Content-Type": "application/json"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def ask(self, request: HttpRequest) -> Answer:
        """Send one request and return its response, whatever it is; never raises because of one."""
        try:
            authorization = self._credentials.authorization()
        except TransientError as error:
            return token_unreadable(error)
        try:
            with warnings.catch_warnings():
                # Requested by the operator (argo.tls.insecure); urllib3 would warn at each request.
                warnings.filterwarnings("ignore", message="Unverified HTTPS request")
                response = self._session.request(
                    request.method,
                    self._options.url + request.path,
                    data=request.body,
                    headers={"Authorization": authorization} if authorization else None,
                    timeout=(self._options.connect_timeout_s, request.timeout_s or self._options.timeout_s),
                    allow_redirects=False,
                )
        except (requests.RequestException, OSError) as error:
            return failure(_fault(error), f"{self._options.place}: {_reason(error)}", sent=False)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return classify(response.status_code, headers, conceal_bytes(response.content), time.time())


def _fault(error: Exception) -> Fault:
    if isinstance(error, requests.exceptions.SSLError):
        return Fault.TLS
    if isinstance(error, requests.ReadTimeout):
        return Fault.TIMEOUT
    # A missing or invalid CA file is an OSError.
    is_tls_file = not isinstance(error, requests.RequestException)
    return Fault.TLS if is_tls_file else Fault.UNREACHABLE


def _reason(error: BaseException) -> str:
    """Return the text of the root cause; the wrappers of `requests` and urllib3 mostly describe themselves."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return str(error) or type(error).__name__
