"""The server: h2corn on a socket of ours, its bounds, its certificates, its end.

h2corn reads certificates once. New ones are served by a second server on the same socket, while the first takes no
connections any more and tells its clients to open others; a stream that is open goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import h2corn._lib
from h2corn import Config, Server

from pykyro.config import Settings
from pykyro.config.settings.server import ServerSettings
from pykyro.model.limits import (
    HANDSHAKE_S_MAX,
    HEADERS_BYTES_MAX,
    HEADERS_COUNT_MAX,
    RECEIVED_OF_CONNECTION_BYTES_MAX,
    RECEIVED_OF_STREAM_BYTES_MAX,
)
from pykyro.service.admission import Admission
from pykyro.system.descriptors import connections_to
from pykyro.transport.grpc.h2.application import Application
from pykyro.transport.grpc.rpc import Handler
from pykyro.transport.listening import Address, listen
from pykyro.transport.tls import Certificates, GrpcCertificates, in_memory

_log: Final = logging.getLogger(__name__)

_HEADERS_BYTES_READ_MAX: Final = 2 * HEADERS_BYTES_MAX
"""More than a call may have, so that most calls that have too much are refused by name."""
_DRAIN_S: Final = 7 * 86_400.0
"""For streams on connections with former certificates; a stop does not wait for them."""
_CLOSED_WITHIN_S: Final = 1.0
_PROBES: Final = 3
_PROBE_EACH_S: Final = 20
_PROBE_AFTER_S_MAX: Final = 32_767


@dataclass(frozen=True, slots=True, eq=False)
class _Generation:
    """A server of h2corn, and the task in which it serves."""

    server: Server
    serving: asyncio.Task[None]


def _say_nothing(config: Config, tls: object) -> None:
    """In place of the lines with which h2corn greets on standard error, where each line is one of our log."""


h2corn._lib.emit_banner = _say_nothing


class H2Server:
    """gRPC over h2corn. Used on the event loop."""

    def __init__(
        self,
        settings: Settings,
        services: Mapping[str, Mapping[str, Handler]],
        admission: Admission,
        certificates: GrpcCertificates | None,
        connections_max: int,
    ) -> None:
        """Connections beyond `connections_max` wait until others have ended."""
        handlers = {
            f"/{service}/{name}": handler
            for service, table in services.items()
            for name, handler in table.items()
        }
        self._application = Application(handlers, admission)
        self._server_settings = settings.server
        self._config = _config(settings, connections_max)
        self._certificates = certificates
        self._listener: socket.socket | None = None
        self._port = 0
        self._current: _Generation | None = None
        self._former: set[_Generation] = set()
        self._renewal = asyncio.Lock()
        self._renewing: set[asyncio.Task[None]] = set()

    async def start(self, address: Address) -> int:
        """Listen there and serve; the port. Raises OSError."""
        self._listener = listen(address)
        _probe_idle(self._listener, self._server_settings)
        self._port = int(self._listener.getsockname()[1])
        self._config = replace(self._config, bind=(f"fd://{self._listener.fileno()}",))
        if self._certificates is not None:
            self._certificates.follow(self._change)
        self._current = await self._generation()
        return self._port

    async def stop(self, grace_s: float) -> None:
        """Take nothing more, give what is under way so long, close everything."""
        for task in self._renewing:
            task.cancel()
        if self._listener is not None:
            self._listener.close()
        generations = [*self._former, *([self._current] if self._current is not None else [])]
        for generation in generations:
            _shut_down(generation.server)
        serving = [generation.serving for generation in generations]
        if serving:
            _, still = await asyncio.wait(serving, timeout=grace_s)
            if still:
                await asyncio.to_thread(_close_connections, self._port)
                await asyncio.wait(still, timeout=_CLOSED_WITHIN_S)
        self._application.close()

    def _change(self, _: Certificates) -> None:
        task = asyncio.get_running_loop().create_task(self._renew())
        self._renewing.add(task)
        task.add_done_callback(self._renewing.discard)

    async def _renew(self) -> None:
        async with self._renewal:
            former = self._current
            try:
                self._current = await self._generation()
            except Exception:
                _log.exception("gRPC port: the new certificates could not be put in force")
                return
            if former is not None:
                self._former.add(former)
                former.serving.add_done_callback(lambda _: self._former.discard(former))
                _shut_down(former.server)

    async def _generation(self) -> _Generation:
        """A server that accepts connections, with the current certificates."""
        with _certified(self._config, self._certificates) as config:
            server = Server(cast(Any, self._application), config)
            serving = asyncio.get_running_loop().create_task(server.serve())
            serving.add_done_callback(_report)
            try:
                await server.wait_started()
            except BaseException:
                _shut_down(server)
                raise
        return _Generation(server, serving)


def _config(settings: Settings, connections_max: int) -> Config:
    return Config(
        grpc=True,
        http1=False,
        lifespan="off",
        access_log=False,
        date_header=False,
        log_format=settings.logging.format,
        runtime_threads=1,
        max_concurrent_streams=settings.server.max_connections,
        limit_connections=connections_max,
        limit_request_fields=HEADERS_COUNT_MAX,
        h2_max_header_list_size=_HEADERS_BYTES_READ_MAX,
        h2_max_header_block_size=_HEADERS_BYTES_READ_MAX,
        h2_initial_stream_window_size=RECEIVED_OF_STREAM_BYTES_MAX,
        h2_initial_connection_window_size=RECEIVED_OF_CONNECTION_BYTES_MAX,
        timeout_handshake=HANDSHAKE_S_MAX,
        timeout_request_header=HANDSHAKE_S_MAX,
        # pykyro.service.unread_answers and .connections look after who takes no answers, or says nothing.
        timeout_keep_alive=0,
        h2_timeout_response_stall=0,
        h2_timeout_write=0,
        timeout_graceful_shutdown=_DRAIN_S,
    )


@contextlib.contextmanager
def _certified(config: Config, certificates: GrpcCertificates | None) -> Iterator[Config]:
    """The configuration with the paths of the certificates, which are there meanwhile."""
    if certificates is None:
        yield config
        return
    current = certificates.current
    with contextlib.ExitStack() as files:
        tls: dict[str, Any] = {
            "certfile": Path(files.enter_context(in_memory(current.chain))),
            "keyfile": Path(files.enter_context(in_memory(current.key))),
        }
        if certificates.require_client_cert and current.authorities is not None:
            tls["ca_certs"] = Path(files.enter_context(in_memory(current.authorities)))
            tls["cert_reqs"] = "required"
        yield replace(config, **tls)


def _probe_idle(listener: socket.socket, settings: ServerSettings) -> None:
    """Let the system ask after clients that have been silent for long; connections inherit it from the listener."""
    if not settings.connection_timeout_secs:
        return
    after_s = min(settings.connection_timeout_secs, _PROBE_AFTER_S_MAX)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, after_s)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EACH_S)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)


def _shut_down(server: Server) -> None:
    # It would tell systemd that the service is stopping, which is ours to say.
    notify = os.environ.pop("NOTIFY_SOCKET", None)
    try:
        server.shutdown()
    finally:
        if notify is not None:
            os.environ["NOTIFY_SOCKET"] = notify


def _report(serving: asyncio.Task[None]) -> None:
    if not serving.cancelled() and (error := serving.exception()) is not None:
        _log.error("gRPC port: the server ended: %s", error)


def _close_connections(port: int) -> None:
    for _, connection in connections_to((port,)):
        with contextlib.suppress(OSError):
            connection.getpeername()  # not the listener
            connection.shutdown(socket.SHUT_RDWR)
