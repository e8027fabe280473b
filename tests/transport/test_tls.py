"""Certificates that cannot be used are found when they are read."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from pykyro.config.settings.server import TlsSettings
from pykyro.model.errors import ConfigError
from pykyro.transport.tls import Certificates, http_context

CA = trustme.CA()


@pytest.fixture
def settings(tmp_path: Path) -> TlsSettings:
    leaf = CA.issue_cert("localhost")
    leaf.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    (tmp_path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return TlsSettings(
        enabled=True,
        http="mtls",
        cert_path=tmp_path / "cert.pem",
        key_path=tmp_path / "key.pem",
        ca_cert_path=tmp_path / "ca.pem",
    )


def test_what_fits_together_is_read_and_the_key_is_not_shown(settings: TlsSettings) -> None:
    certificates = Certificates.read(settings)
    assert certificates.authorities == CA.cert_pem.bytes()
    assert "PRIVATE KEY" not in repr(certificates)
    http_context(settings, certificates)


@pytest.mark.parametrize("name", ["cert.pem", "key.pem", "ca.pem"])
def test_a_missing_file_is_named(settings: TlsSettings, tmp_path: Path, name: str) -> None:
    (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match=rf"server\.tls\.\w+_path: .*{name}: No such file"):
        Certificates.read(settings)


@pytest.mark.parametrize("name", ["cert.pem", "key.pem", "ca.pem"])
def test_a_file_of_something_else_is_refused(settings: TlsSettings, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("nothing of the kind")
    with pytest.raises(ConfigError, match=r"server\.tls"):
        Certificates.read(settings)


def test_a_key_of_another_certificate_is_refused(settings: TlsSettings, tmp_path: Path) -> None:
    CA.issue_cert("localhost").private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    with pytest.raises(ConfigError, match="are not a certificate and its key"):
        Certificates.read(settings)


@pytest.mark.parametrize("kind", ["another kind of key", "DER", "no certificate", "no key", "swapped"])
def test_what_does_not_fit_together_is_told_apart(settings: TlsSettings, tmp_path: Path, kind: str) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    says = "the first holds no certificate that can be read as PEM"
    match kind:
        case "another kind of key":
            other = CA.issue_cert("localhost", key_type=trustme.KeyType.RSA)
            other.private_key_pem.write_to_path(str(key))
            says = "the key belongs to another certificate"
        case "DER":
            read = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
            certificate.write_bytes(read.public_bytes(serialization.Encoding.DER))
        case "no certificate":
            certificate.write_bytes(b"")
        case "no key":
            key.write_bytes(b"")
            says = "the second holds no private key that can be read as PEM"
        case "swapped":
            certificate.write_bytes(key.read_bytes())
    with pytest.raises(
        ConfigError, match=f"{certificate} and {key} are not a certificate and its key: {says}"
    ):
        Certificates.read(settings)


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(
    settings: TlsSettings, tmp_path: Path
) -> None:
    key = serialization.load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "key.pem").write_bytes(encrypted)
    with pytest.raises(ConfigError, match="is encrypted"):
        Certificates.read(settings)


def _signed_by_itself(directory: Path, key: Any) -> TlsSettings:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    edwards = isinstance(key, ed25519.Ed25519PrivateKey)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=90))
        .sign(key, None if edwards else hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (directory / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return TlsSettings(enabled=True, cert_path=directory / "cert.pem", key_path=directory / "key.pem")


def test_kinds_of_keys_that_clients_do_not_take(tmp_path: Path) -> None:
    """What OpenSSL takes and gRPC does not is found out before a client is."""
    for good in (
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
    ):
        assert Certificates.read(_signed_by_itself(tmp_path, good)).validity[0].warning(time.time()) == ""
    for doubtful in (ec.generate_private_key(ec.SECP521R1()), ed25519.Ed25519PrivateKey.generate()):
        read = Certificates.read(_signed_by_itself(tmp_path, doubtful))
        assert "do not support keys of the kind" in read.validity[0].warning(time.time())
    with pytest.raises(
        ConfigError, match=r"server\.tls\.cert_path: .* gRPC does not support keys of the kind secp256k1"
    ):
        Certificates.read(_signed_by_itself(tmp_path, ec.generate_private_key(ec.SECP256K1())))
