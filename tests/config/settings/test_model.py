"""The model itself: frozen, closed, and what it derives."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from pykyro.config import Settings
from pykyro.config.settings.cache import CacheSettings
from pykyro.config.settings.observability import SloSettings
from pykyro.config.settings.server import ServerSettings
from pykyro.config.settings.storage import RetentionSettings


def test_settings_are_frozen_and_closed() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.server.port = 1
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        ServerSettings(prot=1)  # type: ignore[call-arg]
    assert hash(settings) == hash(Settings())


def test_http_address_follows_the_grpc_address_until_it_is_set() -> None:
    server = ServerSettings(host="10.0.0.1", port=4000)
    assert (server.observability_host, server.observability_port) == ("10.0.0.1", 5000)
    server = ServerSettings(host="10.0.0.1", port=4000, http_host="127.0.0.1", http_port=0)
    assert (server.observability_host, server.observability_port) == ("127.0.0.1", 0)
    assert (server.grpc_is_loopback, server.http_is_loopback) == (False, True)


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("127.0.0.1", "127.0.0.1:1"),
        ("::1", "[::1]:1"),
        ("[::1]", "[::1]:1"),
        ("fe80::1%eth0", "[fe80::1%eth0]:1"),
        ("localhost", "localhost:1"),
    ],
)
def test_grpc_target_puts_ipv6_in_brackets(host: str, target: str) -> None:
    assert ServerSettings(host=host, port=1).grpc_target == target


def test_hot_tier_age_follows_the_training_interval_until_it_is_set() -> None:
    assert CacheSettings(training_interval_secs=7).hot_tier_age_secs_max == 7
    assert CacheSettings(training_interval_secs=7, hot_tier_max_age_secs=3).hot_tier_age_secs_max == 3


@pytest.mark.parametrize(("milliseconds", "nanoseconds"), [(10.0, 10_000_000), (1e-7, 1), (0.0000015, 2)])
def test_latency_objective_in_nanoseconds_is_rounded_up(milliseconds: float, nanoseconds: int) -> None:
    assert SloSettings(p99_latency_ms=milliseconds).p99_latency_ns == nanoseconds


def test_retention_prunes_once_one_period_is_stated() -> None:
    assert not RetentionSettings().prunes
    assert RetentionSettings(keep_weekly=0).prunes


def test_importing_the_configuration_brings_no_heavy_library() -> None:
    script = "import sys, pykyro.config; print(sorted({m.split('.')[0] for m in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "'pydantic'" in found
    assert not [name for name in ("numpy", "faiss", "grpc", "google", "starlette") if f"'{name}'" in found]
