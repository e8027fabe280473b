"""Options of an embedded database, and their bounds."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal, TypedDict

from pykyro.cache.query_cache import Mode
from pykyro.engine.options import CacheOptions, EngineOptions, RecallOptions, RemoteOptions
from pykyro.memory.budget import MemoryBudget, too_small
from pykyro.model.arguments import bounded_integer
from pykyro.model.byte_size import parse_bytes
from pykyro.model.cold_tier import SUFFIX_PATTERN, checked_cold_tier
from pykyro.model.errors import InvalidArgument
from pykyro.model.expiry import Ttl, checked_default_ttl
from pykyro.model.limits import (
    COLD_TIER_BACKLOG_BYTES_MIN,
    COUNT_MAX,
    DIMENSION_MAX,
    DURATION_MAX,
    EF_CONSTRUCTION_MAX,
    EF_SEARCH_MAX,
    HNSW_M_MAX,
    HNSW_M_MIN,
    MEMORY_LIMIT_BYTES_MIN,
    RECALL_PROCESSOR_SHARE,
)
from pykyro.model.text_ids import ID_TYPES, TEXT
from pykyro.model.types import Metric
from pykyro.model.words import TextLike, checked_words
from pykyro.storage.wal.log import SyncPolicy


class DatabaseOptions(TypedDict, total=False):
    """Options of `open` beside dimension and distance; an option that is left out has the default of
    EngineOptions."""

    m: int
    """Neighbours a vector has in the graph."""
    ef_construction: int
    """Candidates looked at when a vector joins the graph."""
    ef_search: int
    """Candidates a search of the graph looks at, unless it says itself."""
    documents_max: int
    """Live documents there may be; no bound unless it is given."""
    hot_rows_max: int
    """Rows at which the hot tier is sealed."""
    hot_age_max_s: int
    """Age at which it is sealed."""
    hot_bytes_max: int
    """Writers wait while unsealed rows take more."""
    mutations_per_checkpoint: int
    """Writes after which it is sealed; 0: however many."""
    wal_segment_bytes_max: int
    """Size at which the log continues in a new file."""
    wal_retention_bytes: int
    """Sealed log that is kept for backups."""
    sync: Literal["none", "data_only", "full"]
    """How a write reaches the disk before it is acknowledged: not at all, by fdatasync, by fsync."""
    sync_interval_ms: int
    """Above 0 and with data_only: acknowledge at once, sync within this time."""
    snapshots_kept: int
    """Newest snapshots that stay."""
    query_cache_mode: Literal["off", "exact", "certified", "rescored", "threshold"]
    """Which answers of the query cache are served: see pykyro.cache.query_cache."""
    build_threads: int
    """Threads that build a graph."""
    mapped_graphs: bool
    """True: graphs are mapped files, whose pages the system can drop when memory is short, and searches slower."""
    typed_values: bool
    """True: filters never take a text that was stored for a number."""
    default_ttl: Ttl
    """Documents of `default` that are stored without an expiry go after this time, a timedelta or seconds."""
    cold_tier: str
    """Where sealed documents of `default` are: "local", "postgres", "postgres:service"; later only
    `move_collection` changes it."""
    cold_tier_services: str | PathLike[str]
    """File of the connection services of PostgreSQL; without it libpq's own."""
    cold_tier_partial: bool
    """True: searches are answered without the sealed documents while PostgreSQL is away, and say so."""
    cold_tier_backlog_bytes: int
    """Writes are refused while more waits to be sealed there."""
    cold_tier_replica_suffix: str
    """Reads ask the service first that is called as the one they want with this behind, if there is one."""
    text: TextLike | None
    """How documents of `default` are found by words: a metadata key, several, or TextOptions. For a new database;
    later it is what it was."""
    background: bool
    """False: nothing is sealed or merged but by `flush`."""
    memory_limit: int | str
    """Memory of the whole process, in bytes or as text like "512MiB". When it runs short caches shrink, then writes
    raise ResourceExhausted; no bound unless it is given."""


