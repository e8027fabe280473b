"""The seam to gRPC: two servers of one shape.

`grpcio` is grpc.aio. `native` is the optional package pygrpc-native, whose HTTP/2 runs outside the interpreter
lock: several times faster for unary calls, without TLS, and with a grpcio server of its own behind it for calls
that stream requests.

grpcio stops a message at MESSAGE_BYTES_MAX while it comes in and while it is inflated (from its 1.84 on). native
looks at the size only when all of it is in memory, so it serves only where it was asked for by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import time
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from pykyro.config import Settings
from pykyro.config.settings.server import ServerSettings
from pykyro.model.errors import ConfigError
from pykyro.model.limits import (
    HANDSHAKE_S_MAX,
    HEADER_TABLE_BYTES_MAX,
    HEADERS_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    PENDING_CALLS_MAX,
)
from pykyro.proto import kyrodb_pb2
from pykyro.service.in_flight import InFlightCalls, answers_have_left
from pykyro.transport.grpc.rpc import Handler
from pykyro.transport.grpc.standing_streams import HealthService, Reflection, standing_streams
from pykyro.transport.listening import Address, address_of, free_for_grpc
from pykyro.version import SERVICE

Transport: TypeAlias = Literal["grpcio", "native"]
_LAST_GRACE_S: Final = 1.0
"""For what a gRPC server still has to say when all calls have been answered, and for it to end."""
NATIVE_PACKAGE: Final = "pygrpc_native"


def choose(settings: Settings) -> Transport:
    """The transport these settings ask for. Raises ConfigError when they ask for one that cannot be had."""
    server = settings.server
    if server.transport != "native":
        return "grpcio"
    if importlib.util.find_spec(NATIVE_PACKAGE) is None:
        raise ConfigError(
            "server.transport = native needs the package pygrpc-native: "
            "pip install 'pykyro[native]', or set server.transport to auto"
        )
    if server.tls.enabled:
        raise ConfigError(
            "server.transport = native has no TLS: set server.transport to grpcio or server.tls.enabled to false"
        )
    return "native"


class GrpcServer:
    """A gRPC server with the service, grpc.health.v1 and reflection."""

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        handlers: Mapping[str, Handler],
        in_flight: InFlightCalls,
        credentials: grpc.ServerCredentials | None,
        connections_max: int,
    ) -> None:
        """Serves over TLS with `credentials`, which only grpcio can, and in clear without. `in_flight` are the calls
        in the handlers. Connections beyond `connections_max` are closed as they come; native takes them."""
        self.transport = transport
        self._in_flight = in_flight
        self._port = 0
        self._credentials = credentials
        options = _options(settings.server)
        if transport == "grpcio":
            options.append(("grpc.max_allowed_incoming_connections", connections_max))
        self._server = _new_server(transport, options)
        self._host, self._wanted_port = settings.server.host, settings.server.port
        self.address: Address | None = None
        """Where it listens, once it does."""
        table = dict(handlers)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, table),))
        self._server.add_registered_method_handlers(SERVICE, table)  # type: ignore[attr-defined]
        standing = standing_streams()
        self._health = HealthService(standing)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
        self._reflection = Reflection(names, pool=_described(), streams=standing)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(self._reflection, self._server)

    async def start(self) -> int:
        """Bind and serve; the port. Raises ConfigError when the address cannot be had."""
        try:
            self.address = address_of(self._host, self._wanted_port)
            with free_for_grpc(self.address):
                if self._credentials is not None:
                    self._port = self._server.add_secure_port(str(self.address), self._credentials)
                else:
                    self._port = self._server.add_insecure_port(str(self.address))
        except (RuntimeError, OSError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise ConfigError(
                f"server.port: cannot listen on {self._host}:{self._wanted_port}: {reason}"
            ) from error
        await self._server.start()
        self._health.serve("", SERVICE)
        return self._port

    async def drain(self, grace_s: float) -> None:
        """Refuse new calls and give those under way so long to finish."""
        end_s = time.monotonic() + grace_s
        self._in_flight.drain()
        self._reflection.stop()
        self._health.stop()
        # The stop() of native closes its connections with answers still in its buffers; that of grpcio cancels calls
        # that have come in and not yet begun, which are refused by name until then.
        await answers_have_left(self._in_flight, self._port, grace_s)
        await self.stop(max(0.0, min(_LAST_GRACE_S, end_s - time.monotonic())))

    async def stop(self, grace_s: float = 0.0) -> None:
        """End everything; nothing of the service is under way any more, or nobody is to be waited for."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.stop(grace_s), grace_s + _LAST_GRACE_S)


def _described() -> DescriptorPool:
    """What reflection tells of: our own messages, which are in no pool of others, and the standard services."""
    pool = DescriptorPool()
    for file in (kyrodb_pb2.DESCRIPTOR, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        pool.AddSerializedFile(file.serialized_pb)
    return pool


def _new_server(transport: Transport, options: list[tuple[str, int]]) -> grpc.aio.Server:
    if transport == "native":
        # `from pygrpc_native import aio` never ends in its 0.5.
        import pygrpc_native.aio

        return pygrpc_native.aio.server(options=options)
    return grpc.aio.server(options=options)


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
