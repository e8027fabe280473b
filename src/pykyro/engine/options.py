"""The options of an engine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pykyro.cache.query_cache import Mode
from pykyro.index.vector.graph_build import GraphParameters
from pykyro.model.cold_tier import ColdTier
from pykyro.model.limits import COUNT_MAX, QUERY_CACHE_BYTES_MAX
from pykyro.model.types import Metric
from pykyro.model.words import WordsConfig
from pykyro.storage.wal.breaker import COOLDOWN_S
from pykyro.storage.wal.log import LogOptions, SyncPolicy

SEAL_ROWS: Final = 4096
"""The hot tier is scanned whole by each search, about 15 to 60 us a thousand rows, so it is sealed this early."""


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """The options of the caches, see pykyro.cache.

    `query_similarity_threshold` is the cosine from which the unproved modes go by similarity at all,
    `query_recall_min` the least average share of a search's results in mode RESCORED. The document cache holds
    `documents_max` documents; with 0 there is none.
    """

    query_mode: Mode = Mode.CERTIFIED
    query_capacity: int = 100
    query_bytes_max: int = QUERY_CACHE_BYTES_MAX
    query_similarity_threshold: float = 0.52
    query_recall_min: float = 0.95
    documents_max: int = 0


@dataclass(frozen=True, slots=True)
class RecallOptions:
    """How recall is watched, see recall/monitor.py: with which share of one processor (0: not at all), and the recall
    that ef is adjusted to (None: ef stays)."""

    processor_share: float = 0.0
    target: float | None = None


@dataclass(frozen=True, slots=True)
class TierBudgets:
    """Milliseconds a search may spend in a part of the database; what that means is in read_path.py and, of the
    cache, in caches.py."""

    cache_ms: float = math.inf
    hot_tier_ms: float = math.inf
    cold_tier_ms: float = math.inf
    timed: bool = False
    """Whether answers tell when each tier was searched, for traces."""


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """How a cold tier in PostgreSQL is used.

    `services_file` says what connection services there are; None leaves that to libpq. While the other side is away
    reads of it fail, or are answered without it where `partial`, and writes are taken until `backlog_bytes_max` wait
    to be sealed. Reads ask the service first that is called as the one they want with `replica_suffix` behind, if
    there is one. Up to `connections_max` connections search at once; a statement has `statement_timeout_ms`.
    """

    services_file: Path | None = None
    partial: bool = False
    backlog_bytes_max: int = 256 << 20
    connections_max: int = 8
    connect_timeout_s: int = 3
    statement_timeout_ms: int = 10_000
    replica_suffix: str = ""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Everything the engine needs to know; the server fills it from its configuration.

    With `text_ids` ids are text; None is as the directory has them, and integers in a new one. `cold_tier` says where
    sealed documents are; None likewise, and local in a new one. `words` says how words are found; None likewise, and
    in a new one none are kept. `documents_max` counts
    live documents, COUNT_MAX is no bound; messages call it `documents_max_name`. The hot
    tier is sealed at `hot_rows_max` rows (or SEAL_ROWS), at `hot_age_max_s`, or after `mutations_per_checkpoint`
    writes (0: however many), whichever comes first; writers wait while it holds more than `hot_bytes_max`, of which
    half is a reason to seal it too. Graphs are kept in memory, in huge pages where the system has them; with
    `mapped_graphs` they are mapped files, whose pages the system can drop when memory is short. `sync_interval_ms` 0
    syncs before the acknowledgement. After a disk error the disk is tried again every `breaker_cooldown_s`.
    `snapshots_kept` newest snapshots stay, and up to `wal_retention_bytes` of the log that is sealed already, for
    backups. With `typed_values` a filter never takes a text for a number, as which clients without types store
    numbers. Documents that are put without an expiry go `default_ttl_us` later, never with 0. With `background` off
    nothing is sealed or merged until `maintain` or `flush` is called.
    """

    dimension: int
    metric: Metric = Metric.COSINE
    text_ids: bool | None = None
    cold_tier: ColdTier | None = None
    words: WordsConfig | None = None
    m: int = 16
    ef_construction: int = 200
    ef_search: int = 50
    documents_max: int = COUNT_MAX
    documents_max_name: str = "documents_max"
    hot_rows_max: int = 10_000
    hot_age_max_s: float = 600.0
    hot_bytes_max: int = 1 << 30
    mutations_per_checkpoint: int = 10_000
    wal_segment_bytes_max: int = 100 << 20
    wal_retention_bytes: int = 1 << 30
    sync: SyncPolicy = SyncPolicy.DATA_ONLY
    sync_interval_ms: int = 0
    breaker_cooldown_s: float = COOLDOWN_S
    snapshots_kept: int = 2
    build_threads: int = 1
    mapped_graphs: bool = False
    typed_values: bool = False
    default_ttl_us: int = 0
    background: bool = True
    cache: CacheOptions = CacheOptions()
    recall: RecallOptions = RecallOptions()
    budgets: TierBudgets = TierBudgets()
    remote: RemoteOptions = RemoteOptions()

    @property
    def graph(self) -> GraphParameters:
        return GraphParameters(self.m, self.ef_construction, self.metric)

    @property
    def log(self) -> LogOptions:
        return LogOptions(
            self.sync, self.sync_interval_ms, self.wal_segment_bytes_max, self.breaker_cooldown_s
        )
