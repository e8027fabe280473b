"""A reload applies exactly what can change without a restart."""

from __future__ import annotations

import pytest

from pykyro.config import KEYS, Settings, changed_keys, load_settings, reloaded, value_of
from pykyro.model.errors import ConfigError


def settings(**environ: str) -> Settings:
    """Settings with these keys, "__" for "."."""
    return load_settings(None, {f"KYRODB__{name.upper()}": value for name, value in environ.items()}).settings


def test_what_can_change_does_and_what_needs_a_restart_does_not() -> None:
    before = settings()
    wanted = settings(
        hnsw__ef_search="80",
        hnsw__m="24",
        rate_limit__enabled="true",
        rate_limit__max_qps_global="7",
        slo__p99_latency_ms="5",
        server__port="6000",
        server__tls__cert_path="other.pem",
    )
    after = reloaded(before, wanted)
    assert {key.name for key in changed_keys(before, after)} == {
        "hnsw.ef_search",
        "rate_limit.enabled",
        "rate_limit.max_qps_global",
        "slo.p99_latency_ms",
        "server.tls.cert_path",
    }
    assert {key.name for key in changed_keys(after, wanted)} == {"hnsw.m", "server.port"}
    assert all(
        value_of(after, name) == value_of(wanted if key.reloads else before, name)
        for name, key in KEYS.items()
    )


def test_nothing_changed_is_nothing_applied() -> None:
    before = settings()
    assert reloaded(before, settings()) is before


def test_a_mixture_that_cannot_stand_is_refused() -> None:
    before = settings(auth__enabled="true", auth__api_keys_file="keys.yaml")
    with pytest.raises(ConfigError, match=r"auth\.api_keys_file = null: must be set .* \(a restart applies"):
        reloaded(before, settings())
