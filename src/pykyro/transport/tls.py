"""TLS: reading certificates so that a wrong one is found before it is used, and changing them while the server runs.

Both ports take new certificates for the connections that are opened after a reload; open connections keep their
certificates.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pykyro.config.settings.server import TlsSettings
from pykyro.model.errors import ConfigError
from pykyro.model.limits import PEM_FILE_BYTES_MAX
from pykyro.service.certificates import Validity, mistake, require_valid
from pykyro.system.regular_files import read_regular

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM texts that were proved to fit together, and until when they are good."""

    chain: bytes
    key: bytes = field(repr=False)
    authorities: bytes | None
    validity: tuple[Validity, ...] = ()

    @classmethod
    def read(cls, settings: TlsSettings) -> Certificates:
        """The certificates the settings name. Raises ConfigError, which shows nothing of the key."""
        assert settings.cert_path is not None
        assert settings.key_path is not None
        chain = read_pem("cert_path", settings.cert_path)
        key = read_pem("key_path", settings.key_path)
        authorities = (
            None if settings.ca_cert_path is None else read_pem("ca_cert_path", settings.ca_cert_path)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _load_chain(context, chain, key, settings)
        if authorities is not None:
            _load_authorities(context, authorities, settings)
        return cls(chain, key, authorities, require_valid(settings, chain, authorities))


class GrpcCertificates:
    """Those of the gRPC port, which its server follows. Used on the event loop."""

    def __init__(self, certificates: Certificates, *, require_client_cert: bool) -> None:
        self.current = certificates
        self.require_client_cert = require_client_cert
        """Whether clients without a certificate are refused."""
        self._followers: list[Callable[[Certificates], None]] = []

    def follow(self, follower: Callable[[Certificates], None]) -> None:
        """Call it with each that comes."""
        self._followers.append(follower)

    def replace(self, certificates: Certificates) -> None:
        """Use these from the next handshake on."""
        self.current = certificates
        for follower in self._followers:
            follower(certificates)


class HttpCertificates(ssl.SSLContext):
    """The context the HTTP server is given once: each handshake goes through the one that is current."""

    _current: ssl.SSLContext

    def __new__(cls, *_: object) -> HttpCertificates:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self.replace(context)

    def replace(self, context: ssl.SSLContext) -> None:
        """Use this one from the next handshake on."""
        self._current = context

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """One connection's end, made by the current context."""
        return self._current.wrap_bio(*arguments, **named)


def http_context(settings: TlsSettings, certificates: Certificates) -> ssl.SSLContext:
    """A context of the HTTP port with what was read. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslobject_class = _LoggedHandshake
    _load_chain(context, certificates.chain, certificates.key, settings)
    if settings.http == "mtls":
        assert certificates.authorities is not None
        _load_authorities(context, certificates.authorities, settings)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class _LoggedHandshake(ssl.SSLObject):
    """Logs why a handshake failed: the event loop keeps it to itself."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or type(error).__name__
            _log.warning("HTTP port: TLS handshake failed: %s", reason)
            raise


def read_pem(name: str, path: Path) -> bytes:
    try:
        return read_regular(path, PEM_FILE_BYTES_MAX)
    except OSError as error:
        raise ConfigError(f"server.tls.{name}: {path}: {error.strerror or error}") from None


def _load_chain(context: ssl.SSLContext, chain: bytes, key: bytes, settings: TlsSettings) -> None:
    def no_password() -> str:
        raise ConfigError(
            f"server.tls.key_path: {settings.key_path}: is encrypted; store the key without encryption"
        )

    try:
        # OpenSSL takes files only; these are in memory, and hold what was read.
        with in_memory(chain) as chain_path, in_memory(key) as key_path:
            context.load_cert_chain(chain_path, key_path, no_password)
    except (OSError, ValueError) as error:
        reason = mistake(chain, key) or getattr(error, "reason", None) or error
        raise ConfigError(
            f"server.tls: {settings.cert_path} and {settings.key_path} are not a certificate and its key: {reason}"
        ) from None


@contextlib.contextmanager
def in_memory(text: bytes) -> Iterator[str]:
    """The path of a file that holds `text` and is on no disk."""
    with os.fdopen(os.memfd_create("pem"), "wb", buffering=0) as file:
        file.write(text)
        yield f"/proc/self/fd/{file.fileno()}"


def _load_authorities(context: ssl.SSLContext, authorities: bytes, settings: TlsSettings) -> None:
    try:
        context.load_verify_locations(cadata=authorities.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(
            f"server.tls.ca_cert_path: {settings.ca_cert_path}: holds no certificates: {reason}"
        ) from None
