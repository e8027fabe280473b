"""Keys of storage and search: hnsw, search, persistence, backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator

from pykyro.config.settings.declare import (
    LOWERCASE,
    Integer,
    NonBlankPath,
    Number,
    Place,
    Section,
    ServiceName,
    ServiceSuffix,
    Wanted,
    key,
)
from pykyro.model import limits
from pykyro.model.cold_tier import DEFAULT_SERVICE
from pykyro.model.errors import InvalidArgument
from pykyro.model.languages import LANGUAGES, SIMPLE


class HnswSettings(Section):
    """The collection and its graph. Dimension and distance cannot change once there is data."""

    max_elements: Integer | None = key(
        None,
        "Number of live documents that the database may hold; further inserts are refused with "
        "RESOURCE_EXHAUSTED. null sets no bound; nothing is allocated in advance.",
        unit="documents",
        ge=1,
        le=limits.COUNT_MAX,
        example=1_000_000,
    )
    m: Integer = key(
        16,
        "Neighbours a vector has in the graph. More: better recall, more memory, slower building.",
        unit="edges",
        ge=limits.HNSW_M_MIN,
        le=limits.HNSW_M_MAX,
    )
    ef_construction: Integer = key(
        200,
        "Candidates examined when a vector is added to the graph; at least m.",
        unit="candidates",
        ge=1,
        le=limits.EF_CONSTRUCTION_MAX,
    )
    ef_search: Integer = key(
        50,
        "Candidates that a search of the graph examines. More: better recall, slower searches.",
        unit="candidates",
        ge=1,
        le=limits.EF_SEARCH_MAX,
        reloads=True,
    )
    dimension: Integer = key(768, "Length of every vector.", unit="components", ge=1, le=limits.DIMENSION_MAX)
    distance: Annotated[Literal["cosine", "euclidean", "innerproduct"], LOWERCASE] = key(
        "cosine", "Distance between two vectors."
    )
    mapped_graphs: bool = key(
        False,
        "Graphs are memory-mapped files, whose pages the system can drop when memory is short. Otherwise they "
        "are held in memory, in huge pages where the system has them, and searches are faster.",
    )
    disable_normalization_check: bool = key(
        False, "Vectors are stored as they were sent, so there is no such check.", compatibility_only=True
    )

    @property
    def documents_max(self) -> int:
        """`max_elements`, COUNT_MAX for no bound."""
        return limits.COUNT_MAX if self.max_elements is None else self.max_elements


def _text_keys(text: str) -> str:
    from pykyro.model.words import (  # brings numpy, which most configurations can do without
        checked_words,
        listed_keys,
    )

    try:
        checked_words(listed_keys(text))
    except InvalidArgument as fault:
        raise ValueError(str(fault)) from None
    return text


def _language(text: str) -> str:
    if text not in LANGUAGES:
        raise ValueError(f"must be one of {', '.join(LANGUAGES)}")
    return text


class CollectionsSettings(Section):
    """The collections beside `default`, whose properties are said when they are created; and the ids of `default`."""

    default_id_type: Annotated[Literal["integer", "text"], LOWERCASE] | None = key(
        None,
        "Ids of the documents of `default`: integers, or texts of 1 to 512 bytes. They cannot change once there is "
        "data; null is as they are, and integers in a new database.",
        example="text",
    )

    default_text_keys: (
        Annotated[str, AfterValidator(_text_keys), Wanted("metadata keys, by commas")] | None
    ) = key(
        None,
        "Metadata keys of `default` whose words are searched (docs/words.md), separated by commas. They cannot "
        "change once there is data; null is as it was, and none in a new database.",
        example="title, body",
    )
    default_text_language: Annotated[
        str, LOWERCASE, AfterValidator(_language), Wanted(f"one of {', '.join(LANGUAGES)}")
    ] = key(
        SIMPLE,
        "Whose stems the words of `default_text_keys` are reduced to; simple takes them as they are. It cannot "
        "change either.",
    )

    max_open: Integer = key(
        limits.COLLECTIONS_OPEN_MAX,
        "Collections that are open at once, if no more are in use; those not used longest are closed. Each takes "
        "three file descriptors and about a megabyte.",
        unit="collections",
        ge=1,
        le=limits.COLLECTIONS_MAX,
    )
    idle_secs: Integer = key(
        int(limits.COLLECTION_IDLE_S),
        "A collection that nobody used for so long is sealed and closed; the next use opens it again.",
        unit="seconds",
        ge=1,
        le=limits.DURATION_MAX,
    )


class ColdTierSettings(Section):
    """Where the sealed documents of `default` are, and how a PostgreSQL is used that has those of any collection."""

    engine: Annotated[Literal["local", "postgres"], LOWERCASE] | None = key(
        None,
        "Sealed documents of `default`: in segments of persistence.data_dir, or in a table of PostgreSQL with "
        "pgvector. Only `kyrodb move` changes where documents are; null is as it is, and local in a new database.",
        example="postgres",
    )
    service: ServiceName = key(
        DEFAULT_SERVICE,
        "Connection service of `default`: the section of the services file that says how PostgreSQL is reached.",
    )
    services_file: NonBlankPath | None = key(
        None,
        "File of connection services, of the form of pg_service.conf, which may have passwords in it. null leaves "
        "them to libpq: PGSERVICEFILE, ~/.pg_service.conf.",
        example="pg_service.conf",
    )
    when_away: Annotated[Literal["fail", "partial"], LOWERCASE] = key(
        "fail",
        "Searches while PostgreSQL does not answer: they fail with UNAVAILABLE, or find what is not sealed yet and "
        "are marked as partial.",
    )
    backlog_bytes_max: Integer = key(
        256 << 20,
        "Memory that documents of a collection may take which wait to be sealed to PostgreSQL. When they take more, "
        "writes are refused with RESOURCE_EXHAUSTED.",
        unit="bytes",
        ge=limits.COLD_TIER_BACKLOG_BYTES_MIN,
        le=limits.COUNT_MAX,
    )
    connections_max: Integer = key(
        8, "Connections of a collection that search PostgreSQL at once.", unit="connections", ge=1, le=1000
    )
    replica_suffix: ServiceSuffix = key(
        "",
        "With `-replica`, say, searches of a collection whose service is `kyrodb` ask the service `kyrodb-replica` "
        "first, if the services file has it: a hot standby. It answers only what it has reached; else the primary is "
        "asked. Empty: no replicas.",
    )
    statement_timeout_ms: Integer = key(
        10_000, "Time a search of PostgreSQL may take.", unit="ms", ge=1, le=limits.DURATION_MAX
    )


class MetadataSettings(Section):
    """What metadata means to filters, and what documents have that name none."""

    typed_values: bool = key(
        False,
        "Every client stores values with their types, so that a text is never taken for a number. Otherwise a text "
        "that was stored without a type, as clients that know none store numbers, is compared with numbers as one.",
    )
    default_ttl_secs: Integer = key(
        0,
        "Documents of the collection default that are stored without an expiry go after so long; 0: they stay. Other "
        "collections have a default_ttl of their own.",
        unit="seconds",
        ge=0,
        le=limits.TTL_US_MAX // 1_000_000,
    )


class SearchSettings(Section):
    """Promises of a search."""

    target_recall: Number | None = key(
        None,
        "Recall to keep: the server then adjusts ef_search to the measured recall instead of keeping it fixed.",
        unit="ratio",
        gt=0,
        le=1,
        example=0.95,
    )


class PersistenceSettings(Section):
    """Where the data is, and when a write is safe."""

    data_dir: NonBlankPath = key(
        Path("data"), "Directory of the database; a relative path starts at the working directory."
    )
    wal_flush_interval_ms: Integer = key(
        0,
        "0: a write is acknowledged once it is on disk. Above 0 and with fsync_policy data_only: it is "
        "acknowledged at once and on disk within this time, so a power cut may lose that much.",
        unit="ms",
        ge=0,
        le=limits.DURATION_MAX,
    )
    fsync_policy: Annotated[Literal["none", "data_only", "full"], LOWERCASE] = key(
        "data_only",
        "How the log reaches the disk: left to the operating system, fdatasync, or fsync. none loses writes "
        "in a power cut and is for environment.type benchmark.",
    )
    snapshot_interval_mutations: Integer = key(
        10_000,
        "Number of writes after which the hot tier is sealed even when it is neither full nor old, so that a "
        "start replays little of the log. 0 means no such number, and is for environment.type benchmark.",
        unit="writes",
        ge=0,
        le=limits.COUNT_MAX,
        former_name="snapshot_interval_inserts",
    )
    max_wal_size_bytes: Integer = key(
        104_857_600, "Size at which the log continues in a new file.", unit="bytes", ge=1, le=limits.COUNT_MAX
    )
    wal_retention_bytes: Integer = key(
        1 << 30,
        "Size of the log that is kept although segments hold its content, so that backups can restore any "
        "instant. Less is kept while under 10 % of the disk is free. 0 keeps none.",
        unit="bytes",
        ge=0,
        le=limits.COUNT_MAX,
    )
    wal_breaker_cooldown_secs: Integer = key(
        60,
        "Time after a disk error before the disk is tried again; writes are refused meanwhile.",
        unit="s",
        ge=1,
        le=limits.DURATION_MAX,
    )
    enable_recovery: bool = key(
        True, "Recover the data at the start. false is refused on a directory that holds data."
    )
    recovery_mode: Annotated[Literal["strict", "best_effort"], LOWERCASE] = key(
        "strict",
        "Reaction to damage at the start. With either value the server refuses to start and names the file. Only "
        "environment.type benchmark accepts best_effort.",
        without_effect=("best_effort",),
    )
    allow_fresh_start_on_recovery_failure: bool = key(
        False, "Start with an empty database when recovery fails. Refused in pilot."
    )


class RetentionSettings(Section):
    """Scheduled backups that are kept: the newest of each of that many periods. All null keeps every one."""

    keep_hourly: Integer | None = key(
        None, "Hours that keep a backup.", unit="backups", ge=0, le=limits.COUNT_MAX, example=24
    )
    keep_daily: Integer | None = key(
        None, "Days that keep a backup.", unit="backups", ge=0, le=limits.COUNT_MAX, example=7
    )
    keep_weekly: Integer | None = key(
        None, "Weeks that keep a backup.", unit="backups", ge=0, le=limits.COUNT_MAX, example=4
    )
    keep_monthly: Integer | None = key(
        None, "Months that keep a backup.", unit="backups", ge=0, le=limits.COUNT_MAX, example=6
    )

    @property
    def prunes(self) -> bool:
        """Whether any backup is ever removed."""
        return any(
            keep is not None
            for keep in (self.keep_hourly, self.keep_daily, self.keep_weekly, self.keep_monthly)
        )


class BackupSettings(Section):
    """Backups the server takes by itself."""

    interval_secs: Integer | None = key(
        None,
        "Time between two backups; null takes none. Needs dir.",
        unit="s",
        ge=1,
        le=limits.DURATION_MAX,
        example=86_400,
    )
    dir: Place | None = key(
        None,
        "Directory of the backups, outside persistence.data_dir; or an object store, with the cloud extra.",
        example="backups",
    )
    retention: RetentionSettings = RetentionSettings()

    @property
    def directory(self) -> Path | None:
        """`dir` when it is a directory of this machine."""
        return None if self.dir is None or "://" in self.dir else Path(self.dir)
