"""The TLS keys of a connection to a broker, and the resulting TLS context.

Reads the files that the keys name, keeps nothing; any thread.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from bridge.configfile.fields import ABSENT, declare, section
from bridge.configfile.kinds import Boolean, FilePath


@section
class TlsOptions:
    """TLS of one connection to a broker."""

    ca: Path | None = declare(FilePath(), "CA certificates to trust; default: the system's.", default=ABSENT)
    cert: Path | None = declare(FilePath(), "The bridge's own certificate; also needs `key`.", default=ABSENT)
    key: Path | None = declare(FilePath(), "The private key of `cert`.", default=ABSENT)
    insecure: bool = declare(
        Boolean(), "Accept any certificate of the broker without verification; for trials only.", default=False
    )


def client_context(tls: TlsOptions) -> ssl.SSLContext:
    """Return the context for `tls`.

    Raises:
        OSError: a file cannot be read or used (`ssl.SSLError` is one); a retry helps only after someone changed it.
    """
    context = ssl.create_default_context(cafile=tls.ca)
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert:
        context.load_cert_chain(tls.cert, tls.key)
    return context
