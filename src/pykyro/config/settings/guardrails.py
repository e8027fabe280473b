"""The settings that each environment refuses: settings that lose data, or that leave a door open.

`environment.type` decides which rows hold. benchmark has none, because measuring is what it is for.
"""

from __future__ import annotations

from typing import Final

from pykyro.config.settings.rules import Rule

SAMPLE_KEY: Final = "kyro_sample_THISISASAMPLEKEYreplaceITbeforeUSE00"
"""The key of config.pilot.api_keys.example.yaml. It is public, so it may work on loopback only:
whoever loads the keys refuses it unless `ServerSettings.grpc_is_loopback` and `http_is_loopback` hold."""

_REAL: Final = ("production", "pilot")
_PRODUCTION: Final = ("production",)
_PILOT: Final = ("pilot",)

GUARDRAILS: Final = (
    Rule(
        ("environment.type", "cache.strategy"),
        lambda s: s.cache.strategy not in ("learned", "auto"),
        "Unsupported cache strategy: cache.strategy={0.cache.strategy} in {0.environment.type}; "
        "set cache.strategy to learned or auto, or environment.type=benchmark",
        _REAL,
    ),
    Rule(
        ("environment.type", "persistence.fsync_policy"),
        lambda s: s.persistence.fsync_policy == "none",
        "Unsafe persistence configuration: fsync_policy=none loses acknowledged writes in a power cut; "
        "set persistence.fsync_policy to data_only or full, or environment.type=benchmark",
        _REAL,
    ),
    Rule(
        ("environment.type", "persistence.snapshot_interval_mutations"),
        lambda s: s.persistence.snapshot_interval_mutations == 0,
        "Unsafe persistence configuration: snapshot_interval_mutations=0 lets a start replay all writes since the "
        "hot tier was full or old; "
        "set persistence.snapshot_interval_mutations to at least 1, or environment.type=benchmark",
        _REAL,
    ),
    Rule(
        ("environment.type", "persistence.recovery_mode"),
        lambda s: s.persistence.recovery_mode == "best_effort",
        "Unsafe recovery configuration: persistence.recovery_mode=best_effort asks to drop acknowledged "
        "writes, which is never done; "
        "set persistence.recovery_mode=strict, or environment.type=benchmark",
        _REAL,
    ),
    Rule(
        ("environment.type", "auth.enabled", "server.host"),
        lambda s: not s.auth.enabled and not s.server.grpc_is_loopback,
        "Production mode with non-loopback gRPC bind requires auth.enabled=true "
        "(server.host={0.server.host}); set auth.enabled and auth.api_keys_file, or server.host=127.0.0.1",
        _PRODUCTION,
    ),
    Rule(
        ("environment.type", "server.observability_auth", "server.http_host", "server.host"),
        lambda s: s.server.observability_auth == "disabled" and not s.server.http_is_loopback,
        "Production mode with non-loopback HTTP bind requires server.observability_auth to be "
        "metrics_and_slo or all (HTTP host {0.server.observability_host}); "
        "set it, or server.http_host=127.0.0.1",
        _PRODUCTION,
    ),
    Rule(
        ("environment.type", "auth.enabled"),
        lambda s: not s.auth.enabled,
        "Pilot mode requires auth.enabled=true; set it and auth.api_keys_file",
        _PILOT,
    ),
    Rule(
        ("environment.type", "rate_limit.enabled"),
        lambda s: not s.rate_limit.enabled,
        "Pilot mode requires rate_limit.enabled=true; set it",
        _PILOT,
    ),
    Rule(
        ("environment.type", "server.observability_auth"),
        lambda s: s.server.observability_auth == "disabled",
        "Pilot mode requires server.observability_auth to be metrics_and_slo or all, it is disabled",
        _PILOT,
    ),
    Rule(
        ("environment.type", "persistence.allow_fresh_start_on_recovery_failure"),
        lambda s: s.persistence.allow_fresh_start_on_recovery_failure,
        "Pilot mode requires persistence.allow_fresh_start_on_recovery_failure=false, so that damage is "
        "never answered with an empty database",
        _PILOT,
    ),
    Rule(
        ("environment.type", "server.tls.enabled", "server.host"),
        lambda s: not s.server.tls.enabled and not s.server.grpc_is_loopback,
        "Pilot mode requires TLS for non-loopback gRPC bind (server.host={0.server.host}); "
        "set server.tls.enabled, cert_path and key_path, or server.host=127.0.0.1",
        _PILOT,
    ),
)
