"""The parts that protect the running server: keys, rates and certificates, read together and replaced together."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from dataclasses import dataclass
from typing import Final

from pykyro.config import Settings
from pykyro.database.counts import KnownCounts
from pykyro.engine.engine import Engine
from pykyro.service.access import Access, KeyAccess, OpenAccess
from pykyro.service.certificates import Validity
from pykyro.service.usage_reporter import UsageReporter
from pykyro.tenancy.key_file import read_key_file
from pykyro.tenancy.key_ring import KeyRing
from pykyro.tenancy.rate_limit import RateLimiter
from pykyro.transport.tls import Certificates, GrpcCertificates, HttpCertificates, http_context

_log: Final = logging.getLogger(__name__)

NO_KEYS: Final = KeyRing(())
_FOLLOW_S: Final = 1.0
"""Between two looks of a follower for new tenants."""


def read_keys(settings: Settings) -> KeyRing:
    """The keys in force with these settings, none without auth; logs what the file should not hold.

    Raises ConfigError.
    """
    path = settings.auth.api_keys_file
    if not settings.auth.enabled or path is None:
        return NO_KEYS
    only_loopback = settings.server.grpc_is_loopback and settings.server.http_is_loopback
    file = read_key_file(path, only_loopback=only_loopback)
    for warning in file.warnings:
        _log.warning("%s", warning)
    ring = KeyRing(file.keys)
    _log.info("%d API keys of %d tenants are enabled", len(ring), len(ring.tenants))
    return ring


@dataclass(slots=True)
class TlsPorts:
    """The certificates of the ports that serve TLS."""

    grpc: GrpcCertificates | None = None
    http: HttpCertificates | None = None
    validity: tuple[Validity, ...] = ()
    """Of the certificates in force."""

    @classmethod
    def open(cls, settings: Settings) -> TlsPorts:
        """As the settings say. Raises ConfigError."""
        tls = settings.server.tls
        if not tls.enabled:
            return cls()
        certificates = Certificates.read(tls)
        return cls(
            GrpcCertificates(certificates, require_client_cert=tls.require_client_cert),
            HttpCertificates(http_context(tls, certificates)) if tls.http != "off" else None,
            certificates.validity,
        )


@dataclass(frozen=True, slots=True)
class Replacement:
    """The result of a reload without faults."""

    settings: Settings
    keys: KeyRing
    indices: dict[str, int]
    certificates: Certificates | None
    http: ssl.SSLContext | None


class Security:
    """Access, rate limits and usage over an open engine."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        keys: KeyRing,
        ports: TlsPorts,
        counts: KnownCounts | None = None,
    ) -> None:
        """Numbers tenants that are new. Raises WriteFailed, ResourceExhausted, OSError."""
        self._engine = engine
        self._ports = ports
        self._limiter = RateLimiter(settings.rate_limit, time.monotonic)
        self.usage_reporter: UsageReporter | None = None
        self.access: Access
        if settings.auth.enabled:
            self.usage_reporter = UsageReporter(engine, counts)
            indices = engine.tenant_indices(sorted(keys.tenants))
            self.access = KeyAccess(keys, indices, self._limiter, self.usage_reporter.ledger)
        else:
            self.access = OpenAccess(self._limiter)

    async def run(self) -> None:
        """Keep the usage until cancelled."""
        if self.usage_reporter is not None:
            await self.usage_reporter.run()

    async def follow_tenants(self) -> None:
        """On a follower, until cancelled: learn the numbers that the leader gives to tenants that were new."""
        while isinstance(self.access, KeyAccess):
            self.access.follow_tenants(self._engine.tenant_indices(sorted(self.access.ring.tenants)))
            await asyncio.sleep(_FOLLOW_S)

    def close(self) -> None:
        """Keep the usage for the last time, when nothing is counted any more and before the engine is closed."""
        if self.usage_reporter is not None:
            self.usage_reporter.close()

    def read(self, settings: Settings) -> Replacement:
        """Read everything again. Nothing is applied yet, except that new tenants have numbers. From any thread.

        Raises ConfigError, WriteFailed, ResourceExhausted.
        """
        keys, tls = read_keys(settings), settings.server.tls
        certificates = Certificates.read(tls) if self._ports.grpc is not None else None
        return Replacement(
            settings,
            keys,
            self._engine.tenant_indices(sorted(keys.tenants)),
            certificates,
            None if self._ports.http is None or certificates is None else http_context(tls, certificates),
        )

    def replace(self, replacement: Replacement) -> None:
        """Put it in force. On the event loop."""
        self._limiter.change(replacement.settings.rate_limit)
        if isinstance(self.access, OpenAccess):
            self.access.follow_limits()
        elif isinstance(self.access, KeyAccess):
            self.access.replace(replacement.keys, replacement.indices)
        if self._ports.grpc is not None and replacement.certificates is not None:
            self._ports.grpc.replace(replacement.certificates)
            self._ports.validity = replacement.certificates.validity
        if self._ports.http is not None and replacement.http is not None:
            self._ports.http.replace(replacement.http)
