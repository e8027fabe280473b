"""The service: which handler answers which RPC, over which queues."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from pykyro.config import Settings
from pykyro.database.collections import Collections
from pykyro.service.access import Access
from pykyro.service.commits import Commits
from pykyro.service.in_flight import InFlightCalls
from pykyro.service.leaders import Leaders
from pykyro.service.searches import Searches
from pykyro.service.server_state import ServerState
from pykyro.service.threads import Threads
from pykyro.service.tracing import Tracing
from pykyro.system.processors import PROCESSORS
from pykyro.transport.grpc.admin import Admin
from pykyro.transport.grpc.catalogue import CatalogueRpcs
from pykyro.transport.grpc.collection_service import CollectionService, Shared
from pykyro.transport.grpc.reads import start_lookups
from pykyro.transport.grpc.routing import Routes
from pykyro.transport.grpc.rpc import Handler, Rpcs
from pykyro.transport.grpc.search_codec import GrpcSearchCodec

SEARCH_THREADS: Final = max(1, min(4, PROCESSORS // 2))
"""A search holds the interpreter lock half of its time, so more threads than that only wait for it; on two
cores a second one already costs more in handing the lock over than it brings."""
SLOW_THREADS: Final = 4
"""For flushes, snapshots, BulkQuery and the numbers behind Health and Metrics."""


class Service:
    """All RPCs over the collections of a database. Made on the event loop that serves."""

    def __init__(
        self,
        settings: Settings,
        collections: Collections,
        access: Access,
        server_state: ServerState,
        tracing: Tracing | None = None,
    ) -> None:
        counters = server_state.counters
        engine = collections.default_engine
        self._commits = server_state.commits = Commits(engine, counters)
        self._lookups = start_lookups(counters)
        self._threads = Threads(SLOW_THREADS)
        self._leaders = Leaders()
        self._searches = Searches(
            engine,
            GrpcSearchCodec(engine.schema),
            counters,
            concurrent_max=settings.timeouts.max_concurrent_queries,
            threads=SEARCH_THREADS,
            tracing=tracing,
            admission=server_state.admission,
        )
        shared = Shared(
            server_state,
            self._searches,
            self._lookups,
            self._threads,
            self._leaders,
            tracing,
            server_state.quotas,
        )
        self._default = CollectionService(engine, self._commits, self._searches, shared)
        self._routes = Routes(
            collections,
            self._default,
            lambda opened, number: CollectionService.of_collection(opened, number, shared),
        )
        self._rpcs = Rpcs(
            access,
            counters,
            server_state.calls,
            server_state.admission,
            server_state.unread,
            admins_only=settings.auth.admin_rpcs_require_admin_key,
            tracing=tracing,
            routes=self._routes,
        )
        self._admin = Admin(server_state, engine, self._threads)
        self._catalogue = CatalogueRpcs(collections, self._threads)

    def handlers(self) -> dict[str, Handler]:
        """Every RPC of the service by its name."""
        unary = {**self._default.unary, **self._catalogue.unary, "Health": self._admin.health}
        streams, routes = self._rpcs.client_stream, self._routes
        return (
            {name: self._rpcs.unary(name, handler) for name, handler in unary.items()}
            | {
                name: streams(name, partial(routes.client_stream, name))
                for name in self._default.client_streams
            }
            | {
                name: self._rpcs.both_streams(name, partial(routes.both_streams, name))
                for name in self._default.both_streams
            }
        )

    @property
    def in_flight(self) -> InFlightCalls:
        """The calls being served."""
        return self._rpcs.in_flight

    async def close(self) -> None:
        """Finish what was handed over: every search in the queue is answered, every write committed."""
        await self._searches.close()
        await self._lookups.close()
        await self._commits.close()
        await self._routes.close()
        await self._threads.close()
        await asyncio.to_thread(self._leaders.close)
