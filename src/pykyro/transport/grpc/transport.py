"""The seam to gRPC: two servers of one shape.

`h2corn` is an HTTP/2 server in Rust, with the rules of gRPC in pykyro.transport.grpc.h2: several times faster than
`grpcio`, which is grpc.aio. Both serve the same handlers, with TLS and without.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from pykyro.config import Settings
from pykyro.model.errors import ConfigError
from pykyro.proto import kyrodb_pb2
from pykyro.service.admission import Admission
from pykyro.service.in_flight import InFlightCalls, answers_have_left
from pykyro.transport.grpc.grpcio_server import GrpcioServer
from pykyro.transport.grpc.rpc import Handler
from pykyro.transport.grpc.standing_streams import HealthService, Reflection, standing_streams
from pykyro.transport.listening import Address, address_of
from pykyro.transport.tls import GrpcCertificates
from pykyro.version import SERVICE

if TYPE_CHECKING:
    from pykyro.transport.grpc.h2.server import H2Server

Transport: TypeAlias = Literal["grpcio", "h2corn"]
_LAST_GRACE_S: Final = 1.0
"""For what a gRPC server still has to say when all calls have been answered, and for it to end."""
_H2CORN: Final = "h2corn"


def choose(settings: Settings) -> Transport:
    """The transport these settings ask for. Raises ConfigError when they ask for one that cannot be had."""
    if settings.server.transport in ("auto", "grpcio"):
        return "grpcio"
    if importlib.util.find_spec(_H2CORN) is not None:
        return "h2corn"
    raise ConfigError(
        "server.transport = h2corn needs the package h2corn, which has no wheel for this machine: set "
        "server.transport to auto or grpcio"
    )


class _Services:
    """What is registered at a gRPC server: the handlers of each service."""

    def __init__(self) -> None:
        self.handlers: dict[str, Mapping[str, Handler]] = {}

    def add_generic_rpc_handlers(self, _: object) -> None:
        """The same handlers come by the other method."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        self.handlers[service] = handlers


class GrpcServer:
    """A gRPC server with the service, grpc.health.v1 and reflection."""

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        handlers: Mapping[str, Handler],
        in_flight: InFlightCalls,
        admission: Admission,
        certificates: GrpcCertificates | None,
        connections_max: int,
    ) -> None:
        """Serves over TLS with `certificates`, in clear without. `in_flight` are the calls in the handlers; there are
        at most `connections_max` connections."""
        self.transport = transport
        self._in_flight = in_flight
        self._port = 0
        self._host, self._wanted_port = settings.server.host, settings.server.port
        self.address: Address | None = None
        """Where it listens, once it does."""
        services = _Services()
        services.handlers[SERVICE] = handlers
        standing = standing_streams()
        self._health = HealthService(standing)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, services)
        names = (SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
        self._reflection = Reflection(names, pool=_described(), streams=standing)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(self._reflection, services)
        self._server: GrpcioServer | H2Server
        if transport == "grpcio":
            self._server = GrpcioServer(settings.server, services.handlers, certificates, connections_max)
        else:
            # Not needed, and perhaps not there, with the other one.
            from pykyro.transport.grpc.h2.server import H2Server

            self._server = H2Server(settings, services.handlers, admission, certificates, connections_max)

    async def start(self) -> int:
        """Bind and serve; the port. Raises ConfigError when the address cannot be had."""
        try:
            self.address = address_of(self._host, self._wanted_port)
            self._port = await self._server.start(self.address)
        except (RuntimeError, OSError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise ConfigError(
                f"server.port: cannot listen on {self._host}:{self._wanted_port}: {reason}"
            ) from error
        self._health.serve("", SERVICE)
        return self._port

    async def drain(self, grace_s: float) -> None:
        """Refuse new calls and give those under way so long to finish."""
        end_s = time.monotonic() + grace_s
        self._in_flight.drain()
        self._reflection.stop()
        self._health.stop()
        # The stop() of grpcio cancels calls that have come in and not yet begun, which are refused by name until
        # then.
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
