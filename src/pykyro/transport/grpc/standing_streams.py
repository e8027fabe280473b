"""The streams of the standard services, Health.Watch and reflection: open for as long as their clients like, and
ended by name when the server stops.

They need no key, so they are bounded: a few on each connection, and so many in all. Beyond that the one that has been
silent longest makes room (pykyro.service.open_streams).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, TypeAlias

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.reflection import aio as reflection_aio  # type: ignore[attr-defined]

from pykyro.model.errors import ResourceExhausted
from pykyro.model.limits import STANDING_STREAMS_MAX, STANDING_STREAMS_OF_CONNECTION_MAX
from pykyro.service.fair_queue import NOBODYS, Share
from pykyro.service.in_flight import SHUTTING_DOWN
from pykyro.service.open_streams import OpenStreams

Status: TypeAlias = "health_pb2.HealthCheckResponse.ServingStatus"

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def standing_streams() -> OpenStreams:
    """The streams of both services together."""
    return OpenStreams(STANDING_STREAMS_MAX, each_max=STANDING_STREAMS_OF_CONNECTION_MAX)


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """grpc.health.v1.Health. Used on the event loop."""

    def __init__(self, streams: OpenStreams) -> None:
        self._streams = streams
        self._statuses: dict[str, Status] = {}
        self._stopping = False
        self._changed = asyncio.Event()

    def serve(self, *services: str) -> None:
        """Say that these are served."""
        self._change(dict.fromkeys(services, _SERVING))

    def stop(self) -> None:
        """Nothing is served any more; who watches hears it and is let go."""
        self._stopping = True
        self._change(dict.fromkeys(self._statuses, _NOT_SERVING))

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> health_pb2.HealthCheckResponse:
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service[:100]!r}")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:  # noqa: N802
        try:
            with self._streams.opened(_NoMessages(), _share_of(context)):
                await self._tell(request.service, context)
        except ResourceExhausted as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))

    async def _tell(self, service: str, context: Any) -> None:
        sent: Status | None = None
        while True:
            changed = self._changed
            status = self._statuses.get(service, _UNKNOWN)
            if status != sent:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                sent = status
            elif self._stopping:
                await context.abort(grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN)
            else:
                await changed.wait()

    def _change(self, statuses: dict[str, Status]) -> None:
        self._statuses |= statuses
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Reflection(reflection_aio.ReflectionServicer):  # type: ignore[misc, name-defined]
    """grpc.reflection.v1alpha.ServerReflection."""

    def __init__(self, names: Iterable[str], pool: DescriptorPool, streams: OpenStreams) -> None:
        """Tells of these services, whose messages are in `pool`."""
        super().__init__(names, pool=pool)
        self._streams = streams
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Whoever has a stream open is let go."""
        self._stopping.set()

    async def ServerReflectionInfo(  # noqa: N802
        self, request_iterator: AsyncIterator[Any], context: Any
    ) -> AsyncIterator[Any]:
        try:
            with self._streams.opened(request_iterator, _share_of(context)) as opened:
                async for response in super().ServerReflectionInfo(self._until_stop(opened), context):
                    yield response
        except ResourceExhausted as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
        if self._stopping.is_set():
            await context.abort(grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN)

    async def _until_stop(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while True:
                request = asyncio.ensure_future(anext(requests))
                await asyncio.wait({request, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not request.done():
                    request.cancel()
                    return
                try:
                    yield request.result()
                except StopAsyncIteration:
                    return
        finally:
            stopping.cancel()


class _NoMessages(AsyncIterator[bytes]):
    """What a watcher says after its request."""

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


def _share_of(context: Any) -> Share:
    peer = context.peer()
    if not peer.startswith("ipv"):  # no TCP connection
        return NOBODYS
    host, _, _ = peer.rpartition(":")
    return host, peer
