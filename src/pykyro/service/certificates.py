"""Until when certificates are good: what is past its end refuses new clients, and is not to be found out by them."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pykyro.model.errors import ConfigError
from pykyro.model.limits import CERTIFICATE_WARNING_S

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from pykyro.config.settings.server import TlsSettings

_log: Final = logging.getLogger(__name__)
_SAY_AGAIN_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when a file of certificates is good, in Unix time. `setting` names it."""

    setting: str
    path: Path
    subject: str
    """Of the certificate that ends first."""
    not_before_s: float
    not_after_s: float
    doubt: str = ""
    """Another reason why some clients cannot use it."""

    def remaining_s(self, now_s: float) -> float:
        """Below 0 once it has ended."""
        return self.not_after_s - now_s

    def fault(self, now_s: float) -> str:
        """Why it is not valid now, "" when it is."""
        if now_s >= self.not_after_s:
            return f"{self._name} expired on {_day(self.not_after_s)}: put a new certificate there"
        if now_s < self.not_before_s:
            return (
                f"{self._name} is not valid before {_day(self.not_before_s)}, and the clock of this machine "
                f"says {_day(now_s)}"
            )
        return ""

    def warning(self, now_s: float) -> str:
        """The message for the operator: `fault`, or that the end is near."""
        if fault := self.fault(now_s):
            return fault
        remaining_s = self.remaining_s(now_s)
        if remaining_s > CERTIFICATE_WARNING_S:
            return self.doubt
        return f"{self._name} expires on {_day(self.not_after_s)}, in {_duration(remaining_s)}"

    @property
    def _name(self) -> str:
        return f"{self.setting}: {self.path}: the certificate of {self.subject}"


def require_valid(settings: TlsSettings, chain: bytes, authorities: bytes | None) -> tuple[Validity, ...]:
    """The validity of the server's chain, and of the authorities if there are any.

    Raises ConfigError for a chain that clients refuse now, and for authorities of clients of which none is good any
    more.
    """
    assert settings.cert_path is not None
    now_s = time.time()
    own = _chain_validity("server.tls.cert_path", settings.cert_path, chain)
    found = [own]
    if authorities is not None:
        assert settings.ca_cert_path is not None
        known = _each("server.tls.ca_cert_path", settings.ca_cert_path, authorities)
        good = [one for one in known if not one.fault(now_s)]
        # One that has ended among others that have not is no harm; the first that will is worth a warning.
        found.append(min(good or known, key=lambda one: one.not_after_s))
    # Authorities that no client is checked against are only worth a warning.
    relied_on = found if settings.require_client_cert or settings.http == "mtls" else found[:1]
    faults = [fault for one in relied_on if (fault := one.fault(now_s))]
    if faults:
        raise ConfigError(*faults)
    return tuple(found)


def _doubt(setting: str, path: Path, own: Certificate) -> str:
    """The reason why clients cannot use the server's own certificate, "" for none. Raises ConfigError when no
    client can: OpenSSL, which has read it, takes more kinds of keys than gRPC."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import PublicKeyAlgorithmOID

    key, algorithm = own.public_key(), own.public_key_algorithm_oid
    kind = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else algorithm._name
    wanted = "use RSA (rsaEncryption), or the elliptic curve P-256 or P-384"
    if isinstance(key, rsa.RSAPublicKey) and algorithm == PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5:
        return ""
    if kind in ("secp256r1", "secp384r1"):
        return ""
    if kind in ("secp521r1", "ed25519"):
        clients = "gRPC's clients in Python, C++ and Ruby"
        return f"{setting}: {path}: {clients} do not support keys of the kind {kind}: {wanted}"
    raise ConfigError(f"{setting}: {path}: gRPC does not support keys of the kind {kind}: {wanted}")


def mistake(chain: bytes, key: bytes) -> str:
    """The fault of a certificate and a key that OpenSSL does not accept together, "" when none is found."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        own = x509.load_pem_x509_certificates(chain)[0]
    except ValueError:
        return "the first holds no certificate that can be read as PEM (-----BEGIN CERTIFICATE-----)"
    try:
        same = load_pem_private_key(key, None).public_key() == own.public_key()
    except (TypeError, ValueError, UnsupportedAlgorithm):
        return "the second holds no private key that can be read as PEM (-----BEGIN PRIVATE KEY-----)"
    if same:
        return ""
    return (
        "the key belongs to another certificate; the server's own certificate comes first in the file, then those "
        "that signed it"
    )


class ExpiryWatch:
    """Says in the log that a certificate ends soon, or has: when it is first known, then once a day."""

    def __init__(self, certificates: Callable[[], Sequence[Validity]]) -> None:
        self._certificates = certificates
        self._said_s: dict[tuple[Validity, bool], float] = {}

    def look(self) -> None:
        """Log the warnings."""
        now_s = time.time()
        for one in self._certificates():
            warning, fault = one.warning(now_s), one.fault(now_s)
            # The clock may go back.
            if warning and abs(now_s - self._said_s.get((one, bool(fault)), -_SAY_AGAIN_S)) >= _SAY_AGAIN_S:
                self._said_s[one, bool(fault)] = now_s
                _log.log(logging.ERROR if fault else logging.WARNING, "%s", warning)


def _chain_validity(setting: str, path: Path, chain: bytes) -> Validity:
    """Of all certificates a client looks at: the server's own, and those that signed it. A root it knows itself."""
    each = _each(setting, path, chain, roots=False)
    ends, begins = min(each, key=lambda one: one.not_after_s), max(each, key=lambda one: one.not_before_s)
    named = begins if begins.not_before_s > time.time() else ends
    doubt = _doubt(setting, path, _read(setting, path, chain)[0])
    return replace(named, not_before_s=begins.not_before_s, not_after_s=ends.not_after_s, doubt=doubt)


def _each(setting: str, path: Path, text: bytes, *, roots: bool = True) -> list[Validity]:
    certificates = _read(setting, path, text)
    wanted = [
        certificate
        for at, certificate in enumerate(certificates)
        if roots or at == 0 or certificate.issuer != certificate.subject
    ]
    return [
        Validity(
            setting,
            path,
            _subject(certificate),
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
        )
        for certificate in wanted
    ]


def _read(setting: str, path: Path, text: bytes) -> list[Certificate]:
    # Only TLS needs it.
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError as error:
        raise ConfigError(f"{setting}: {path}: holds a certificate that cannot be read: {error}") from None


def _subject(certificate: Certificate) -> str:
    return certificate.subject.rfc4514_string() or f"serial number {certificate.serial_number:x}"


def _day(time_s: float) -> str:
    moment = datetime.datetime.fromtimestamp(time_s, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: float) -> str:
    days = int(seconds // 86_400)
    return f"{days} days" if days > 1 else f"{int(seconds // 3600)} hours"
