"""The service: which handler answers which RPC, over which queues."""

from __future__ import annotations

from typing import Final

from pykyro.config import Settings
from pykyro.engine.engine import Engine
from pykyro.model.arguments import Schema
from pykyro.model.types import Metric
from pykyro.service.access import Access
from pykyro.service.commits import Commits
from pykyro.service.in_flight import InFlightCalls
from pykyro.service.searches import Searches
from pykyro.service.server_state import ServerState
from pykyro.service.threads import Threads
from pykyro.service.tracing import Tracing
from pykyro.system.processors import PROCESSORS
from pykyro.transport.grpc.admin import Admin
from pykyro.transport.grpc.insert_streams import InsertStreams
from pykyro.transport.grpc.listings import Listings
from pykyro.transport.grpc.reads import Reads, start_lookups
from pykyro.transport.grpc.rpc import Handler, Rpcs
from pykyro.transport.grpc.search_codec import GrpcSearchCodec
from pykyro.transport.grpc.search_streams import SearchStreams
from pykyro.transport.grpc.writes import Writes

SEARCH_THREADS: Final = max(1, min(4, PROCESSORS // 2))
"""A search holds the interpreter lock half of its time, so more threads than that only wait for it; on two
cores a second one already costs more in handing the lock over than it brings."""
SLOW_THREADS: Final = 4
"""For flushes, snapshots, BulkQuery and the numbers behind Health and Metrics."""


class Service:
    """All RPCs over one engine. Made on the event loop that serves."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        access: Access,
        server_state: ServerState,
        tracing: Tracing | None = None,
    ) -> None:
        counters = server_state.counters
        schema = Schema(settings.hnsw.dimension, Metric(settings.hnsw.distance))
        self._commits = server_state.commits = Commits(engine, counters)
        self._lookups = start_lookups(engine, counters)
        self._threads = Threads(SLOW_THREADS)
        self._searches = Searches(
            engine,
            GrpcSearchCodec(schema),
            counters,
            concurrent_max=settings.timeouts.max_concurrent_queries,
            threads=SEARCH_THREADS,
            tracing=tracing,
            admission=server_state.admission,
        )
        self._rpcs = Rpcs(
            access,
            counters,
            server_state.calls,
            server_state.admission,
            server_state.unread,
            admins_only=settings.auth.admin_rpcs_require_admin_key,
            tracing=tracing,
        )
        self._writes = Writes(self._commits, schema, counters, tracing)
        self._reads = Reads(engine, self._lookups, self._threads, counters, server_state.admission)
        self._insert_streams = InsertStreams(
            self._commits, schema, counters, server_state.process, server_state.admission
        )
        self._search_streams = SearchStreams(self._searches, counters, server_state.calls)
        self._listings = Listings(engine, self._threads, server_state.admission)
        self._admin = Admin(server_state, engine, self._threads)

    def handlers(self) -> dict[str, Handler]:
        """Every RPC of the service by its name."""
        unary = {
            "Insert": self._writes.insert,
            "Delete": self._writes.delete,
            "UpdateMetadata": self._writes.update_metadata,
            "BatchDelete": self._writes.batch_delete,
            "Query": self._reads.query,
            "BulkQuery": self._reads.bulk_query,
            "Search": self._searches.answer,
            "Scroll": self._listings.scroll,
            "Count": self._listings.count,
            "Sample": self._listings.sample,
            "Health": self._admin.health,
            "Metrics": self._admin.metrics,
            "FlushHotTier": self._admin.flush_hot_tier,
            "CreateSnapshot": self._admin.create_snapshot,
            "GetConfig": self._admin.get_config,
        }
        client_streams = {
            "BulkInsert": self._insert_streams.bulk_insert,
            "BulkLoadHnsw": self._insert_streams.bulk_load,
        }
        return (
            {name: self._rpcs.unary(name, handler) for name, handler in unary.items()}
            | {name: self._rpcs.client_stream(name, handler) for name, handler in client_streams.items()}
            | {"BulkSearch": self._rpcs.both_streams("BulkSearch", self._search_streams.bulk_search)}
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
        await self._threads.close()
