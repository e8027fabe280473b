"""From start to end of the server:

    HTTP up as "starting" → lock and recovery → gRPC bound → ready → (signal) → draining → closed

Everything is torn down in the reverse order, whatever fails.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import uvloop
from threadpoolctl import threadpool_limits

from pykyro.config import Loaded, Settings
from pykyro.database.collections import Collections
from pykyro.engine.engine import Engine
from pykyro.memory.budget import MemoryBudget
from pykyro.model.errors import KyroError, causes
from pykyro.server.health_log import logging_health
from pykyro.server.reload import Reload
from pykyro.server.replicas import Replica
from pykyro.server.security import Security, TlsPorts, read_keys
from pykyro.server.signals import SealRequests, Stop, signals_ask_for
from pykyro.server.systemd import notify, notify_alive, notify_ready
from pykyro.service.certificates import ExpiryWatch
from pykyro.service.connections import ConnectionBounds, Connections, raise_file_limit
from pykyro.service.scheduled_backups import ScheduledBackups
from pykyro.service.server_state import HEARTBEAT_S, ServerState
from pykyro.service.threads import in_thread_of_its_own
from pykyro.service.tracing import Tracing, start_tracing
from pykyro.system.descriptors import make_standard_error_nonblocking
from pykyro.telemetry import logs
from pykyro.telemetry.health import Phase
from pykyro.transport.grpc.service import Service
from pykyro.transport.grpc.transport import GrpcServer, Transport, choose
from pykyro.transport.http.backend import Backend
from pykyro.transport.http.http import HttpServer, serving_http
from pykyro.version import __version__

_log: Final = logging.getLogger(__name__)

SWITCH_INTERVAL_S: Final = 0.0005
"""How long a thread may keep the interpreter while others want it. With Python's own 5 ms the event loop, which needs
it for microseconds at a time, stops whenever a worker decodes: BulkSearch does a fifth more with this."""


_RECOVERY_GRACE_S: Final = 1.0
"""For a recovery that is about to end when the server is told to stop: then the log is closed as ever."""


def run(loaded: Loaded, load_again: Callable[[], Loaded], backups: ScheduledBackups | None = None) -> None:
    """Serve until SIGTERM or SIGINT; `load_again` reads the configuration again for SIGHUP; `backups` run in the
    background.

    Raises KyroError and OSError for whatever keeps the server from starting or from stopping cleanly.
    """
    settings = loaded.settings
    make_standard_error_nonblocking()
    logs.configure(settings.logging)
    _log.info("kyrodb_server %s, configuration: %s", __version__, loaded.path or "defaults and environment")
    for warning in loaded.warnings:
        _log.warning("%s", warning)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # One search is one thread's work; a team for each matrix product would spin on the processors of the others.
    threadpool_limits(limits=1, user_api="blas")
    try:
        while uvloop.run(_serve(settings, load_again, backups)):
            _log.warning("this server was made the leader, and starts as such")
    except _RecoveryAbandoned:
        _log.info("stopped before recovery had finished; nothing is lost, and the next start repeats it")
        logs.flush()
        # Its thread is at work in the middle of everything the interpreter would take apart.
        os._exit(0)
    except (KyroError, OSError) as error:
        # Also to the log file, where operators look.
        _log.error("stopped: %s", " <- ".join(map(str, (error, *causes(error)))))
        logs.flush()
        raise


class _RecoveryAbandoned(Exception):
    """A signal came before the database was recovered."""


@dataclass(frozen=True, slots=True)
class _Ground:
    """What a server stands on before its database is open."""

    server_state: ServerState
    load_again: Callable[[], Loaded]
    files_max: int
    """Files the process may open."""
    transport: Transport
    ports: TlsPorts
    tracing: Tracing | None
    stop: Stop


async def _serve(
    settings: Settings, load_again: Callable[[], Loaded], backups: ScheduledBackups | None
) -> bool:
    """Whether it is to be done again, since the server was a follower and leads now."""
    files_max, transport = raise_file_limit(), choose(settings)
    server_state = ServerState(settings)
    server_state.backups = backups
    server_state.keys = read_keys(settings)
    ports = TlsPorts.open(settings)
    tracing, stop = start_tracing(settings.tracing), Stop()
    ground = _Ground(server_state, load_again, files_max, transport, ports, tracing, stop)
    server_state.certificates = lambda: ports.validity
    connections_max = ConnectionBounds.of(files_max).http
    with (
        serving_http(server_state, ports.http, connections_max=connections_max) as http,
        logging_health(server_state),
    ):
        _log.info("HTTP on %s port %d", http.host, http.port)
        notify("STATUS=recovering the database")
        replica, engine = await _opened(settings, server_state.memory, stop)
        try:
            collections = await asyncio.to_thread(replica.open_collections, engine)
            server_state.opened(engine, server_state.process.uptime_s, collections)
            await _serve_database(ground, http, replica, engine, collections)
        finally:
            server_state.phase = Phase.STOPPED
            await asyncio.to_thread(replica.stop)
            try:
                if server_state.collections is not None:
                    await asyncio.to_thread(server_state.collections.close)
            finally:
                await asyncio.to_thread(engine.close)
    leads = replica.follower is not None and replica.follower.promoted is not None
    if leads:
        await asyncio.to_thread(replica.take_lead)
    _log.info("stopped")
    return leads


async def _serve_database(
    ground: _Ground, http: HttpServer, replica: Replica, engine: Engine, collections: Collections
) -> None:
    """Serve what is open until the server is to stop."""
    server_state, ports, stop = ground.server_state, ground.ports, ground.stop
    settings, backups = server_state.settings, server_state.backups
    bounds, loop = ConnectionBounds.of(ground.files_max), asyncio.get_running_loop()
    security = await asyncio.to_thread(
        Security, settings, engine, server_state.keys, ports, server_state.counts
    )

    def stop_to_lead() -> None:
        loop.call_soon_threadsafe(stop.ask)

    await asyncio.to_thread(replica.start, server_state, collections, stop_to_lead)
    reload = Reload(server_state, engine, security, ground.load_again)
    seals = SealRequests(engine)
    asked_by = {signal.SIGHUP: reload.request, signal.SIGUSR1: seals.request}
    service = Service(settings, collections, security.access, server_state, ground.tracing)
    handlers = service.handlers()
    server = GrpcServer(
        settings,
        ground.transport,
        handlers,
        service.in_flight,
        server_state.admission,
        ports.grpc,
        bounds.grpc,
    )
    server_state.usage_reporter = security.usage_reporter
    ports_bounds = {settings.server.port: bounds.grpc, http.port: bounds.http}
    server_state.connections = Connections(
        ports_bounds, files_max=ground.files_max, memory=server_state.memory
    )
    running = (
        reload.run(),
        seals.run(),
        security.run(),
        *([] if server_state.quotas is None else [server_state.quotas.run(security.access)]),
        server_state.connections.run(),
        server_state.admission.run(),
        server_state.unread.run(),
        _beat(server_state),
        *([] if replica.follower is None else [security.follow_tenants()]),
    )
    background = [asyncio.create_task(work) for work in running]
    try:
        if backups is not None:
            backups.start()
        if http.rest is not None:
            http.rest.open(Backend(handlers, collections, server_state.admission, loop))
        with signals_ask_for(asked_by):
            await _serve_grpc(server, server_state, stop)
    finally:
        if http.rest is not None:
            http.rest.close()
        for task in background:
            task.cancel()
        if backups is not None:
            await asyncio.to_thread(backups.stop)
        await service.close()
        if ground.tracing is not None:
            await asyncio.to_thread(ground.tracing.close)
        await asyncio.to_thread(security.close)


async def _serve_grpc(server: GrpcServer, server_state: ServerState, stop: Stop) -> None:
    settings = server_state.settings.server
    if stop.asked:
        return
    port = await server.start()
    server_state.phase = Phase.SERVING
    host = server.address.host if server.address is not None else settings.host
    _log.info("gRPC on %s port %d (%s)", host, port, server.transport)
    _log.info("Server ready to accept connections")
    notify_ready(f"serving gRPC on port {port}")
    await stop.wait()
    server_state.phase = Phase.DRAINING
    notify("STOPPING=1", "STATUS=finishing in-flight calls")
    _log.info("draining: in-flight calls have %d s to finish", settings.shutdown_timeout_secs)
    await stop.unless_again(server.drain(settings.shutdown_timeout_secs))
    await server.stop()


async def _opened(settings: Settings, memory: MemoryBudget, stop: Stop) -> tuple[Replica, Engine]:
    """The engine, recovered, and the part it has in an archive. Raises _RecoveryAbandoned when a signal comes first
    and recovery is not about to end."""

    def open_all() -> tuple[Replica, Engine]:
        replica = Replica(settings, memory)
        return replica, replica.open_engine()

    opening = in_thread_of_its_own("recovery", open_all)
    if await stop.comes_before(opening):
        _log.info("stopping without waiting for recovery")
        await stop.unless_again(asyncio.wait({opening}, timeout=_RECOVERY_GRACE_S))
        if not opening.done():
            raise _RecoveryAbandoned
    return opening.result()


async def _beat(server_state: ServerState) -> None:
    expiry = ExpiryWatch(server_state.certificates)
    while True:
        server_state.beat()
        expiry.look()
        server_state.counters.tick()
        notify_alive()
        await asyncio.sleep(HEARTBEAT_S)
