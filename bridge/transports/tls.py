"""Makes the TLS context of a connection to a broker. Reads the files it names, keeps nothing; any thread."""

from __future__ import annotations

import ssl

from bridge.transports.mqtt.options import TlsOptions


def client_context(tls: TlsOptions) -> ssl.SSLContext:
    """Return the context that `tls` asks for.

    Raises:
        OSError: a file cannot be read or used (`ssl.SSLError` is one); a retry helps only after somebody changed it.
    """
    context = ssl.create_default_context(cafile=tls.ca or None)
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert:
        context.load_cert_chain(tls.cert, tls.key or None)
    return context
