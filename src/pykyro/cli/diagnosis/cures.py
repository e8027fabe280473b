"""The advice for what a running server says of itself in /health and /slo."""

from __future__ import annotations

from typing import Final

DISK: Final = "repair the disk; the server accepts writes again within a minute"
"""What helps while writes are refused for a reason that the system gave."""
SEE_REASON: Final = "the reason says what is wrong; docs/operations.md says more"
_LATENCY: Final = "see 'P99 latency is high' in docs/operations.md"
_HITS: Final = (
    "lower slo.cache_hit_rate, or leave it out: searches that do not repeat cannot be answered by a cache"
)
_RECALL: Final = "raise hnsw.ef_search, or set search.target_recall"
_ERRORS: Final = "kyrodb_errors_total counts the failed calls by kind, and the log of the server names them"
_CURES: Final = (
    ("shutting down", "wait until the server has stopped"),
    ("the database is closed", "start the server again"),
    ("event loop", "restart the server"),
    ("an interrupted write left memory behind the log", "restart the server: it replays the log"),
    (
        "while the database was open",
        "the reason says what to put back; docs/operations.md, 'Moving the data directory'",
    ),
    ("disk space", "free space, or move the data directory to a larger disk"),
    ("Disk full", "free space; the server accepts writes again within a minute"),
    (
        "failed WAL writes",
        "the disk has failed since the start: read dmesg; a restart clears this state",
    ),
    ("a group of writes has been under way", "the disk does not answer: read dmesg, and look at its mount"),
    ("configuration reload refused", "correct the configuration and send SIGHUP again"),
    ("the log cannot be written", "free space where the log goes, or read the pipe it goes to"),
    ("the certificate of", "put a new certificate there, or correct the clock, and send SIGHUP"),
    (
        "connections were closed",
        "find out who opens so many connections; 'Hostile clients' in docs/operations.md has the bounds",
    ),
    ("files it may open", "raise the limit: ulimit -n, or LimitNOFILE= in the unit"),
    ("usage is not being saved", "free space in the data directory, or correct permissions there"),
    ("true results", _RECALL),
    ("background work", "the reason names the file; the server keeps trying"),
    ("scheduled backup failed", "see 'A backup failed' in docs/operations.md"),
    (
        "memory is short",
        "give the server more memory (memory.limit), or see 'Out of memory' in docs/operations.md",
    ),
    ("hnsw.max_elements", "raise hnsw.max_elements, or leave it out for no bound"),
    ("started from the last checkpoint", "the log was removed by hand; writes after that position are lost"),
    ("belongs to nothing and cannot be removed", "remove that file, or correct its permissions"),
    ("P99 latency", _LATENCY),
    ("Cache hit rate", _HITS),
    ("Error rate", _ERRORS),
    ("Availability", _ERRORS),
    ("Recall at most", _RECALL),
)
"""Words of a reason of /health, and the advice."""
OBJECTIVE_CURES: Final = {
    "p99_latency": _LATENCY,
    "cache_hit_rate": _HITS,
    "error_rate": _ERRORS,
    "availability": _ERRORS,
    "recall": _RECALL,
}
"""The objectives of /slo, and the advice where one is missed."""


def cure(reason: str, *, otherwise: str) -> str:
    """The advice for every part of a reason of /health; `otherwise` when none of its words is known."""
    advice = dict.fromkeys(advice for words, advice in _CURES if words in reason)
    return "; ".join(advice) or otherwise
