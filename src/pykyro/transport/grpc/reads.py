"""Query and BulkQuery. Search needs no handler of its own: see service/searches.py."""

from __future__ import annotations

import time
from typing import TypeAlias

from pykyro.engine.engine import Engine
from pykyro.model.arguments import checked_namespace
from pykyro.model.errors import CallError, KyroError
from pykyro.model.limits import DOC_ID_MIN, LOOKUP_BATCH, WAITING_LOOKUPS_MAX
from pykyro.model.requests import Found, Tier
from pykyro.model.types import Scope
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.access import Caller
from pykyro.service.batching import Batcher
from pykyro.service.threads import Threads
from pykyro.telemetry.counters import Counters
from pykyro.transport.grpc import decode
from pykyro.transport.grpc.encode import bulk_query_response, query_response

Lookups: TypeAlias = Batcher[tuple[int, Scope], Found | None]


def start_lookups(engine: Engine, counters: Counters) -> Lookups:
    """The queue of lookups of one document each."""

    def look_up(asked: list[tuple[int, Scope]]) -> list[Found | None]:
        return [engine.get(doc_id, scope) for doc_id, scope in asked]

    return Batcher(
        "lookup",
        look_up,
        threads=1,
        batch_max=LOOKUP_BATCH,
        waiting_max=WAITING_LOOKUPS_MAX,
        full="Query queue saturated: {waiting} in-flight lookups (max: {max})",
        observe_wait=counters.queue_waits["lookup"].observe,
    )


class Reads:
    """The unary RPCs that look documents up by id."""

    def __init__(
        self,
        engine: Engine,
        lookups: Lookups,
        threads: Threads,
        counters: Counters,
    ) -> None:
        self._engine = engine
        self._lookups = lookups
        self._threads = threads
        self._counters = counters

    async def query(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.QueryRequest, payload)
        doc_id = decode.checked_doc_id(request.doc_id)
        scope = caller.scope(checked_namespace(request.namespace))
        started_ns = time.perf_counter_ns()
        try:
            found = await self._lookups.submit((doc_id, scope))
        except KyroError as error:
            self._counters.query_failed()
            raise CallError("Query failed", error) from error
        caller.usage.queries += 1
        self._counters.query(time.perf_counter_ns() - started_ns, alone=True)
        self._count(found)
        return query_response(doc_id, found, include_embedding=request.include_embedding)

    async def bulk_query(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.BulkQueryRequest, payload)
        decode.check_batch(len(request.doc_ids))
        scope = caller.scope(checked_namespace(request.namespace))
        doc_ids = list(request.doc_ids)

        def look_up() -> list[tuple[Found | None, bytes]]:
            answers = []
            for doc_id in doc_ids:
                found = self._engine.get(doc_id, scope, cached=False) if doc_id >= DOC_ID_MIN else None
                response = query_response(doc_id, found, include_embedding=request.include_embeddings)
                answers.append((found, response))
            return answers

        started_ns = time.perf_counter_ns()
        try:
            answers = await self._threads.run(look_up)
        except KyroError as error:
            self._counters.query_failed()
            raise CallError("Bulk query failed", error) from error
        caller.usage.queries += len(doc_ids)
        self._counters.query(time.perf_counter_ns() - started_ns, alone=False)
        for found, _ in answers:
            self._count(found)
        total_found = sum(found is not None for found, _ in answers)
        return bulk_query_response([response for _, response in answers], total_found)

    def _count(self, found: Found | None) -> None:
        tier = found.tier if found is not None else None
        self._counters.served(cache=tier is Tier.CACHE, hot=tier is Tier.HOT, cold=tier is Tier.COLD)
