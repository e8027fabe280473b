"""Everything /metrics exports. A metric is exported only while its value is true."""

from __future__ import annotations

from collections.abc import Iterator

from kyrodb.engine.requests import EngineStats
from kyrodb.observe.counters import Counters, ratio
from kyrodb.observe.exposition import Family, counter, gauge, labelled
from kyrodb.observe.health import Phase
from kyrodb.server.vitals import Vitals


def families(vitals: Vitals) -> Iterator[Family]:
    """One scrape; what the engine counts is left out while it is not open."""
    stats = vitals.stats()
    yield from _requests(vitals.counters)
    if stats is not None:
        yield from _storage(stats)
    yield gauge("memory_used_bytes", "Resident memory of the server.", vitals.process.resident_bytes())
    yield gauge(
        "disk_used_bytes",
        "Used bytes of the file system that holds the data directory.",
        vitals.process.disk_used_bytes(),
    )
    yield counter("uptime_seconds", "Whole seconds since the server started.", int(vitals.process.uptime_s))
    yield gauge(
        "ready",
        "1 while requests are served.",
        int(vitals.phase is Phase.SERVING and vitals.readiness() != "not_ready"),
    )


def _requests(counters: Counters) -> Iterator[Family]:
    p50, p95, p99 = counters.query_latency.percentiles_ns(50, 95, 99)
    yield counter("queries_total", "Queries asked of the database, failed ones too.", counters.queries_total)
    yield counter("queries_failed", "Queries the database could not answer.", counters.queries_failed)
    yield labelled(
        "query_latency_ns",
        "gauge",
        "Duration of the last 1000 answered queries, nanoseconds.",
        "percentile",
        {"50": p50, "95": p95, "99": p99},
    )
    yield counter("cache_hits_total", "Lookups and searches answered from a cache.", counters.cache_hits)
    yield counter("cache_misses_total", "Those that were not.", counters.cache_misses)
    yield gauge(
        "cache_hit_rate",
        "Hits among hits and misses.",
        ratio(counters.cache_hits, counters.cache_hits + counters.cache_misses),
    )
    yield counter("hnsw_searches_total", "Searches answered.", counters.searches_total)
    yield gauge(
        "hnsw_latency_ns",
        "99th percentile of the last 1000 searches, nanoseconds.",
        counters.search_latency.percentiles_ns(99)[0],
    )
    yield labelled(
        "tier_hits_total",
        "counter",
        "Lookups found in a tier, and searches it was part of.",
        "tier",
        {"hot": counters.hot_hits, "cold": counters.cold_hits},
    )
    yield gauge("active_connections", "Insert and Search calls in flight.", counters.calls_in_flight)
    yield counter("inserts_total", "Documents sent to be stored, refused ones too.", counters.inserts_total)
    yield counter("inserts_failed", "Documents refused.", counters.inserts_failed)
    yield labelled(
        "errors_total", "counter", "Requests and stream messages that failed.", "category", counters.errors
    )
    yield Family(
        "grpc_requests_total",
        "counter",
        "Calls that ended, by RPC and gRPC status.",
        {(("rpc", rpc), ("code", code)): count for (rpc, code), count in counters.calls.copy().items()},
    )
    yield Family(
        "grpc_request_duration_seconds",
        "histogram",
        "Duration of calls by RPC.",
        {(("rpc", rpc),): histogram for rpc, histogram in list(counters.durations.items())},
    )


def _storage(stats: EngineStats) -> Iterator[Family]:
    yield gauge("documents", "Live documents.", stats.documents)
    yield labelled(
        "tier_documents",
        "gauge",
        "Live documents in a tier.",
        "tier",
        {"hot": stats.hot_documents, "cold": stats.cold_documents},
    )
    yield gauge("segments", "Immutable segments of the cold tier.", stats.segments)
    yield gauge("dead_rows", "Rows in segments that were deleted or replaced since.", stats.dead_rows)
    yield counter("hot_tier_flushes_total", "Times the hot tier was sealed.", stats.hot_flushes)
    yield counter("merges_total", "Times segments were merged.", stats.merges)
    yield gauge("wal_position", "LSN of the last accepted write.", stats.position)
    yield counter("wal_writes_total", "Frames written to the log.", stats.wal_writes)
    yield counter("wal_writes_failed", "Writes the disk refused.", stats.wal_writes_failed)
    yield gauge(
        "wal_circuit_breaker_state", "0 closed, 1 open: writes are refused, 2 half-open.", stats.breaker_state
    )
    yield counter("wal_disk_full_errors", "Writes refused for want of room.", stats.disk_full_errors)
    yield counter("wal_bytes_total", "Bytes written to the log.", stats.wal_bytes)
    yield counter("wal_syncs_total", "Times the log was made durable.", stats.wal_syncs)
