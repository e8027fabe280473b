"""Opening the database as the configuration says, and what happens when it cannot be opened."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Final

from pykyro.cache.query_cache import Mode
from pykyro.config import Settings
from pykyro.database.collections import Collections
from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.options import CacheOptions, EngineOptions, RecallOptions, RemoteOptions, TierBudgets
from pykyro.memory.budget import MemoryBudget, too_small
from pykyro.model.cold_tier import LOCAL, ColdTier
from pykyro.model.errors import ConfigError, DataDamaged, FailedPrecondition
from pykyro.model.limits import RECALL_PROCESSOR_SHARE
from pykyro.model.text_ids import TEXT
from pykyro.model.types import Metric
from pykyro.model.words import WordsConfig, checked_words, listed_keys
from pykyro.storage.files.opening_errors import opening_error
from pykyro.storage.wal.log import SyncPolicy

_log: Final = logging.getLogger(__name__)


def engine_options(settings: Settings) -> EngineOptions:
    """The engine's part of the settings."""
    hnsw, persistence, cache = settings.hnsw, settings.persistence, settings.cache
    timeouts, id_type = settings.timeouts, settings.collections.default_id_type
    return EngineOptions(
        dimension=hnsw.dimension,
        metric=Metric(hnsw.distance),
        text_ids=None if id_type is None else id_type == TEXT,
        words=_words(settings),
        m=hnsw.m,
        ef_construction=hnsw.ef_construction,
        ef_search=hnsw.ef_search,
        mapped_graphs=hnsw.mapped_graphs,
        typed_values=settings.metadata.typed_values,
        default_ttl_us=settings.metadata.default_ttl_secs * 1_000_000,
        documents_max=hnsw.documents_max,
        documents_max_name="hnsw.max_elements",
        hot_rows_max=cache.capacity,
        hot_age_max_s=float(cache.hot_tier_max_age_secs or cache.training_interval_secs),
        mutations_per_checkpoint=persistence.snapshot_interval_mutations,
        wal_segment_bytes_max=persistence.max_wal_size_bytes,
        wal_retention_bytes=persistence.wal_retention_bytes,
        sync=SyncPolicy(persistence.fsync_policy),
        sync_interval_ms=persistence.wal_flush_interval_ms,
        breaker_cooldown_s=float(persistence.wal_breaker_cooldown_secs),
        cache=_cache_options(settings),
        cold_tier=_cold_tier(settings),
        remote=RemoteOptions(
            services_file=settings.cold_tier.services_file,
            partial=settings.cold_tier.when_away == "partial",
            backlog_bytes_max=settings.cold_tier.backlog_bytes_max,
            connections_max=settings.cold_tier.connections_max,
            statement_timeout_ms=settings.cold_tier.statement_timeout_ms,
            replica_suffix=settings.cold_tier.replica_suffix,
        ),
        recall=RecallOptions(processor_share=RECALL_PROCESSOR_SHARE, target=settings.search.target_recall),
        budgets=TierBudgets(
            timeouts.cache_ms, timeouts.hot_tier_ms, timeouts.cold_tier_ms, settings.tracing.enabled
        ),
    )


def _cold_tier(settings: Settings) -> ColdTier | None:
    engine = settings.cold_tier.engine
    if engine is None:
        return None
    return ColdTier(engine, "" if engine == LOCAL else settings.cold_tier.service)


def _words(settings: Settings) -> WordsConfig | None:
    keys, language = settings.collections.default_text_keys, settings.collections.default_text_language
    return None if keys is None else checked_words({"keys": listed_keys(keys), "language": language})


def _cache_options(settings: Settings) -> CacheOptions:
    cache = settings.cache
    return CacheOptions(
        query_mode=Mode(cache.query_cache_mode),
        query_capacity=cache.query_cache_capacity,
        query_similarity_threshold=cache.query_cache_similarity_threshold,
        query_recall_min=cache.query_cache_min_recall,
        documents_max=cache.capacity,
    )


def open_database(settings: Settings, memory: MemoryBudget | None = None) -> Engine:
    """The engine over persistence.data_dir, recovered; logs what was found. What it holds is charged to `memory`.

    Raises ConfigError, FailedPrecondition and what `open_engine` raises.
    """
    persistence = settings.persistence
    if not persistence.enable_recovery and _holds_data(persistence.data_dir):
        raise ConfigError(
            f"persistence.enable_recovery = false, but {persistence.data_dir} holds data: starting without it "
            f"would lose it. Set it to true, or persistence.data_dir to an empty directory"
        )
    options = engine_options(settings)
    if memory is not None and (refusal := too_small(memory, "memory.limit")):
        raise ConfigError(refusal)
    started_s = time.monotonic()
    try:
        engine = open_engine(persistence.data_dir, options, memory=memory)
    except DataDamaged as damage:
        if not persistence.allow_fresh_start_on_recovery_failure:
            raise FailedPrecondition(
                "Recovery failed and allow_fresh_start_on_recovery_failure=false (fail-fast)"
            ) from damage
        aside = _move_aside(persistence.data_dir)
        _log.error("recovery failed: %s. Its files are kept in %s; starting empty", damage, aside)
        engine = open_engine(persistence.data_dir, options, memory=memory)
    _log_recovery(engine, time.monotonic() - started_s)
    return engine


def open_collections(settings: Settings, default: Engine, memory: MemoryBudget | None = None) -> Collections:
    """The collections of the database that `default` is of. Raises DataDamaged, DataDirMismatch, StorageError."""
    try:
        return Collections(
            default.directory,
            default,
            default.options,
            memory=memory,
            open_max=settings.collections.max_open,
            idle_s=float(settings.collections.idle_secs),
        )
    except OSError as error:
        raise opening_error(error, default.directory) from error


def _holds_data(data_dir: Path) -> bool:
    return data_dir.is_dir() and any(data_dir.iterdir())


def _move_aside(data_dir: Path) -> Path:
    resolved = data_dir.resolve()
    aside = resolved.with_name(f"{resolved.name}_corrupt_{int(time.time())}")
    resolved.rename(aside)
    return aside


def _log_recovery(engine: Engine, duration_s: float) -> None:
    report, stats = engine.recovered, engine.stats()
    if report.created:
        _log.info(
            "created an empty database in %s for vectors of %d components, distance %s",
            engine.directory,
            engine.options.dimension,
            engine.options.metric.value,
        )
    else:
        _log.info(
            "recovered %d documents from %s in %.2f s: checkpoint at position %d, %d log frames replayed up to "
            "position %d, %d torn bytes dropped",
            stats.documents,
            engine.directory,
            duration_s,
            report.sealed_lsn,
            report.frames_replayed,
            report.last_lsn,
            report.torn_bytes,
        )
    for warning in report.warnings:
        _log.warning("recovery: %s", warning)
