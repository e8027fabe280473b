"""The metrics of documents, tiers, the write-ahead log and the disk."""

from __future__ import annotations

from typing import Final

from pykyro.telemetry.catalogue.declaration import FLAG, MetricGroup

DOCUMENTS_AND_TIERS: Final = MetricGroup("Documents and tiers")

DOCUMENTS: Final = DOCUMENTS_AND_TIERS.gauge(
    "kyrodb_documents", "documents", "Documents in the database now, without those deleted or replaced."
)
DOCUMENTS_LIMIT: Final = DOCUMENTS_AND_TIERS.gauge(
    "kyrodb_documents_limit",
    "documents",
    "Most documents that the database accepts (hnsw.max_elements); absent when there is no limit.",
)
TIER_DOCUMENTS: Final = DOCUMENTS_AND_TIERS.gauge(
    "kyrodb_tier_documents",
    "documents",
    "Documents in the database now, by tier: hot (in memory, not yet in a segment) or cold (in segments).",
    "tier",
)
SEGMENTS: Final = DOCUMENTS_AND_TIERS.gauge(
    "kyrodb_segments", "segments", "Segments of the cold tier. A segment is a set of files that never change."
)
DEAD_ROWS: Final = DOCUMENTS_AND_TIERS.gauge(
    "kyrodb_dead_rows",
    "rows",
    "Rows in segments whose document was deleted or replaced. Merging segments gives their space back.",
)
HOT_TIER_FLUSHES_TOTAL: Final = DOCUMENTS_AND_TIERS.counter(
    "kyrodb_hot_tier_flushes_total",
    "flushes",
    "Times the server sealed the hot tier: it wrote its documents to a new segment.",
)
MERGES_TOTAL: Final = DOCUMENTS_AND_TIERS.counter(
    "kyrodb_merges_total", "merges", "Times the server merged several segments into one."
)
DOCUMENTS_EXPIRED_TOTAL: Final = DOCUMENTS_AND_TIERS.counter(
    "kyrodb_documents_expired_total",
    "documents",
    "Documents of all collections that went because the instant came at which they expire.",
)
MAINTENANCE_FAILING: Final = DOCUMENTS_AND_TIERS.gauge(
    "kyrodb_maintenance_failing",
    FLAG,
    "1 while sealing the hot tier or merging segments fails and is tried again, else 0. /health has the reason.",
)
COLD_TIER_AWAY: Final = DOCUMENTS_AND_TIERS.gauge(
    "kyrodb_cold_tier_away",
    FLAG,
    "1 while the cold tier of the collection default is PostgreSQL and cannot be used, else 0. /health has the "
    "reason.",
)

LOG_AND_DISK: Final = MetricGroup("Log and disk")

WAL_CIRCUIT_BREAKER_STATE: Final = LOG_AND_DISK.gauge(
    "kyrodb_wal_circuit_breaker_state",
    "state",
    "State of the circuit breaker of the write-ahead log: 0 closed (writes are accepted), 1 open (writes are refused "
    "after a disk error), 2 half-open (the server tries the disk again).",
)
WAL_WRITES_TOTAL: Final = LOG_AND_DISK.counter(
    "kyrodb_wal_writes_total",
    "frames",
    "Frames written to the write-ahead log. A frame is the record of one write.",
)
WAL_WRITES_FAILED: Final = LOG_AND_DISK.counter(
    "kyrodb_wal_writes_failed", "failures", "Times the disk refused a write, an fsync or a rename."
)
WAL_RETRIES_TOTAL: Final = LOG_AND_DISK.counter(
    "kyrodb_wal_retries_total",
    "retries",
    "Times the server tried the disk again after it had refused a write.",
)
WAL_DISK_FULL_ERRORS: Final = LOG_AND_DISK.counter(
    "kyrodb_wal_disk_full_errors", "failures", "Times the disk refused a write because it was full."
)
WAL_BYTES_TOTAL: Final = LOG_AND_DISK.counter(
    "kyrodb_wal_bytes_total", "bytes", "Bytes written to the write-ahead log."
)
WAL_SYNCS_TOTAL: Final = LOG_AND_DISK.counter(
    "kyrodb_wal_syncs_total", "syncs", "Times the write-ahead log was made durable on disk (fsync)."
)
WAL_SYNC_DURATION: Final = LOG_AND_DISK.histogram(
    "kyrodb_wal_sync_duration_seconds",
    "seconds",
    "Time to make the write-ahead log durable on disk (duration of each fsync).",
)
WAL_POSITION: Final = LOG_AND_DISK.gauge(
    "kyrodb_wal_position", "LSN", "Position (log sequence number, LSN) of the last accepted write."
)
WAL_SEALED_POSITION: Final = LOG_AND_DISK.gauge(
    "kyrodb_wal_sealed_position",
    "LSN",
    "Position (log sequence number, LSN) up to which segments hold every write. A start has to replay the log from "
    "here to kyrodb_wal_position.",
)
WAL_UNSYNCED_FRAMES: Final = LOG_AND_DISK.gauge(
    "kyrodb_wal_unsynced_frames",
    "frames",
    "Acknowledged writes that are not durable on disk yet. Always 0 unless persistence.wal_flush_interval_ms is set "
    "or persistence.fsync_policy is none.",
)
WAL_OLDEST_UNSYNCED: Final = LOG_AND_DISK.gauge(
    "kyrodb_wal_oldest_unsynced_seconds",
    "seconds",
    "Age of the oldest acknowledged write that is not durable on disk yet: a power failure could lose the writes of "
    "this time.",
)
WRITES_REFUSED: Final = LOG_AND_DISK.gauge(
    "kyrodb_writes_refused",
    FLAG,
    "1 while the server refuses documents, else 0: after a disk error, with a nearly full disk, or after an "
    "interrupted write. /health has the reason.",
)
DISK_FREE: Final = LOG_AND_DISK.gauge(
    "kyrodb_disk_free_bytes", "bytes", "Free space of the file system that holds the data directory."
)
DISK_USED: Final = LOG_AND_DISK.gauge(
    "kyrodb_disk_used_bytes",
    "bytes",
    "Used space of the file system that holds the data directory, by KyroDB and all other programs.",
)

