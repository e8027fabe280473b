"""The values of the metrics at the moment of a scrape. A metric is exported only while its value is true.

Everything is counted elsewhere, by whatever does the work; here it is only read. What each metric means is declared
in telemetry/catalogue.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from typing import Final

from pykyro.cache.document_cache import DocumentCache
from pykyro.cache.query_cache import Mode
from pykyro.cache.similar import SimilarityControl
from pykyro.database.collections import Collections
from pykyro.database.counts import Counts
from pykyro.engine.engine import Engine
from pykyro.engine.recall.monitor import RecallMonitor
from pykyro.model.collection import DEFAULT
from pykyro.model.limits import COUNT_MAX
from pykyro.model.requests import CachedKind, EngineStats
from pykyro.service.server_state import ServerState
from pykyro.telemetry import logs
from pykyro.telemetry.catalogue import process, requests, searches, storage
from pykyro.telemetry.catalogue.declaration import Family
from pykyro.telemetry.counters import Counters, ratio
from pykyro.telemetry.health import HealthStatus, Phase
from pykyro.telemetry.last_backup import newest_backup_s
from pykyro.version import GIT_COMMIT, __version__

_NAMED_MAX: Final = 20
"""Collections that have a label of their own: every label is a time series at the scraper."""
OTHERS: Final = "other_collections"
_QUERY_CACHE_EVENTS: Final = (*(kind.value for kind in CachedKind), "miss", "unproved", "overtaken", "late")


def families(server_state: ServerState) -> Iterator[Family]:
    """One scrape; what the engine counts is left out while it is not open."""
    stats = server_state.stats()
    yield from _requests(server_state.counters)
    yield requests.SLOW_QUERIES_TOTAL.of(server_state.calls.slow_total)
    yield from _objectives(server_state, stats)
    yield from _searches(server_state.counters)
    if server_state.engine is not None and stats is not None:
        yield from _caches(server_state.engine, stats)
        yield from _recall(server_state.engine.recall)
        yield searches.EF_SEARCH.of(server_state.engine.ef_search)
        yield from _tiers(stats, server_state.engine.options.documents_max)
        others = server_state.collections
        yield storage.DOCUMENTS_EXPIRED_TOTAL.of(stats.expired + (others.open.expired if others else 0))
        yield from _log_and_disk(stats)
        yield storage.WAL_SYNC_DURATION.of(server_state.counters.wal_syncs)
        yield from _recovery(server_state, server_state.engine)
    if server_state.collections is not None and server_state.counts is not None:
        yield from _collections(server_state.collections, server_state.counts.by_name())
    yield storage.DISK_USED.of(server_state.process.disk_used_bytes())
    yield from _process(server_state)
    yield from _backups(server_state)
    yield from _archive(server_state)
    yield from _ports(server_state)


def _requests(counters: Counters) -> Iterator[Family]:
    p50, p95, p99 = counters.latency_percentiles_ns(50, 95, 99)
    yield requests.QUERIES_TOTAL.of(counters.queries_total)
    yield requests.QUERIES_FAILED.of(counters.queries_failed)
    yield requests.QUERY_LATENCY.by_label({"50": p50, "95": p95, "99": p99})
    yield requests.INSERTS_TOTAL.of(counters.inserts_total)
    yield requests.INSERTS_FAILED.of(counters.inserts_failed)
    yield requests.ERRORS_TOTAL.by_label(counters.errors)
    yield requests.ACTIVE_CONNECTIONS.of(counters.calls_in_flight)
    # Copied first: the event loop adds RPCs while this thread reads.
    yield requests.GRPC_REQUESTS_TOTAL.by_labels(counters.calls.copy().items())
    yield requests.GRPC_REQUEST_DURATION.by_label(counters.durations.copy())
    yield requests.QUEUE_WAIT.by_label(counters.queue_waits)


def _objectives(server_state: ServerState, stats: EngineStats | None) -> Iterator[Family]:
    report, status = server_state.slo(), server_state.verdict(stats).status
    ready = server_state.phase is Phase.SERVING and server_state.readiness() != "not_ready"
    yield requests.SLO_BREACHED.by_label(
        {objective: int(bool(sentence)) for objective, sentence in report.breaches.items()}
    )
    yield requests.CACHE_HIT_RATE_5M.of(report.lately.hit_rate)
    yield requests.ERROR_RATE_5M.of(report.lately.error_rate)
    yield requests.AVAILABILITY_5M.of(report.lately.availability)
    yield requests.HEALTH.by_label({each.value: int(each is status) for each in HealthStatus})
    yield requests.READY.of(int(ready))


def _searches(counters: Counters) -> Iterator[Family]:
    asked = counters.cache_hits + counters.cache_misses
    yield searches.HNSW_SEARCHES_TOTAL.of(counters.searches_total)
    yield searches.HNSW_LATENCY.of(counters.search_latency.percentiles_ns(99)[0])
    yield searches.SEARCHES_PARTIAL_TOTAL.by_label(counters.partial)
    yield searches.SEARCH_DURATION.by_label(counters.searches)
    yield searches.WORD_SEARCH_DURATION.by_label(counters.word_searches)
    yield searches.TIER_HITS_TOTAL.by_label({"hot": counters.hot_hits, "cold": counters.cold_hits})
    yield searches.CACHE_HITS_TOTAL.of(counters.cache_hits)
    yield searches.CACHE_MISSES_TOTAL.of(counters.cache_misses)
    yield searches.CACHE_HIT_RATE.of(ratio(counters.cache_hits, asked))


def _caches(engine: Engine, stats: EngineStats) -> Iterator[Family]:
    counts, queries = stats.query_cache_counts, engine.reads.caches.queries
    yield searches.CACHE_SIZE.of(stats.query_cache_entries)
    yield searches.CACHE_BYTES.of(stats.query_cache_bytes)
    yield searches.CACHE_EVICTIONS_TOTAL.of(counts.get("evicted", 0))
    yield searches.QUERY_CACHE_EVENTS_TOTAL.by_label(
        {event: counts.get(event, 0) for event in _QUERY_CACHE_EVENTS}
    )
    if queries.mode is Mode.RESCORED and queries.similar is not None:
        yield from unproved_answers(queries.similar.control)
    if engine.reads.caches.documents is not None:
        yield from document_cache(engine.reads.caches.documents)


def unproved_answers(control: SimilarityControl) -> Iterator[Family]:
    """What checks of the unproved answers of mode `rescored` have shown; recall only while such are served."""
    mean, low, _ = control.recall()
    yield searches.QUERY_CACHE_CHECKS_TOTAL.of(control.checks)
    if control.threshold <= 1:
        yield searches.QUERY_CACHE_THRESHOLD.of(control.threshold)
        yield searches.QUERY_CACHE_RECALL.of(mean)
        yield searches.QUERY_CACHE_RECALL_LOW.of(low)


def document_cache(cache: DocumentCache) -> Iterator[Family]:
    """What the document cache did."""
    yield searches.DOCUMENT_CACHE_SIZE.of(len(cache))
    yield searches.DOCUMENT_CACHE_LOOKUPS_TOTAL.by_label({"hit": cache.hits, "miss": cache.misses})
    yield searches.DOCUMENT_CACHE_EVICTIONS_TOTAL.of(cache.evictions)


def _recall(monitor: RecallMonitor) -> Iterator[Family]:
    report = monitor.report()
    if report.overall is not None:
        estimates = {
            (each.path, str(each.filtered).lower()): estimate for each, estimate in report.by_class.items()
        }
        estimates["all", "any"] = report.overall
        yield searches.RECALL_ESTIMATE.by_labels((key, one.mean) for key, one in estimates.items())
        yield searches.RECALL_LOW.by_labels((key, one.low) for key, one in estimates.items())
        yield searches.RECALL_HIGH.by_labels((key, one.high) for key, one in estimates.items())
    yield searches.RECALL_SAMPLES_TOTAL.of(report.samples)
    yield searches.RECALL_OVERTAKEN_TOTAL.of(report.overtaken)
    yield searches.RECALL_CPU.of(report.processor_s)


def _tiers(stats: EngineStats, documents_max: int) -> Iterator[Family]:
    yield storage.DOCUMENTS.of(stats.documents)
    if documents_max < COUNT_MAX:
        yield storage.DOCUMENTS_LIMIT.of(documents_max)
    yield storage.TIER_DOCUMENTS.by_label({"hot": stats.hot_documents, "cold": stats.cold_documents})
    yield storage.SEGMENTS.of(stats.segments)
    yield storage.DEAD_ROWS.of(stats.dead_rows)
    yield storage.HOT_TIER_FLUSHES_TOTAL.of(stats.hot_flushes)
    yield storage.MERGES_TOTAL.of(stats.merges)
    yield storage.MAINTENANCE_FAILING.of(int(bool(stats.maintenance_failure)))
    yield storage.COLD_TIER_AWAY.of(int(bool(stats.cold_tier_warning)))


def _log_and_disk(stats: EngineStats) -> Iterator[Family]:
    yield storage.WAL_CIRCUIT_BREAKER_STATE.of(stats.breaker_state)
    yield storage.WAL_WRITES_TOTAL.of(stats.wal_writes)
    yield storage.WAL_WRITES_FAILED.of(stats.wal_writes_failed)
    yield storage.WAL_RETRIES_TOTAL.of(stats.wal_probes)
    yield storage.WAL_DISK_FULL_ERRORS.of(stats.disk_full_errors)
    yield storage.WAL_BYTES_TOTAL.of(stats.wal_bytes)
    yield storage.WAL_SYNCS_TOTAL.of(stats.wal_syncs)
    yield storage.WAL_POSITION.of(stats.position)
    yield storage.WAL_SEALED_POSITION.of(stats.sealed_position)
    yield storage.WAL_UNSYNCED_FRAMES.of(stats.unsynced_frames)
    yield storage.WAL_OLDEST_UNSYNCED.of(stats.unsynced_age_s)
    yield storage.WRITES_REFUSED.of(int(bool(stats.refusing_writes)))
    yield storage.DISK_FREE.of(stats.disk_free_bytes)


def _collections(collections: Collections, counts: dict[str, Counts]) -> Iterator[Family]:
    yield storage.COLLECTIONS.of(len(collections.names()))
    yield storage.COLLECTIONS_OPEN.of(1 + len(collections.open.engines()))
    yield storage.COLLECTIONS_OPENED_TOTAL.of(collections.open.opened_total)
    yield storage.COLLECTIONS_IN_TROUBLE.of(len(collections.troubles()))
    documents = {name: each.documents for name, each in counts.items()}
    documents[DEFAULT] = collections.default_engine.documents
    largest = sorted(documents.items(), key=lambda one: (-one[1], one[0]))
    named = dict(largest[:_NAMED_MAX])
    if len(largest) > _NAMED_MAX:
        named[OTHERS] = sum(count for _, count in largest[_NAMED_MAX:])
    yield storage.COLLECTION_DOCUMENTS.by_label(named)


def _recovery(server_state: ServerState, engine: Engine) -> Iterator[Family]:
    yield process.RECOVERY.of(server_state.recovery_s)
    yield process.RECOVERY_FRAMES_REPLAYED.of(engine.recovered.frames_replayed)
    yield process.RECOVERY_TORN_BYTES.of(engine.recovered.torn_bytes)
    yield process.RECOVERY_UNCLEAN.of(int(engine.recovered.unclean))


def _process(server_state: ServerState) -> Iterator[Family]:
    yield process.MEMORY_USED.of(server_state.process.resident_bytes())
    yield process.MEMORY_LIMIT.of(server_state.process.memory_limit_bytes())
    memory = server_state.memory.status()
    yield process.MEMORY_BUDGET.of(memory.limit)
    yield process.MEMORY_PART.by_label(memory.parts)
    yield process.MEMORY_REFUSED_TOTAL.by_label(
        {kind.name.lower(): count for kind, count in memory.refused.items()}
    )
    yield process.UPTIME.of(int(server_state.process.uptime_s))
    yield process.LOG_LINES_LOST_TOTAL.of(logs.lost_lines())
    yield process.BUILD_INFO.by_labels([((__version__, GIT_COMMIT, platform.python_version()), 1)])


def _backups(server_state: ServerState) -> Iterator[Family]:
    directory, scheduled = server_state.settings.backup.directory, server_state.backups
    newest_s = newest_backup_s(directory) if directory is not None else None
    if directory is None and scheduled is not None:
        # What is in an object store is known from the last look and from what was made since.
        newest_s = scheduled.last_success_s or None
    if newest_s is not None:
        yield process.BACKUP_NEWEST_TIMESTAMP.of(int(newest_s))
    if scheduled is not None:
        yield process.BACKUPS_MADE_TOTAL.of(scheduled.made)
        yield process.BACKUP_FAILURES_TOTAL.of(scheduled.failures)
        yield process.BACKUP_LAST_SIZE.of(scheduled.last_size_bytes)


def _archive(server_state: ServerState) -> Iterator[Family]:
    leading, follower = server_state.leading, server_state.follower
    if leading is not None:
        yield storage.ARCHIVE_LEADING.of(int(not leading.lost_lead))
        yield storage.ARCHIVE_LAG.of(leading.lag_s)
        yield storage.ARCHIVE_LOG_BYTES_TOTAL.of(leading.bytes_shipped)
    if follower is not None:
        yield storage.FOLLOWER_LAG.of(follower.lag_s)
        yield storage.FOLLOWER_LAG_POSITIONS.of(follower.lag_positions)
    replica = leading or follower
    if replica is not None:
        yield storage.ARCHIVE_EPOCH.of(replica.epoch)
        yield storage.ARCHIVE_COMMIT.of(replica.commits)
        yield storage.ARCHIVE_FAILURES_TOTAL.of(replica.failures)


def _ports(server_state: ServerState) -> Iterator[Family]:
    if server_state.connections is not None:
        yield process.CONNECTIONS.of(server_state.connections.open)
        yield process.CONNECTIONS_SHED_TOTAL.of(server_state.connections.shed_total)
    if certificates := server_state.certificates():
        now_s = time.time()
        yield process.TLS_CERTIFICATE_REMAINING.by_label(
            {one.setting: one.remaining_s(now_s) for one in certificates}
        )
