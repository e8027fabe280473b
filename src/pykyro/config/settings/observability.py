"""Keys of observability: slo, logging, tracing; and environment, which decides the guardrails."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal

from pykyro.config.settings.declare import LOWERCASE, Integer, NonBlankPath, Number, Section, key
from pykyro.model import limits


class SloSettings(Section):
    """Objectives that /slo judges over the last five minutes. A breach makes /health degraded and never 503."""

    p99_latency_ms: Number = key(
        100.0,
        "Longest time that 99 of 100 single lookups and searches (Query, Search) may take. The default only "
        "finds a server in trouble; set the time that your users need.",
        unit="ms",
        gt=0,
        reloads=True,
    )
    cache_hit_rate: Number | None = key(
        None,
        "Least share of lookups and searches that the caches should answer; null sets no objective, because the "
        "share depends on how often clients repeat a query.",
        unit="ratio",
        ge=0,
        le=1,
        example=0.70,
        reloads=True,
    )
    error_rate: Number = key(
        0.001, "Largest share of queries that may fail.", unit="ratio", ge=0, le=1, reloads=True
    )
    availability: Number = key(
        0.999, "Least share of queries that should succeed.", unit="ratio", ge=0, le=1, reloads=True
    )
    recall: Number | None = key(
        None,
        "Least recall that sampled searches should reach; null sets no objective.",
        unit="ratio",
        ge=0,
        le=1,
        example=0.95,
        reloads=True,
    )
    min_samples: Integer = key(
        100,
        "Least number of queries in five minutes; with fewer, no objective is judged.",
        unit="queries",
        ge=1,
        le=limits.COUNT_MAX,
        reloads=True,
    )

    @property
    def p99_latency_ns(self) -> int:
        """`p99_latency_ms` in whole nanoseconds, rounded up."""
        return ceil(self.p99_latency_ms * 1_000_000)


class LoggingSettings(Section):
    """The log: its content and its place."""

    level: Annotated[Literal["trace", "debug", "info", "warn", "error"], LOWERCASE] = key(
        "info", "Lowest severity that is logged.", reloads=True
    )
    format: Annotated[Literal["text", "json"], LOWERCASE] = key("text", "Format of a log line.")
    file: NonBlankPath | None = key(
        None, "File to log to; null is standard output.", example="kyrodb.log", reloads=True
    )
    rotation: bool = key(True, "Start a new file when the file is full.")
    max_file_size_bytes: Integer = key(
        104_857_600, "Size at which the file is full.", unit="bytes", ge=1, le=limits.COUNT_MAX
    )
    max_files: Integer = key(
        10, "Number of log files kept, including the current one.", unit="files", ge=1, le=limits.COUNT_MAX
    )
    slow_query_ms: Integer | None = key(
        None,
        "Calls that take at least this long are logged, searches with their plan; null logs none.",
        unit="ms",
        ge=0,
        le=limits.DURATION_MAX,
        example=100,
        reloads=True,
    )


class TracingSettings(Section):
    """Traces of calls, sent by OpenTelemetry's protocol. Needs the extra otel."""

    enabled: bool = key(
        False, "Trace calls. The OTEL_ environment variables apply where a key of this section is null."
    )
    endpoint: str | None = key(
        None,
        "Collector to send spans to by OTLP over gRPC, http:// or https://; null is OTEL_EXPORTER_OTLP_ENDPOINT, or "
        "port 4317 of this machine.",
        example="http://localhost:4317",
    )
    sample_ratio: Number | None = key(
        None,
        "Share of calls that are traced when the client made no decision; null is OTEL_TRACES_SAMPLER, or all.",
        unit="ratio",
        ge=0,
        le=1,
        example=0.01,
    )
    service_name: str | None = key(
        None, "Name of this server in traces; null is OTEL_SERVICE_NAME, or kyrodb.", example="kyrodb"
    )


class EnvironmentSettings(Section):
    """The purpose of the server, which decides the guardrails."""

    type: Annotated[Literal["production", "pilot", "benchmark"], LOWERCASE] = key(
        "production",
        "production refuses unsafe settings; pilot also demands auth, rate limits and, off loopback, TLS; "
        "benchmark allows everything.",
    )