_REMOTE: Final = {
    "cold_tier_services": "services_file",
    "cold_tier_partial": "partial",
    "cold_tier_backlog_bytes": "backlog_bytes_max",
    "cold_tier_replica_suffix": "replica_suffix",
}
_BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "m": (HNSW_M_MIN, HNSW_M_MAX),
    "ef_construction": (1, EF_CONSTRUCTION_MAX),
    "ef_search": (1, EF_SEARCH_MAX),
    "documents_max": (1, COUNT_MAX),
    "hot_rows_max": (1, COUNT_MAX),
    "hot_age_max_s": (1, DURATION_MAX),
    "hot_bytes_max": (1, COUNT_MAX),
    "mutations_per_checkpoint": (0, COUNT_MAX),
    "wal_segment_bytes_max": (1, COUNT_MAX),
    "wal_retention_bytes": (0, COUNT_MAX),
    "sync_interval_ms": (0, DURATION_MAX),
    "snapshots_kept": (1, COUNT_MAX),
    "build_threads": (1, 1024),
}


def memory_budget(limit: object) -> MemoryBudget | None:
    """The budget for this value of memory_limit; None for None. Raises InvalidArgument."""
    if limit is None:
        return None
    name = "memory_limit"
    if isinstance(limit, str):
        try:
            limit = parse_bytes(limit)
        except ValueError as error:
            raise InvalidArgument(f"{name}: {error}", field=name) from None
    count = bounded_integer(limit, name, MEMORY_LIMIT_BYTES_MIN, COUNT_MAX)
    budget = MemoryBudget(count)
    if refusal := too_small(budget, name):
        raise InvalidArgument(refusal, field=name)
    return budget


def engine_options(
    dimension: int, distance: str, given: DatabaseOptions, id_type: str | None = None
) -> EngineOptions:
    """The engine's options for these arguments of `open`. Raises InvalidArgument naming the bad one."""
    values: dict[str, object] = {}
    remote: dict[str, Any] = {}
    for name, value in given.items():
        if name == "memory_limit":
            continue  # not the engine's: see memory_budget
        if name in _BOUNDS:
            values[name] = bounded_integer(value, name, *_BOUNDS[name])
        elif name == "sync":
            values[name] = SyncPolicy(_one_of(value, name, [policy.value for policy in SyncPolicy]))
        elif name == "query_cache_mode":
            mode = Mode(_one_of(value, name, [mode.value for mode in Mode]))
            values["cache"] = CacheOptions(query_mode=mode)
        elif name == "text":
            values["words"] = checked_words(value)
        elif name == "default_ttl":
            values["default_ttl_us"] = checked_default_ttl(value)
        elif name == "cold_tier":
            values["cold_tier"] = checked_cold_tier(value)
        elif name in _REMOTE:
            remote[_REMOTE[name]] = _remote_option(name, value)
        elif name in ("background", "mapped_graphs", "typed_values") and isinstance(value, bool):
            values[name] = value
        elif name in DatabaseOptions.__annotations__:
            raise InvalidArgument(f"{name} must be True or False, got {value!r}", field=name)
        else:
            known = ", ".join(sorted(DatabaseOptions.__annotations__))
            raise InvalidArgument(
                f"{name} is not an option of a database; the options are {known}", field=name
            )
    return EngineOptions(
        dimension=bounded_integer(dimension, "dimension", 1, DIMENSION_MAX),
        metric=Metric(_one_of(distance, "distance", [metric.value for metric in Metric])),
        text_ids=None if id_type is None else _one_of(id_type, "id_type", list(ID_TYPES)) == TEXT,
        recall=RecallOptions(processor_share=RECALL_PROCESSOR_SHARE),
        remote=RemoteOptions(**remote),
        **values,  # type: ignore[arg-type]
    )


def _remote_option(name: str, value: object) -> object:
    if name == "cold_tier_services":
        if not isinstance(value, str | PathLike) or not str(value):
            raise InvalidArgument(f"{name} must be the path of a file, got {value!r}", field=name)
        return Path(value)
    if name == "cold_tier_backlog_bytes":
        return bounded_integer(value, name, COLD_TIER_BACKLOG_BYTES_MIN, COUNT_MAX)
    if name == "cold_tier_replica_suffix":
        if not isinstance(value, str) or not re.fullmatch(SUFFIX_PATTERN, value):
            raise InvalidArgument(
                f"{name} must be at most 32 of A-Z a-z 0-9 _ - ., got {value!r}", field=name
            )
        return value
    if not isinstance(value, bool):
        raise InvalidArgument(f"{name} must be True or False, got {value!r}", field=name)
    return value


def _one_of(value: object, name: str, words: list[str]) -> str:
    if value not in words:
        raise InvalidArgument(f"{name} must be one of {', '.join(words)}, got {value!r}", field=name)
    return str(value)
