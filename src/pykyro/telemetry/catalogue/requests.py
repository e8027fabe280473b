"""The metrics of calls, queries and inserts, and of the objectives for them."""

from __future__ import annotations

from typing import Final

from pykyro.telemetry.catalogue.declaration import FLAG, SHARE, MetricGroup

REQUESTS: Final = MetricGroup("Requests")

QUERIES_TOTAL: Final = REQUESTS.counter(
    "kyrodb_queries_total",
    "queries",
    "Queries that the database was asked, including those that failed. A query is a call, or a message of "
    "BulkSearch, that reads or selects documents.",
)
QUERIES_FAILED: Final = REQUESTS.counter(
    "kyrodb_queries_failed", "queries", "Queries that the database was asked and could not answer."
)
QUERY_LATENCY: Final = REQUESTS.gauge(
    "kyrodb_query_latency_ns",
    "nanoseconds",
    "Time to answer a query, by percentile, over the last 5 minutes: at most the last 1000 single queries and the "
    "last 1000 bulk or write queries.",
    "percentile",
)
INSERTS_TOTAL: Final = REQUESTS.counter(
    "kyrodb_inserts_total",
    "documents",
    "Documents that clients sent to be stored, by any call, including those that were not stored.",
)
INSERTS_FAILED: Final = REQUESTS.counter(
    "kyrodb_inserts_failed", "documents", "Documents that clients sent and the server did not store."
)
ERRORS_TOTAL: Final = REQUESTS.counter(
    "kyrodb_errors_total",
    "errors",
    "Calls and stream messages that failed, by category: validation (the request is wrong), timeout (the deadline "
    "of the client passed), resource_exhausted (no room, or over a rate limit or quota), internal (a fault of the "
    "server or its disk).",
    "category",
)
ACTIVE_CONNECTIONS: Final = REQUESTS.gauge(
    "kyrodb_active_connections",
    "calls",
    "Insert and Search calls that the server works on now. The name is historical: these are calls, not connections.",
)
GRPC_REQUESTS_TOTAL: Final = REQUESTS.counter(
    "kyrodb_grpc_requests_total",
    "calls",
    "gRPC calls that ended, by RPC and status code. A stream counts as one call.",
    "rpc",
    "code",
)
GRPC_REQUEST_DURATION: Final = REQUESTS.histogram(
    "kyrodb_grpc_request_duration_seconds",
    "seconds",
    "Duration of gRPC calls, by RPC. A stream counts as one call.",
    "rpc",
)
QUEUE_WAIT: Final = REQUESTS.histogram(
    "kyrodb_queue_wait_seconds",
    "seconds",
    "Time that the oldest request of each batch waited for a thread, by queue: search, lookup (reading documents by "
    "id) or commit (writing).",
    "queue",
)
SLOW_QUERIES_TOTAL: Final = REQUESTS.counter(
    "kyrodb_slow_queries_total",
    "calls",
    "Calls and stream messages that took logging.slow_query_ms or longer.",
)

OBJECTIVES: Final = MetricGroup("Objectives")

SLO_BREACHED: Final = OBJECTIVES.gauge(
    "kyrodb_slo_breached",
    FLAG,
    "1 while the server misses this service level objective (settings slo.*), else 0: p99_latency, error_rate, "
    "availability, cache_hit_rate, and recall if slo.recall is set. All but recall count as met while the last 5 "
    "minutes had fewer than slo.min_samples queries.",
    "objective",
)
CACHE_HIT_RATE_5M: Final = OBJECTIVES.gauge(
    "kyrodb_cache_hit_rate_5m",
    SHARE,
    "Share of the lookups by id and searches of the last 5 minutes that a cache answered, from 0 to 1.",
)
ERROR_RATE_5M: Final = OBJECTIVES.gauge(
    "kyrodb_error_rate_5m", SHARE, "Share of the queries of the last 5 minutes that failed, from 0 to 1."
)
AVAILABILITY_5M: Final = OBJECTIVES.gauge(
    "kyrodb_availability_5m",
    SHARE,
    "Share of the queries of the last 5 minutes that did not fail, from 0 to 1; 1 when there were none.",
)
HEALTH: Final = OBJECTIVES.gauge(
    "kyrodb_health",
    FLAG,
    "1 for the status that /health reports now, 0 for the others: starting, healthy, degraded, unhealthy.",
    "status",
)
READY: Final = OBJECTIVES.gauge(
    "kyrodb_ready", FLAG, "1 while the server is ready for requests (/ready answers 200), else 0."
)