COLLECTIONS_SECTION: Final = MetricGroup("Collections")
COLLECTIONS: Final = COLLECTIONS_SECTION.gauge(
    "kyrodb_collections", "collections", "Collections of the database, the default one included."
)
COLLECTIONS_OPEN: Final = COLLECTIONS_SECTION.gauge(
    "kyrodb_collections_open",
    "collections",
    "Collections that are open now, the default one included; the others are opened when they are used.",
)
COLLECTIONS_OPENED_TOTAL: Final = COLLECTIONS_SECTION.counter(
    "kyrodb_collections_opened_total",
    "openings",
    "Times a collection was opened. When it grows with every request, collections.max_open is too small.",
)
COLLECTIONS_IN_TROUBLE: Final = COLLECTIONS_SECTION.gauge(
    "kyrodb_collections_in_trouble",
    "collections",
    "Collections other than the default one that cannot be opened, refuse writes or fail at background work. /health "
    "names them.",
)
COLLECTION_DOCUMENTS: Final = COLLECTIONS_SECTION.gauge(
    "kyrodb_collection_documents",
    "documents",
    "Live documents of the twenty largest collections by name, and of all others together as other_collections. "
    "Collections that were not opened since the start are left out.",
    "collection",
)

ARCHIVE: Final = MetricGroup("Archive and followers")

ARCHIVE_EPOCH: Final = ARCHIVE.gauge(
    "kyrodb_archive_epoch",
    "epochs",
    "Epoch of the archive that this server leads or follows; each promote begins the next. Only with archive.url or "
    "archive.follow.",
)
ARCHIVE_LEADING: Final = ARCHIVE.gauge(
    "kyrodb_archive_leading",
    FLAG,
    "1 while this server leads its archive, 0 once another has been made the leader. Only with archive.url.",
)
ARCHIVE_COMMIT: Final = ARCHIVE.gauge(
    "kyrodb_archive_commit",
    "commits",
    "Number of the newest commit of the archive that this server made or, as a follower, applied.",
)
ARCHIVE_LAG: Final = ARCHIVE.gauge(
    "kyrodb_archive_lag_seconds",
    "seconds",
    "How old the oldest acknowledged write may be that is not in the archive: what losing this machine now would "
    "take. Compare with archive.max_lag_ms. Only with archive.url.",
)
ARCHIVE_LOG_BYTES_TOTAL: Final = ARCHIVE.counter(
    "kyrodb_archive_log_bytes_total",
    "bytes",
    "Bytes of the log that were shipped to the archive since the server started. Only with archive.url.",
)
ARCHIVE_FAILURES_TOTAL: Final = ARCHIVE.counter(
    "kyrodb_archive_failures_total",
    "attempts",
    "Attempts to ship to the archive, or to follow it, that failed since the server started; each is tried again. "
    "/health has the reason of the last.",
)
FOLLOWER_LAG: Final = ARCHIVE.gauge(
    "kyrodb_follower_lag_seconds",
    "seconds",
    "Time since this follower had everything that is in the archive. Only on followers.",
)
FOLLOWER_LAG_POSITIONS: Final = ARCHIVE.gauge(
    "kyrodb_follower_lag_positions",
    "positions",
    "Positions of the collection default that are known to be in the archive and are not on this follower. Only on "
    "followers.",
)
