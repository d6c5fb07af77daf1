"""Which certificates are trusted and which one is shown, as an `ssl.SSLContext` made from `ArgoOptions`.

Read again when a file changes (certificates are renewed while the bridge runs), asked for at each new connection.
Decides as libcurl does for creates and watches (`handles`): one answer to "is this the Argo Server?" for all ways.
Opens no connection. Any thread.
"""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

from bridge.argo.options import ArgoOptions, system_ca_file

_Stamps = tuple[tuple[int, int, int], ...]


class Trust:
    """Gives the context for each new TLS connection.

    Thread: any; one lock is held for the files' stats, and for reading them when one has changed.
    """

    def __init__(self, options: ArgoOptions) -> None:
        """Read nothing yet."""
        ca_file = options.ca_file or system_ca_file()
        self._ca_file = None if options.insecure or ca_file is None else Path(ca_file)
        self._insecure = options.insecure
        self._cert = options.client_cert
        self._key = options.client_key or options.client_cert if options.client_cert else None
        self._lock = threading.Lock()
        self._stamps: _Stamps | None = None
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context for the files as they are now.

        Raises:
            ssl.SSLError: a file is missing or is none; the message names it. A later call tries again.
        """
        with self._lock:
            # Stamps from before the reading: a change meanwhile is found next time.
            stamps = tuple(_stamp(file) for file in (self._ca_file, self._cert, self._key) if file is not None)
            if self._context is None or stamps != self._stamps:
                self._context = None
                self._context, self._stamps = self._read(), stamps
            return self._context

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # HTTP/2 is gRPC to Argo 3.5 (docs/design/argo-server.md).
        context.set_alpn_protocols(["http/1.1"])
        # As libcurl does: an intermediate authority in the file is enough.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self._insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self._ca_file is not None:
            try:
                context.load_verify_locations(self._ca_file)
            except OSError as error:
                raise _unusable(self._ca_file, error) from error
        if self._cert is not None:
            try:
                # An empty password: an encrypted key is refused instead of asking for its password on a terminal.
                context.load_cert_chain(self._cert, self._key, password="")
            except OSError as error:
                raise _unusable(self._cert, error) from error
        return context


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        found = file.stat()
    except OSError as error:
        raise _unusable(file, error) from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _unusable(file: Path, error: OSError) -> ssl.SSLError:
    return ssl.SSLError(1, f"cannot use {file}: {error.strerror or error}")
