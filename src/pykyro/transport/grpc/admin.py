"""Health, Metrics, FlushHotTier, Compact, CreateSnapshot, GetConfig."""

from __future__ import annotations

import time
from typing import Final

from pykyro.config import Settings
from pykyro.engine.engine import Engine
from pykyro.model.errors import CallError, InvalidArgument, KyroError, ResourceExhausted
from pykyro.model.requests import EngineStats
from pykyro.model.text_ids import id_type_of
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.access import Caller
from pykyro.service.server_state import ServerState
from pykyro.service.threads import Threads, in_thread_of_its_own
from pykyro.telemetry.counters import ratio
from pykyro.telemetry.health import HealthStatus
from pykyro.transport.grpc import decode
from pykyro.version import GIT_COMMIT, __version__

COMPONENTS: Final = ("cache", "hot_tier", "cold_tier", "wal")

GRPC_HEALTH: Final = {
    HealthStatus.STARTING: pb.HealthResponse.DEGRADED,
    HealthStatus.HEALTHY: pb.HealthResponse.HEALTHY,
    HealthStatus.DEGRADED: pb.HealthResponse.DEGRADED,
    HealthStatus.UNHEALTHY: pb.HealthResponse.UNHEALTHY,
}


_METRICS: Final = {"cosine": "Cosine", "euclidean": "Euclidean", "innerproduct": "InnerProduct"}


