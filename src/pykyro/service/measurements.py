"""Everything /metrics exports. A metric is exported only while its value is true; docs/metrics.md explains each."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator

from pykyro.cache.document_cache import DocumentCache
from pykyro.cache.query_cache import Mode
from pykyro.service.recall_measurements import checked_families, recall_families
from pykyro.service.server_state import ServerState
from pykyro.service.storage_measurements import storage_families
from pykyro.telemetry import logs
from pykyro.telemetry.counters import Counters, ratio
from pykyro.telemetry.exposition import Family, counter, gauge, labelled
from pykyro.telemetry.health import HealthStatus, Phase
from pykyro.telemetry.last_backup import newest_backup_s
from pykyro.version import GIT_COMMIT, __version__


def families(server_state: ServerState) -> Iterator[Family]:
    """One scrape; what the engine counts is left out while it is not open."""
    yield from _requests(server_state.counters)
    yield from _lately(server_state)
    yield counter(
        "slow_queries_total",
        "Calls that took logging.slow_query_ms or longer.",
        server_state.calls.slow_total,
    )
    stats = server_state.stats()
    if server_state.engine is not None and stats is not None:
        documents = server_state.engine.context.caches.documents
        if documents is not None:
            yield from document_cache_families(documents)
        queries = server_state.engine.context.caches.answers.queries
        if queries.mode is Mode.RESCORED:
            yield from checked_families(queries.control)
        yield from recall_families(server_state.engine.recall, server_state.engine.ef_search)
        yield from storage_families(
            stats,
            server_state.engine.recovered,
            server_state.recovery_s,
            server_state.counters,
            server_state.engine.options.documents_max,
        )
    yield from _process(server_state)
    status = server_state.verdict(stats).status
    yield labelled(
        "health",
        "gauge",
        "1 for what /health answers.",
        "status",
        {each.value: int(each is status) for each in HealthStatus},
    )
    yield gauge(
        "ready",
        "1 while requests are served.",
        int(server_state.phase is Phase.SERVING and server_state.readiness() != "not_ready"),
    )


def document_cache_families(cache: DocumentCache) -> Iterator[Family]:
    """What the document cache did."""
    yield gauge("document_cache_size", "Documents in the document cache.", len(cache))
    yield labelled(
        "document_cache_lookups_total",
        "counter",
        "Lookups of documents that exist, by whether the document cache had them.",
        "outcome",
        {"hit": cache.hits, "miss": cache.misses},
    )
    yield counter("document_cache_evictions_total", "Documents let go to make room.", cache.evictions)


def _requests(counters: Counters) -> Iterator[Family]:
    p50, p95, p99 = counters.latency_percentiles_ns(50, 95, 99)
    yield counter("queries_total", "Queries asked of the database, failed ones too.", counters.queries_total)
    yield counter("queries_failed", "Queries the database could not answer.", counters.queries_failed)
    yield labelled(
        "query_latency_ns",
        "gauge",
        "Duration of the last queries answered in the last 5 minutes, nanoseconds.",
        "percentile",
        {"50": p50, "95": p95, "99": p99},
    )
    yield counter("cache_hits_total", "Lookups and searches answered from a cache.", counters.cache_hits)
    yield counter("cache_misses_total", "Those that were not.", counters.cache_misses)
    yield gauge(
        "cache_hit_rate",
        "Hits among hits and misses since the start.",
        ratio(counters.cache_hits, counters.cache_hits + counters.cache_misses),
    )
    yield counter("hnsw_searches_total", "Searches answered.", counters.searches_total)
    yield gauge(
        "hnsw_latency_ns",
        "99th percentile of the last 1000 searches answered in the last 5 minutes, nanoseconds.",
        counters.search_latency.percentiles_ns(99)[0],
    )
    yield labelled(
        "tier_hits_total",
        "counter",
        "Lookups found in a tier, and searches it was part of.",
        "tier",
        {"hot": counters.hot_hits, "cold": counters.cold_hits},
    )
    yield labelled(
        "searches_partial_total",
        "counter",
        "Searches answered without some of a tier, for want of time.",
        "tier",
        counters.partial,
    )
    yield Family(
        "search_duration_seconds",
        "histogram",
        "Duration of searches by the parts of the database that answered.",
        {(("path", path),): histogram for path, histogram in counters.searches.items()},
    )
    yield gauge("active_connections", "Insert and Search calls in flight.", counters.calls_in_flight)
    yield counter("inserts_total", "Documents sent to be stored, refused ones too.", counters.inserts_total)
    yield counter("inserts_failed", "Documents refused.", counters.inserts_failed)
    yield labelled(
        "errors_total", "counter", "Requests and stream messages that failed.", "category", counters.errors
    )
    yield Family(
        "queue_wait_seconds",
        "histogram",
        "How long the oldest request of each batch had waited for a thread.",
        {(("queue", queue),): histogram for queue, histogram in counters.queue_waits.items()},
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


def _lately(server_state: ServerState) -> Iterator[Family]:
    report = server_state.slo()
    yield gauge("cache_hit_rate_5m", "Hits among hits and misses, last 5 minutes.", report.lately.hit_rate)
    yield gauge("error_rate_5m", "Failed among all queries, last 5 minutes.", report.lately.error_rate)
    yield gauge("availability_5m", "Answered among all queries, last 5 minutes.", report.lately.availability)
    yield labelled(
        "slo_breached",
        "gauge",
        "1 while an objective of slo.* is not met.",
        "objective",
        {name: int(bool(sentence)) for name, sentence in report.breaches.items()},
    )


def _process(server_state: ServerState) -> Iterator[Family]:
    process, directory = server_state.process, server_state.settings.backup.directory
    yield gauge("memory_used_bytes", "Resident memory of the server.", process.resident_bytes())
    yield gauge(
        "memory_limit_bytes",
        "Memory the server may occupy before the system kills it.",
        process.memory_limit_bytes(),
    )
    memory = server_state.memory.status()
    yield gauge("memory_budget_bytes", "memory.limit, or the share of memory it stands for.", memory.limit)
    yield labelled(
        "memory_part_bytes",
        "gauge",
        "What counts against the budget, by what holds it.",
        "part",
        memory.parts,
    )
    yield labelled(
        "memory_refused_total",
        "counter",
        "What was refused because memory was short.",
        "kind",
        {kind.name.lower(): count for kind, count in memory.refused.items()},
    )
    yield gauge(
        "disk_used_bytes",
        "Used bytes of the file system that holds the data directory.",
        process.disk_used_bytes(),
    )
    newest_s = newest_backup_s(directory) if directory is not None else None
    if directory is None and server_state.backups is not None:
        # What is in an object store is known from the last look and from what was made since.
        newest_s = server_state.backups.last_success_s or None
    if newest_s is not None:
        yield gauge(
            "backup_newest_timestamp_seconds", "Unix time of the newest backup in backup.dir.", int(newest_s)
        )
    if server_state.backups is not None:
        yield counter(
            "backups_made_total", "Scheduled backups made since the start.", server_state.backups.made
        )
        yield counter(
            "backup_failures_total", "Scheduled backups that failed.", server_state.backups.failures
        )
        yield gauge(
            "backup_last_size_bytes",
            "Size of the last scheduled backup.",
            server_state.backups.last_size_bytes,
        )
    if server_state.connections is not None:
        yield gauge("connections", "Connections to both ports.", server_state.connections.open)
        yield counter(
            "connections_shed_total",
            "Connections shut down because there were too many.",
            server_state.connections.shed_total,
        )
    if certificates := server_state.certificates():
        now_s = time.time()
        yield labelled(
            "tls_certificate_remaining_seconds",
            "gauge",
            "Time until a certificate ends; below 0 it has, and new clients are refused.",
            "setting",
            {one.setting: one.remaining_s(now_s) for one in certificates},
        )
    yield counter("log_lines_lost_total", "Log lines that could not be written.", logs.lost_lines())
    yield counter("uptime_seconds", "Whole seconds since the server started.", int(process.uptime_s))
    yield Family(
        "build_info",
        "gauge",
        "1; its labels say what runs.",
        {(("version", __version__), ("commit", GIT_COMMIT), ("python", platform.python_version())): 1},
    )
