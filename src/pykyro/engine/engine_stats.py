"""The numbers of an open database, gathered from its parts."""

from __future__ import annotations

from pykyro.engine.context import EngineContext
from pykyro.engine.maintenance.maintenance import Maintenance
from pykyro.engine.reading.following import Following
from pykyro.model.requests import EngineStats


def stats_of(
    context: EngineContext, maintenance: Maintenance, expired: int, following: Following | None
) -> EngineStats:
    """Those of this moment; `expired` documents have gone at their instant since the start."""
    version = context.state.version
    breaker, room = context.log.breaker, context.disk.room()
    # Who only reads needs no room on the disk.
    refusing = context.writes.refusing or (room.refusal if breaker.closed else breaker.reason)
    cold = sum(segment.live for segment in version.cold)
    if version.remote is not None:
        cold += version.remote.live
    queries = context.caches.queries
    return EngineStats(
        documents=context.state.documents,
        hot_documents=context.state.documents - cold,
        cold_documents=cold,
        dead_rows=sum(len(segment.deleted) for segment in version.cold),
        segments=len(version.cold),
        position=context.state.position,
        sealed_position=context.manifests.current.sealed_lsn,
        hot_flushes=maintenance.sealing.count,
        merges=maintenance.merging.count,
        wal_writes=context.log.writes,
        wal_writes_failed=breaker.failures,
        wal_bytes=context.log.bytes_written,
        wal_syncs=context.log.syncs,
        refusing_writes=refusing if context.log.takes_writes else "",
        breaker_state=int(breaker.state),
        disk_full_errors=breaker.disk_full_failures,
        disk_free_bytes=room.free_bytes,
        disk_warning=room.warning,
        wal_probes=breaker.probes,
        unsynced_frames=context.log.unsynced_frames,
        unsynced_age_s=context.log.unsynced_age_s,
        query_cache_entries=len(queries),
        query_cache_bytes=queries.size_bytes,
        query_cache_counts=dict(queries.counts),
        maintenance_failure=maintenance.last_failure if following is None else following.trouble,
        capacity_warning=context.writes.capacity.warning(context.state.documents),
        room_warning=context.writes.room.warning(),
        expired=expired,
        cold_tier_warning="" if context.remote is None else context.remote.warning,
    )
