"""The RPCs that address documents, over the engine of one collection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from pykyro.engine.engine import Engine
from pykyro.service.access import Caller
from pykyro.service.commits import Commits
from pykyro.service.leaders import Leaders
from pykyro.service.open_streams import OpenStream
from pykyro.service.searches import Searches
from pykyro.service.server_state import ServerState
from pykyro.service.tenant_quotas import TenantQuotas
from pykyro.service.threads import Threads
from pykyro.service.tracing import Tracing
from pykyro.transport.grpc.admin import Admin
from pykyro.transport.grpc.insert_streams import InsertStreams
from pykyro.transport.grpc.listings import Listings
from pykyro.transport.grpc.reads import Lookups, Reads
from pykyro.transport.grpc.search_codec import GrpcSearchCodec
from pykyro.transport.grpc.search_streams import SearchStreams
from pykyro.transport.grpc.writes import Writes

Unary: TypeAlias = Callable[[bytes, Caller], Awaitable[bytes]]
ClientStream: TypeAlias = Callable[[OpenStream, Caller], Awaitable[bytes]]
BothStreams: TypeAlias = Callable[[OpenStream, Caller], AsyncGenerator[bytes]]


@dataclass(frozen=True, slots=True)
class Shared:
    """What the collections of a server have in common: its queues and threads."""

    server_state: ServerState
    searches: Searches
    lookups: Lookups
    threads: Threads
    leaders: Leaders
    tracing: Tracing | None
    quotas: TenantQuotas | None = None


class CollectionService:
    """The handlers of one collection. Made on the event loop that serves, a few microseconds' work."""

    def __init__(
        self, engine: Engine, commits: Commits, searches: Searches, shared: Shared, number: int = 0
    ) -> None:
        server_state, schema = shared.server_state, engine.schema
        counters, admission = server_state.counters, server_state.admission
        writes = Writes(commits, schema, counters, shared.tracing)
        reads = Reads(engine, shared.lookups, shared.threads, counters, admission)
        listings = Listings(engine, shared.threads, admission)
        insert_streams = InsertStreams(commits, schema, counters, server_state.process, admission)
        admin = Admin(server_state, engine, shared.threads)
        self.engine = engine
        self._number = number
        self._quotas = shared.quotas
        self._threads = shared.threads
        self._numbers: dict[str, int] = {}
        self.unary: Final[dict[str, Unary]] = {
            "Insert": writes.insert,
            "BatchInsert": writes.batch_insert,
            "Delete": writes.delete,
            "UpdateMetadata": writes.update_metadata,
            "BatchDelete": writes.batch_delete,
            "Query": reads.query,
            "BulkQuery": reads.bulk_query,
            "Search": searches.answer,
            "Scroll": listings.scroll,
            "Count": listings.count,
            "Sample": listings.sample,
            "Facets": listings.facets,
            "Metrics": admin.metrics,
            "FlushHotTier": admin.flush_hot_tier,
            "Compact": admin.compact,
            "CreateSnapshot": admin.create_snapshot,
            "GetConfig": admin.get_config,
        }
        self.client_streams: Final[dict[str, ClientStream]] = {
            "BulkInsert": insert_streams.bulk_insert,
            "BulkLoadHnsw": insert_streams.bulk_load,
        }
        self.both_streams: Final[dict[str, BothStreams]] = {
            "BulkSearch": SearchStreams(searches, counters, server_state.calls).bulk_search
        }

    @classmethod
    def of_collection(cls, engine: Engine, number: int, shared: Shared) -> CollectionService:
        """Those of a collection that is not `default`, in the queues and threads of all."""
        commits = Commits(engine, shared.server_state.counters, leaders=shared.leaders)
        searches = shared.searches.of_collection(engine, GrpcSearchCodec(engine.schema))
        return cls(engine, commits, searches, shared, number)

    async def caller_here(self, caller: Caller) -> Caller:
        """The same caller with the number its tenant has in this collection. Each collection numbers its tenants
        itself, so that it can be restored alone, into another database too. Raises WriteFailed, ResourceExhausted."""
        tenant_id = caller.tenant_id
        if caller.tenant is None:
            return caller
        number = self._numbers.get(tenant_id)
        if number is None:
            numbers = await self._threads.run(lambda: self.engine.tenant_indices([tenant_id]))
            number = numbers[tenant_id]
            if self.engine.following is None:
                # A follower may yet be told the number of a tenant that is new to it.
                self._numbers[tenant_id] = number
        here = _CallerHere(caller)
        here.tenant = number
        if self._quotas is not None and caller.limit is not None:
            here.limit = self._quotas.within(caller.limit, self._number)
        return here


class _CallerHere(Caller):
    """A caller within one collection. A reload reaches it by whom it stands for."""

    __slots__ = ("_stands_for",)

    def __init__(self, stands_for: Caller) -> None:
        for name in Caller.__dataclass_fields__:
            setattr(self, name, getattr(stands_for, name))
        self._stands_for = stands_for

    def spend(self) -> None:
        self._stands_for.spend()
