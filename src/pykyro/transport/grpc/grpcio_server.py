"""gRPC over grpcio: grpc.aio, the server of the gRPC project itself.

It stops a message at MESSAGE_BYTES_MAX while it comes in and while it is inflated (from its 1.84 on).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import grpc

from pykyro.config.settings.server import ServerSettings
from pykyro.model.limits import (
    HANDSHAKE_S_MAX,
    HEADER_TABLE_BYTES_MAX,
    HEADERS_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    PENDING_CALLS_MAX,
)
from pykyro.transport.grpc.rpc import Handler
from pykyro.transport.listening import Address, free_for_grpc
from pykyro.transport.tls import Certificates, GrpcCertificates


class GrpcioServer:
    """Used on the event loop."""

    def __init__(
        self,
        settings: ServerSettings,
        services: Mapping[str, Mapping[str, Handler]],
        certificates: GrpcCertificates | None,
        connections_max: int,
    ) -> None:
        """Connections beyond `connections_max` are closed as they come."""
        self._credentials = None if certificates is None else _Credentials(certificates).credentials
        options = [*_options(settings), ("grpc.max_allowed_incoming_connections", connections_max)]
        self._server = grpc.aio.server(options=options)
        for service, handlers in services.items():
            table = dict(handlers)
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, table),))
            self._server.add_registered_method_handlers(service, table)  # type: ignore[attr-defined]

    async def start(self, address: Address) -> int:
        """Listen there and serve; the port. Raises RuntimeError, OSError."""
        with free_for_grpc(address):
            if self._credentials is not None:
                port = self._server.add_secure_port(str(address), self._credentials)
            else:
                port = self._server.add_insecure_port(str(address))
        await self._server.start()
        return port

    async def stop(self, grace_s: float) -> None:
        """Take nothing more, give what is under way so long, close everything."""
        await self._server.stop(grace_s)


class _Credentials:
    """gRPC calls this for a certificate at each handshake."""

    def __init__(self, certificates: GrpcCertificates) -> None:
        self._changed: grpc.ServerCertificateConfiguration | None = None
        self.credentials = grpc.dynamic_ssl_server_credentials(
            _configuration(certificates.current),
            self._fetch,  # type: ignore[arg-type]  # the stub forgets that None means "as before"
            require_client_authentication=certificates.require_client_cert,
        )
        certificates.follow(self._change)

    def _change(self, certificates: Certificates) -> None:
        self._changed = _configuration(certificates)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """A configuration that is new since the last time, None when there is none."""
        changed, self._changed = self._changed, None
        return changed


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(certificates.key, certificates.chain)], root_certificates=certificates.authorities
    )


_NEVER_MS: Final = 2**31 - 1
"""As gRPC writes it; left out, it would be two hours."""


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        ("grpc.max_concurrent_streams", settings.max_connections),
        ("grpc.server_handshake_timeout_ms", int(HANDSHAKE_S_MAX * 1000)),
        ("grpc.keepalive_time_ms", min(settings.connection_timeout_secs * 1000, _NEVER_MS) or _NEVER_MS),
        # Beyond the second figure a call is refused, beyond the first by chance: so there is one.
        ("grpc.max_metadata_size", HEADERS_BYTES_MAX),
        ("grpc.absolute_max_metadata_size", HEADERS_BYTES_MAX),
        ("grpc.http2.hpack_table_size.decoder", HEADER_TABLE_BYTES_MAX),
        ("grpc.http2.hpack_table_size.encoder", HEADER_TABLE_BYTES_MAX),
        # Two servers on one port would each get half of the calls.
        ("grpc.so_reuseport", 0),
        # Calls that nobody has looked at yet. What is beyond is cancelled without a reason, by chance from the first
        # number on, so that is to be out of reach of bursts: those are refused by name, see Batcher.
        ("grpc.server.max_pending_requests", PENDING_CALLS_MAX),
        ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS_MAX),
    ]
