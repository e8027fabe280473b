"""Each guardrail in each environment: refused where the table says so, allowed where it does not."""

from __future__ import annotations

import pytest

from pykyro.config import load_settings
from pykyro.config.settings.guardrails import GUARDRAILS
from pykyro.config.settings.rules import ENVIRONMENTS
from pykyro.model.errors import ConfigError

AUTH = {"auth.enabled": "true", "auth.api_keys_file": "keys.yaml"}
TLS = {"server.tls.enabled": "true", "server.tls.cert_path": "c", "server.tls.key_path": "k"}
# Meets every demand of every environment, open to other machines.
SAFE = (
    AUTH | TLS | {"server.host": "0.0.0.0", "server.observability_auth": "all", "rate_limit.enabled": "true"}
)
LOOPBACK = {"server.host": "127.0.0.1"}
NO_AUTH = {"auth.enabled": "false", "server.observability_auth": "disabled"}

OPEN_HTTP = "Production mode with non-loopback HTTP bind requires server.observability_auth"
OPEN_GRPC = "Production mode with non-loopback gRPC bind requires auth.enabled=true"
PILOT_AUTH = "Pilot mode requires auth.enabled=true"
PILOT_HTTP = "Pilot mode requires server.observability_auth"
PILOT_TLS = "Pilot mode requires TLS for non-loopback gRPC bind"
STRATEGY = "Unsupported cache strategy"
FSYNC = "Unsafe persistence configuration: fsync_policy"
SNAPSHOT = "Unsafe persistence configuration: snapshot_interval_mutations=0"
RECOVERY = "Unsafe recovery configuration"

# What departs from SAFE, and what each of production, pilot, benchmark says to it.
TABLE: list[tuple[dict[str, str], tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = [
    ({}, (), (), ()),
    ({"cache.strategy": "lru"}, (STRATEGY,), (STRATEGY,), ()),
    ({"cache.strategy": "abtest"}, (STRATEGY,), (STRATEGY,), ()),
    ({"cache.strategy": "auto"}, (), (), ()),
    ({"persistence.fsync_policy": "none"}, (FSYNC,), (FSYNC,), ()),
    ({"persistence.fsync_policy": "full"}, (), (), ()),
    ({"persistence.snapshot_interval_mutations": "0"}, (SNAPSHOT,), (SNAPSHOT,), ()),
    ({"persistence.snapshot_interval_mutations": "1"}, (), (), ()),
    ({"persistence.recovery_mode": "best_effort"}, (RECOVERY,), (RECOVERY,), ()),
    (NO_AUTH, (OPEN_GRPC, OPEN_HTTP), (PILOT_AUTH, PILOT_HTTP), ()),
    (NO_AUTH | LOOPBACK, (), (PILOT_AUTH, PILOT_HTTP), ()),
    (NO_AUTH | LOOPBACK | {"server.http_host": "::"}, (OPEN_HTTP,), (PILOT_AUTH, PILOT_HTTP), ()),
    (NO_AUTH | {"server.http_host": "[::1]"}, (OPEN_GRPC,), (PILOT_AUTH, PILOT_HTTP), ()),
    ({"server.observability_auth": "disabled"}, (OPEN_HTTP,), (PILOT_HTTP,), ()),
    ({"server.observability_auth": "disabled", "server.http_host": "localhost"}, (), (PILOT_HTTP,), ()),
    ({"server.observability_auth": "metrics_and_slo"}, (), (), ()),
    ({"rate_limit.enabled": "false"}, (), ("Pilot mode requires rate_limit.enabled=true",), ()),
    (
        {"persistence.allow_fresh_start_on_recovery_failure": "true"},
        (),
        ("Pilot mode requires persistence.allow_fresh_start_on_recovery_failure=false",),
        (),
    ),
    ({"server.tls.enabled": "false"}, (), (PILOT_TLS,), ()),
    ({"server.tls.enabled": "false", "server.host": "127.9.9.9"}, (), (), ()),
    ({"server.tls.enabled": "false", "server.host": "LOCALHOST"}, (), (), ()),
]


def faults(values: dict[str, str]) -> tuple[str, ...]:
    environ = {"KYRODB__" + name.replace(".", "__"): text for name, text in values.items()}
    try:
        load_settings(None, environ)
    except ConfigError as error:
        return error.faults
    return ()


@pytest.mark.parametrize(
    ("environment", "values", "expected"),
    [
        (environment, row[0], row[column])
        for row in TABLE
        for column, environment in enumerate(ENVIRONMENTS, start=1)
    ],
)
def test_environment_refuses_what_its_column_says(
    environment: str, values: dict[str, str], expected: tuple[str, ...]
) -> None:
    found = faults(SAFE | values | {"environment.type": f" {environment.upper()} "})
    assert len(found) == len(expected)
    for fault, fragment in zip(found, expected, strict=True):
        assert fault.startswith(fragment)


def test_every_guardrail_has_a_row() -> None:
    told = {fragment for row in TABLE for column in row[1:] for fragment in column}
    assert all(any(rule.message.startswith(fragment) for fragment in told) for rule in GUARDRAILS)
    assert len(told) == len(GUARDRAILS)


def test_default_environment_is_production() -> None:
    assert faults({"server.host": "0.0.0.0"})[0].startswith(OPEN_GRPC)
