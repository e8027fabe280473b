"""The metrics of the server process: its resources, its start, its backups, its ports and its log lines."""

from __future__ import annotations

from typing import Final

from pykyro.telemetry.catalogue.declaration import FLAG, MetricGroup

PROCESS_AND_RECOVERY: Final = MetricGroup("Process and recovery")

MEMORY_USED: Final = PROCESS_AND_RECOVERY.gauge(
    "kyrodb_memory_used_bytes", "bytes", "Memory that the server process occupies (resident set size)."
)
MEMORY_LIMIT: Final = PROCESS_AND_RECOVERY.gauge(
    "kyrodb_memory_limit_bytes",
    "bytes",
    "Most memory that the server may occupy before the system ends it: the limit of its control group, or all memory "
    "of the machine.",
)
MEMORY_BUDGET: Final = PROCESS_AND_RECOVERY.gauge(
    "kyrodb_memory_budget_bytes",
    "bytes",
    "Memory that the server allows itself: the setting memory.limit, or the share of memory that is its default.",
)
MEMORY_PART: Final = PROCESS_AND_RECOVERY.gauge(
    "kyrodb_memory_part_bytes",
    "bytes",
    "Memory that counts against the budget, by the part of the server that holds it. Part program is the memory of "
    "the process at its start; part not accounted for is resident memory beyond all other parts.",
    "part",
)
MEMORY_REFUSED_TOTAL: Final = PROCESS_AND_RECOVERY.counter(
    "kyrodb_memory_refused_total",
    "requests",
    "Requests and background work that were refused because memory was short, by kind: can_wait is background work, "
    "large_read is a read whose request or answer has 64 KiB or more, relief is work that gives memory back.",
    "kind",
)
UPTIME: Final = PROCESS_AND_RECOVERY.counter(
    "kyrodb_uptime_seconds", "seconds", "Whole seconds since the server started."
)
RECOVERY: Final = PROCESS_AND_RECOVERY.gauge(
    "kyrodb_recovery_seconds",
    "seconds",
    "Time from the last start of the server until the database was open.",
)
RECOVERY_FRAMES_REPLAYED: Final = PROCESS_AND_RECOVERY.gauge(
    "kyrodb_recovery_frames_replayed",
    "frames",
    "Frames of the write-ahead log that the last start replayed. A frame is the record of one write.",
)
RECOVERY_TORN_BYTES: Final = PROCESS_AND_RECOVERY.gauge(
    "kyrodb_recovery_torn_bytes",
    "bytes",
    "Bytes of an incomplete write that the last start removed from the end of the log. That write had never been "
    "acknowledged.",
)
RECOVERY_UNCLEAN: Final = PROCESS_AND_RECOVERY.gauge(
    "kyrodb_recovery_unclean",
    FLAG,
    "1 if the server did not stop cleanly before its last start (a crash, a kill, a power failure), else 0.",
)
BACKUP_NEWEST_TIMESTAMP: Final = PROCESS_AND_RECOVERY.gauge(
    "kyrodb_backup_newest_timestamp_seconds",
    "seconds",
    "Unix time of the newest backup in backup.dir, whoever made it. With backups in an object store, the newest one "
    "that this server made or found there at its start. Absent while no backup is known.",
)
BACKUPS_MADE_TOTAL: Final = PROCESS_AND_RECOVERY.counter(
    "kyrodb_backups_made_total",
    "backups",
    "Scheduled backups made since the server started; only with backup.interval_secs.",
)
BACKUP_FAILURES_TOTAL: Final = PROCESS_AND_RECOVERY.counter(
    "kyrodb_backup_failures_total",
    "backups",
    "Scheduled backups that failed since the server started; only with backup.interval_secs.",
)
BACKUP_LAST_SIZE: Final = PROCESS_AND_RECOVERY.gauge(
    "kyrodb_backup_last_size_bytes",
    "bytes",
    "Size of the last scheduled backup; only with backup.interval_secs.",
)
CONNECTIONS: Final = PROCESS_AND_RECOVERY.gauge(
    "kyrodb_connections",
    "connections",
    "Open connections to the gRPC port and the HTTP port, counted every second, or every ten seconds when there are "
    "thousands.",
)
CONNECTIONS_SHED_TOTAL: Final = PROCESS_AND_RECOVERY.counter(
    "kyrodb_connections_shed_total",
    "connections",
    "Connections that the server closed because it had too many or memory was short. It closes first those that were "
    "silent longest.",
)
TLS_CERTIFICATE_REMAINING: Final = PROCESS_AND_RECOVERY.gauge(
    "kyrodb_tls_certificate_remaining_seconds",
    "seconds",
    "Time until the first certificate of a file expires, negative after that; by the setting that names the file, "
    "server.tls.cert_path or server.tls.ca_cert_path. Only with TLS.",
    "setting",
)
LOG_LINES_LOST_TOTAL: Final = PROCESS_AND_RECOVERY.counter(
    "kyrodb_log_lines_lost_total",
    "lines",
    "Lines of the server's own log that could not be written, because nobody read the output or the disk refused "
    "them.",
)
BUILD_INFO: Final = PROCESS_AND_RECOVERY.gauge(
    "kyrodb_build_info",
    "1",
    "Always 1. The labels name the version of KyroDB, the commit it was built from, and the version of Python.",
    "version",
    "commit",
    "python",
)
