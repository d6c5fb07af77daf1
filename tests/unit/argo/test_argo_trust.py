"""The TLS context: what it verifies, and when its files are read again."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from bridge.argo.options import ArgoOptions
from bridge.argo.trust import Trust
from tests.support.certificates import Authority

URL = "https://argo.invalid"


def test_the_named_authority_is_trusted_alone(authority: Authority):
    """argo.tls.ca replaces the system's certificates; host names count."""
    context = Trust(ArgoOptions(URL, ca_file=authority.ca)).context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_without_one_the_systems_are(authority: Authority, monkeypatch):
    """SSL_CERT_FILE stands for them here."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    context = Trust(ArgoOptions(URL)).context()
    assert (context.verify_mode, len(context.get_ca_certs())) == (ssl.CERT_REQUIRED, 1)


def test_insecure_verifies_nothing(tmp_path: Path):
    """And reads no authority, so a missing file is no problem then."""
    context = Trust(ArgoOptions(URL, ca_file=tmp_path / "nowhere.pem", insecure=True)).context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_files_are_read_once_until_one_changes(authority: Authority):
    """Reading hundreds of certificates for each connection would be felt."""
    own = authority.issue("bridge")
    options = ArgoOptions(URL, ca_file=authority.ca, client_cert=own.certificate, client_key=own.key)
    trust = Trust(options)
    before = trust.context()
    assert trust.context() is before
    for file in (authority.ca, own.certificate, own.key):
        file.write_bytes(file.read_bytes() + b"\n")
        after = trust.context()
        assert after is not before
        before = after


def test_a_file_that_is_none_is_told_by_its_name(authority: Authority, tmp_path: Path):
    """Missing, empty, or something else; and it may become right later."""
    file = tmp_path / "ca.pem"
    trust = Trust(ArgoOptions(URL, ca_file=file))
    for content in (None, b"", b"not PEM"):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ssl.SSLError, match=r"ca\.pem"):
            trust.context()
    file.write_bytes(authority.ca.read_bytes())
    assert trust.context().get_ca_certs()


def test_an_encrypted_key_is_refused_without_asking(authority: Authority):
    """No question on a terminal that holds the start of the bridge."""
    own = authority.issue("bridge")
    key = serialization.load_pem_private_key(own.key.read_bytes(), None)
    form, encryption = serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    own.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    with pytest.raises(ssl.SSLError, match=r"bridge\.pem"):
        Trust(ArgoOptions(URL, insecure=True, client_cert=own.certificate, client_key=own.key)).context()


def test_one_file_may_hold_certificate_and_key(authority: Authority):
    """client_key None = it is in client_cert."""
    own = authority.issue("bridge")
    own.certificate.write_bytes(own.certificate.read_bytes() + own.key.read_bytes())
    assert Trust(ArgoOptions(URL, insecure=True, client_cert=own.certificate)).context()