class Admin:
    """The RPCs about the server itself, and about the collection whose engine this is."""

    def __init__(self, server_state: ServerState, engine: Engine, threads: Threads) -> None:
        self._server_state = server_state
        self._engine = engine
        self._threads = threads

    async def health(self, payload: bytes, caller: Caller) -> bytes:
        component = decode.parse(pb.HealthRequest, payload).component.strip()
        if component and component not in COMPONENTS:
            raise InvalidArgument(
                f"component {component!r} is unknown: one of {', '.join(COMPONENTS)}, or empty for all",
                field="component",
            )
        stats = await self._threads.run(self._engine.stats)
        states = self._components(stats)
        replica = self._server_state.leading or self._server_state.follower
        return pb.HealthResponse(
            status=GRPC_HEALTH[self._server_state.verdict(stats).status],
            version=__version__,
            components={component: states[component]} if component else states,
            uptime_seconds=int(self._server_state.process.uptime_s),
            git_commit=GIT_COMMIT,
            role=self._role(),
            archive_epoch=0 if replica is None else replica.epoch,
        ).SerializeToString()

    def _role(self) -> pb.HealthResponse.Role:
        if self._server_state.follower is not None:
            return pb.HealthResponse.ROLE_FOLLOWER
        leading = self._server_state.leading
        superseded = leading is not None and bool(leading.lost_lead)
        return pb.HealthResponse.ROLE_SUPERSEDED if superseded else pb.HealthResponse.ROLE_LEADER

    async def metrics(self, payload: bytes, caller: Caller) -> bytes:
        decode.parse(pb.MetricsRequest, payload)
        stats = await self._threads.run(self._engine.stats)
        counters, process = self._server_state.counters, self._server_state.process
        p50, p95, p99 = counters.latency_percentiles_ns(50, 95, 99)
        lookups = counters.cache_hits + counters.cache_misses
        uptime_s = max(process.uptime_s, 1e-9)
        stored = counters.inserts_total - counters.inserts_failed
        return pb.MetricsResponse(
            cache_hits=counters.cache_hits,
            cache_misses=counters.cache_misses,
            cache_hit_rate=100 * ratio(counters.cache_hits, lookups),
            hot_tier_hits=counters.hot_hits,
            hot_tier_misses=counters.hot_misses,
            hot_tier_hit_rate=100 * ratio(counters.hot_hits, counters.hot_hits + counters.hot_misses),
            hot_tier_size=stats.hot_documents,
            hot_tier_flushes=stats.hot_flushes,
            cold_tier_searches=counters.cold_hits,
            cold_tier_size=stats.cold_documents,
            p50_latency_ms=p50 / 1e6,
            p95_latency_ms=p95 / 1e6,
            p99_latency_ms=p99 / 1e6,
            total_queries=counters.queries_total,
            total_inserts=stored,
            queries_per_second=counters.queries_total / uptime_s,
            inserts_per_second=stored / uptime_s,
            memory_usage_bytes=process.resident_bytes(),
            disk_usage_bytes=process.disk_used_bytes(),
            cpu_usage_percent=process.cpu_percent(),
            overall_hit_rate=100 * ratio(counters.answered_warm, lookups),
            collected_at=int(time.time()),
        ).SerializeToString()

    async def flush_hot_tier(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.FlushRequest, payload)
        try:
            report = await self._threads.run(lambda: self._engine.flush(force=request.force))
        except KyroError as error:
            raise CallError("Flush failed", error) from error
        return pb.FlushResponse(
            success=True, documents_flushed=report.documents, flush_duration_ms=report.duration_s * 1000
        ).SerializeToString()

    async def compact(self, payload: bytes, caller: Caller) -> bytes:
        decode.parse(pb.CompactRequest, payload)
        try:
            # It may take minutes, which the pool of short work must not wait for.
            report = await in_thread_of_its_own("compact", self._engine.compact)
        except KyroError as error:
            raise CallError("Compaction failed", error) from error
        return pb.CompactResponse(
            success=True,
            documents=report.documents,
            segments_before=report.segments_before,
            segments=report.segments,
            bytes_before=report.bytes_before,
            bytes=report.bytes,
            duration_ms=report.duration_s * 1000,
        ).SerializeToString()

    async def create_snapshot(self, payload: bytes, caller: Caller) -> bytes:
        request = decode.parse(pb.SnapshotRequest, payload)
        if request.path.strip():
            raise InvalidArgument(
                f"custom snapshot path is not supported: leave path empty, got {request.path!r}", field="path"
            )
        try:
            report = await self._threads.run(self._engine.snapshot)
        except ResourceExhausted as error:
            raise CallError("snapshot rejected", error) from error
        except KyroError as error:
            raise CallError("snapshot creation failed", error) from error
        return pb.SnapshotResponse(
            success=True,
            snapshot_path=report.path,
            documents_snapshotted=report.documents,
            snapshot_size_bytes=report.size_bytes,
        ).SerializeToString()

    async def get_config(self, payload: bytes, caller: Caller) -> bytes:
        decode.parse(pb.ConfigRequest, payload)
        response = config_response(self._server_state.settings)
        options = self._engine.options
        response.embedding_dimension = options.dimension
        response.hnsw_distance = _METRICS[options.metric.value]
        response.hnsw_m, response.hnsw_ef_construction = options.m, options.ef_construction
        response.hnsw_ef_search = self._engine.ef_search
        response.id_type = id_type_of(self._engine.schema.text_ids)
        return response.SerializeToString()

    def _components(self, stats: EngineStats) -> dict[str, str]:
        counters = self._server_state.counters
        hit_rate = ratio(counters.cache_hits, counters.cache_hits + counters.cache_misses)
        wal = "healthy"
        if stats.refusing_writes:
            wal = f"unhealthy ({stats.refusing_writes}; writes disabled)"
        elif stats.wal_writes_failed:
            wal = f"degraded ({stats.wal_writes_failed} failed WAL writes)"
        return {
            "cache": f"healthy ({int(100 * hit_rate)}% hit rate)",
            "hot_tier": f"healthy ({stats.hot_documents} docs)",
            "cold_tier": f"healthy ({stats.cold_documents} docs)",
            "wal": wal,
        }


def config_response(settings: Settings) -> pb.ConfigResponse:
    """What GetConfig shows of the settings, in the words its clients know."""
    persistence, hnsw, cache = settings.persistence, settings.hnsw, settings.cache
    policies = {
        "none": "Never",
        "data_only": f"Periodic({persistence.wal_flush_interval_ms})",
        "full": "Always",
    }
    return pb.ConfigResponse(
        hot_tier_max_size=cache.capacity,
        hot_tier_max_age_seconds=cache.hot_tier_max_age_secs or cache.training_interval_secs,
        hnsw_max_elements=hnsw.documents_max,
        data_dir=str(persistence.data_dir),
        fsync_policy=policies[persistence.fsync_policy],
        snapshot_interval=persistence.snapshot_interval_mutations,
        flush_interval_seconds=persistence.wal_flush_interval_ms // 1000,
        embedding_dimension=hnsw.dimension,
        version=__version__,
        hnsw_m=hnsw.m,
        hnsw_ef_construction=hnsw.ef_construction,
        hnsw_ef_search=hnsw.ef_search,
        hnsw_distance=_METRICS[hnsw.distance],
        hnsw_disable_normalization_check=hnsw.disable_normalization_check,
    )
