"""The metrics of an open database: documents, tiers, the log, the disk, the query cache, the last recovery."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pykyro.model.limits import COUNT_MAX
from pykyro.model.requests import EngineStats, Kind
from pykyro.storage.recovery import RecoveryReport
from pykyro.telemetry.counters import Counters
from pykyro.telemetry.exposition import Family, counter, gauge, labelled

_CACHE_EVENTS: Final = (*(kind.value for kind in Kind), "miss", "unproved", "overtaken", "late")


def storage_families(
    stats: EngineStats,
    recovered: RecoveryReport,
    recovery_s: float,
    counters: Counters,
    documents_max: int,
) -> Iterator[Family]:
    """`recovery_s` is the time from the last start to an open database; `documents_max` COUNT_MAX is no bound."""
    yield from _tiers(stats, documents_max)
    yield from _log(stats, counters)
    yield gauge("disk_free_bytes", "Free bytes of the disk that holds the data.", stats.disk_free_bytes)
    yield gauge("writes_refused", "1 while documents are refused.", int(bool(stats.refusing_writes)))
    yield from _query_cache(stats)
    yield gauge("recovery_seconds", "Time from the last start to an open database.", recovery_s)
    yield gauge("recovery_frames_replayed", "Log frames the last start replayed.", recovered.frames_replayed)
    yield gauge("recovery_torn_bytes", "Bytes of a write that was cut off, dropped.", recovered.torn_bytes)
    yield gauge(
        "recovery_unclean", "1 when the server before this one did not stop cleanly.", int(recovered.unclean)
    )


def _tiers(stats: EngineStats, documents_max: int) -> Iterator[Family]:
    yield gauge("documents", "Live documents.", stats.documents)
    if documents_max < COUNT_MAX:
        yield gauge("documents_limit", "Documents there may be, hnsw.max_elements.", documents_max)
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
    yield gauge(
        "maintenance_failing",
        "1 while sealing or merging fails and is tried again.",
        int(bool(stats.maintenance_failure)),
    )


def _log(stats: EngineStats, counters: Counters) -> Iterator[Family]:
    yield gauge("wal_position", "LSN of the last accepted write.", stats.position)
    yield gauge("wal_sealed_position", "LSN up to which segments hold everything.", stats.sealed_position)
    yield counter("wal_writes_total", "Frames written to the log.", stats.wal_writes)
    yield counter("wal_writes_failed", "Writes the disk refused.", stats.wal_writes_failed)
    yield counter("wal_retries_total", "Times the disk was tried again after an error.", stats.wal_probes)
    yield gauge(
        "wal_circuit_breaker_state",
        "WAL circuit breaker: 0 closed, 1 open (writes are refused), 2 half-open.",
        stats.breaker_state,
    )
    yield counter("wal_disk_full_errors", "Writes refused for want of room.", stats.disk_full_errors)
    yield counter("wal_bytes_total", "Bytes written to the log.", stats.wal_bytes)
    yield counter("wal_syncs_total", "Times the log was made durable.", stats.wal_syncs)
    yield Family(
        "wal_sync_duration_seconds", "histogram", "Duration of those syncs.", {(): counters.wal_syncs}
    )
    yield gauge("wal_unsynced_frames", "Accepted writes that are not on disk yet.", stats.unsynced_frames)
    yield gauge("wal_oldest_unsynced_seconds", "Age of the oldest of them.", stats.unsynced_age_s)


def _query_cache(stats: EngineStats) -> Iterator[Family]:
    counts = stats.query_cache_counts
    yield counter("cache_evictions_total", "Answers the query cache let go.", counts.get("evicted", 0))
    yield gauge("cache_size", "Answers in the query cache.", stats.query_cache_entries)
    yield gauge("cache_bytes", "Memory of those answers.", stats.query_cache_bytes)
    yield labelled(
        "query_cache_events_total",
        "counter",
        "What the query cache did: answers by kind, and why there was none.",
        "event",
        {event: counts.get(event, 0) for event in _CACHE_EVENTS},
    )
