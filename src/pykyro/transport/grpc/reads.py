"""Query and BulkQuery. Search needs no handler of its own: see service/searches.py."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeAlias

from pykyro.engine.engine import Engine
from pykyro.model.arguments import checked_namespace
from pykyro.model.errors import CallError, KyroError
from pykyro.model.limits import LOOKUP_BATCH, WAITING_LOOKUPS_MAX
from pykyro.model.requests import Found, Tier
from pykyro.model.types import AnyId, Scope
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.access import Caller
from pykyro.service.admission import Admission
from pykyro.service.batching import Batcher
from pykyro.service.threads import Threads
from pykyro.telemetry.counters import Counters
from pykyro.transport.grpc import decode
from pykyro.transport.grpc.decode_options import freshness_of
from pykyro.transport.grpc.encode import bulk_query_response, query_response

Lookups: TypeAlias = Batcher[tuple[Engine, AnyId, Scope], Found | None]

_NO_DOCUMENT: Final = 0
"""An id that no document has."""
_RESULT_BYTES: Final = 40
"""Of one result in the answer, beside metadata and vector."""


def start_lookups(counters: Counters) -> Lookups:
    """The queue of lookups of one document each, of any collection."""

    def look_up(asked: list[tuple[Engine, AnyId, Scope]]) -> list[Found | None]:
        return [engine.get(doc_id, scope) for engine, doc_id, scope in asked]

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
        admission: Admission,
    ) -> None:
        self._engine = engine
        self._lookups = lookups
        self._threads = threads
        self._counters = counters
        self._admission = admission

    async def query(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.QueryRequest, payload)
        doc_id = decode.own_id(request.doc_id, request.text_id, self._engine.schema)
        scope = caller.scope(checked_namespace(request.namespace))
        started_ns = time.perf_counter_ns()
        try:
            if request.HasField("read_options"):
                await self._engine.until_fresh(freshness_of(request.read_options))
            if self._engine.asks_elsewhere:
                # The one thread of lookups has to wait for nobody.
                found = await self._threads.run(lambda: self._engine.get(doc_id, scope))
            else:
                found = await self._lookups.submit((self._engine, doc_id, scope), share=caller.share)
        except KyroError as error:
            self._counters.query_failed()
            raise CallError("Query failed", error) from error
        caller.usage.queries += 1
        self._counters.query(time.perf_counter_ns() - started_ns, alone=True)
        self._count(None if found is None else found.tier)
        return query_response(doc_id, found, include_embedding=request.include_embedding)

    async def bulk_query(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.BulkQueryRequest, payload)
        doc_ids = decode.own_ids(request.doc_ids, request.text_ids, self._engine.schema)
        scope = caller.scope(checked_namespace(request.namespace))
        with_vectors = request.include_embeddings
        started_ns = time.perf_counter_ns()
        try:
            if request.HasField("read_options"):
                await self._engine.until_fresh(freshness_of(request.read_options))
            answers, response = await self._threads.run(lambda: self._bulk(doc_ids, scope, with_vectors))
        except KyroError as error:
            self._counters.query_failed()
            raise CallError("Bulk query failed", error) from error
        caller.usage.queries += len(doc_ids)
        self._counters.query(time.perf_counter_ns() - started_ns, alone=False)
        for found in answers:
            self._count(found)
        return response

    def _bulk(
        self, doc_ids: Sequence[AnyId], scope: Scope, with_vectors: bool
    ) -> tuple[list[Tier | None], bytes]:
        """In a thread: where each document was found, and the bytes of the whole answer, whose size is known before
        a document is read. A document that is named again is read once."""
        times = Counter(doc_ids)
        reads, size = self._engine.reads, len(doc_ids) * _RESULT_BYTES
        if self._engine.asks_elsewhere:
            reads.prefetch(times, scope)
        for doc_id, count in times.items():
            if doc_id != _NO_DOCUMENT:
                size += count * reads.costs.answer_bytes(doc_id, scope, with_vector=with_vectors)
        held = self._admission.room_for_answer(size, len(doc_ids))
        tiers: dict[AnyId, Tier | None] = {}
        results: dict[AnyId, bytes] = {}
        for doc_id in times:
            found = reads.get(doc_id, scope, cached=False) if doc_id != _NO_DOCUMENT else None
            tiers[doc_id] = None if found is None else found.tier
            results[doc_id] = query_response(doc_id, found, include_embedding=with_vectors)
        total_found = sum(tiers[doc_id] is not None for doc_id in doc_ids)
        response = bulk_query_response([results[doc_id] for doc_id in doc_ids], total_found)
        del held
        return [tiers[doc_id] for doc_id in doc_ids], response

    def _count(self, tier: Tier | None) -> None:
        self._counters.served(cache=tier is Tier.CACHE, hot=tier is Tier.HOT, cold=tier is Tier.COLD)
