"""What is declared of a key, and what is said when a value does not fit it.

Bounds are the validation library's work, so one key stands for all whose bound is of the same kind. What each
declaration must do by itself (take its example, refuse true for a number) is asked of every key.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, nextafter
from pathlib import Path

import pytest

from pykyro.config import KEYS, Key, Settings, changed_keys, value_of
from pykyro.config.layer import GivenValue
from pykyro.config.validate import validated
from pykyro.model.errors import ConfigError
from pykyro.model.types import Metric

NUMBERS = [key for key in KEYS.values() if key.kind in (int, float)]
RELATED: dict[str, dict[str, object]] = {
    # What must move along so that a rule between keys does not refuse an extreme value.
    "hnsw.ef_construction": {"hnsw.m": 5},
    "server.port": {"server.http_port": 2000},
    "backup.interval_secs": {"backup.dir": "backups"},
}
INSIDE_BUT_FORBIDDEN = {("hnsw.ef_construction", 1)}
"""The range says at least 1; the rule about hnsw.m, whose range starts at 5, says more."""


def settings_with(name: str, value: object) -> Settings:
    values = {**RELATED.get(name, {}), "environment.type": "benchmark", name: value}
    return validated({name: GivenValue(value, name, "test") for name, value in values.items()})


def fault_of(key: Key, value: object) -> str:
    """What is said of this value of the key; "" when it is taken."""
    try:
        settings_with(key.name, value)
    except ConfigError as error:
        return next(fault for fault in error.faults if fault.startswith(f"{key.name} = "))
    return ""


def just_inside(key: Key) -> list[float]:
    above = [] if key.above is None else [step(key, key.above, inf)]
    found = [bound for bound in (key.minimum, key.maximum) if bound is not None] + above
    return [bound for bound in found if (key.name, bound) not in INSIDE_BUT_FORBIDDEN]


def just_outside(key: Key) -> list[float]:
    found = [] if key.above is None else [key.above]
    if key.minimum is not None:
        found.append(step(key, key.minimum, -inf))
    if key.maximum is not None:
        found.append(step(key, key.maximum, inf))
    return found


def step(key: Key, number: float, towards: float) -> float:
    if key.kind is float:
        return nextafter(number, towards)
    return number + (1 if towards > 0 else -1)


def bound_kind(key: Key) -> tuple[object, ...]:
    ends = (key.minimum, key.above, key.maximum)
    return key.kind, bool(key.choices), key.wanted, key.optional, tuple(end is not None for end in ends)


def one_of_each_kind(keys: Iterable[Key]) -> pytest.MarkDecorator:
    """The first key of each kind of bound."""
    found: dict[tuple[object, ...], Key] = {}
    for key in keys:
        found.setdefault(bound_kind(key), key)
    return pytest.mark.parametrize("key", [pytest.param(key, id=key.name) for key in found.values()])


def test_every_end_of_every_range_can_be_set() -> None:
    """A rule between keys must not take away what the range of a key promises."""
    ends = [(key, value) for key in NUMBERS for value in just_inside(key)]
    assert len(ends) > len(NUMBERS)
    for key, value in ends:
        assert value_of(settings_with(key.name, value), key.name) == value, key.name


@one_of_each_kind(NUMBERS)
def test_value_past_the_bound_is_refused_by_name_value_and_bound(key: Key) -> None:
    assert just_outside(key)
    for value in just_outside(key):
        assert fault_of(key, value) == f"{key.name} = {value!r} (test): must be {key.bound}"


@pytest.mark.parametrize("name", ["hnsw.ef_search", "slo.error_rate"])
@pytest.mark.parametrize(
    "value", [True, "x", float("nan"), inf, [], {"a": 1}, pytest.param(1 << 20_000, id="huge")]
)
def test_what_is_no_number_is_refused(name: str, value: object) -> None:
    assert fault_of(KEYS[name], value)


def test_no_number_is_given_by_a_boolean() -> None:
    assert [key.name for key in NUMBERS if not fault_of(key, True)] == []


@one_of_each_kind(key for key in KEYS.values() if not key.optional)
def test_null_is_refused_where_a_value_is_needed(key: Key) -> None:
    assert fault_of(key, None).startswith(f"{key.name} = null")


def test_every_optional_key_is_null_by_default_and_has_an_example_that_fits() -> None:
    for key in (key for key in KEYS.values() if key.optional):
        assert key.default is None, key.name
        assert value_of(settings_with(key.name, key.example), key.name) == (
            Path(str(key.example)) if key.kind is Path else key.example
        )


def test_words_are_trimmed_and_case_does_not_matter() -> None:
    related = {
        "auth.enabled": "true",
        "auth.api_keys_file": "keys.yaml",
        "rate_limit.enabled": "true",
        "server.observability_auth": "all",
        "environment.type": "benchmark",
    }
    tls = {f"server.tls.{name}_path": name for name in ("cert", "key", "ca_cert")}
    tls["server.tls.enabled"] = "true"
    for key in (key for key in KEYS.values() if key.choices):
        values = related | (tls if key.name == "server.tls.http" else {})
        for word in key.choices:
            given = values | {key.name: f" {word.upper()} "}
            entries = {name: GivenValue(value, name, "test") for name, value in given.items()}
            assert value_of(validated(entries), key.name) == word
        assert fault_of(key, "bogus").partition("must be ")[2].startswith("one of " + ", ".join(key.choices))


def test_a_boolean_takes_nothing_vague() -> None:
    assert fault_of(KEYS["auth.enabled"], "maybe") == "auth.enabled = 'maybe' (test): must be true or false"


@pytest.mark.parametrize("value", ["", "  ", "a\0b", 3, True])
def test_path_is_text_and_not_blank(value: object) -> None:
    assert fault_of(KEYS["persistence.data_dir"], value).endswith("must be a path, not blank")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "0.0.0.0", "::1", "[::1]", "[fe80::1%eth0]", "localhost", "Localhost"]
)
def test_host_is_an_address_or_localhost(host: str) -> None:
    assert value_of(settings_with("server.host", f" {host} "), "server.host") == host


@pytest.mark.parametrize("host", ["", " ", "127.0.0.0.1", "example.org", "[127.0.0.1", "1.2.3.4:5", 7])
def test_host_that_is_no_address_is_refused(host: object) -> None:
    for name, end in (("server.host", ""), ("server.http_host", ", or null")):
        assert fault_of(KEYS[name], host).endswith("must be an IP address or localhost" + end)


def test_what_is_wanted_is_said_in_the_words_of_its_kind() -> None:
    """A fault that says "must be a number" where a text is wanted sends its reader the wrong way."""
    kinds = {bool: "true or false", int: "an integer ", float: "a number ", Path: "a path, not blank"}
    for key in KEYS.values():
        fault = fault_of(key, ["a", "list"])
        said = fault.rpartition("must be ")[2].removesuffix(", or null")
        assert said.startswith(kinds.get(key.kind, said)), fault
        assert key.kind in (int, float) or "number" not in said
        assert fault.endswith(", or null") == key.optional


def test_every_key_says_what_it_is_for() -> None:
    for key in KEYS.values():
        assert len(key.help) > 10, key.name
        assert key.help.endswith("."), key.name


def test_keys_without_effect_are_those_of_the_learned_admission_and_of_a_check_nobody_needs() -> None:
    assert {key.name for key in KEYS.values() if key.compatibility_only} == {
        "cache.strategy",
        "cache.enable_training_task",
        "cache.logger_window_size",
        "cache.predictor_capacity_multiplier",
        "cache.search_access_log_top_n",
        "cache.training_window_secs",
        "cache.recency_halflife_secs",
        "cache.min_training_samples",
        "cache.admission_threshold",
        *(name for name in KEYS if name.startswith(("cache.adaptive_admission.", "cache.semantic."))),
        "hnsw.disable_normalization_check",
    }


def test_keys_and_defaults_of_the_compatible_surface() -> None:
    """Files and scrapers of existing deployments count on these; a change here is a change for them."""
    defaults = {
        "server.host": "127.0.0.1", "server.port": 50051, "server.http_port": None, "server.http_host": None,
        "server.observability_auth": "disabled", "server.max_connections": 10000,
        "server.connection_timeout_secs": 300, "server.shutdown_timeout_secs": 30, "server.tls.enabled": False,
        "server.tls.cert_path": None, "server.tls.key_path": None, "server.tls.ca_cert_path": None,
        "server.tls.require_client_cert": False, "cache.capacity": 10000, "cache.strategy": "learned",
        "cache.training_interval_secs": 600, "cache.enable_training_task": True,
        "cache.logger_window_size": 1000000, "cache.predictor_capacity_multiplier": 4,
        "cache.query_cache_capacity": 100, "cache.query_cache_similarity_threshold": 0.52,
        "cache.search_access_log_top_n": 16, "cache.hot_tier_max_age_secs": None,
        "cache.training_window_secs": 3600, "cache.recency_halflife_secs": 1800,
        "cache.min_training_samples": 100, "cache.admission_threshold": 0.15,
        "cache.adaptive_admission.enabled": True, "cache.adaptive_admission.target_utilization": 0.90,
        "cache.adaptive_admission.control_interval_secs": 15, "cache.adaptive_admission.max_bias": 0.18,
        "cache.semantic.high_confidence_threshold": 0.60, "cache.semantic.low_confidence_threshold": 0.25,
        "cache.semantic.semantic_similarity_threshold": 0.80, "cache.semantic.max_cached_embeddings": 100000,
        "cache.semantic.similarity_scan_limit": 2000, "hnsw.max_elements": None, "hnsw.m": 16,
        "hnsw.ef_construction": 200, "hnsw.ef_search": 50, "hnsw.dimension": 768, "hnsw.distance": "cosine",
        "hnsw.disable_normalization_check": False, "persistence.data_dir": Path("./data"),
        "persistence.wal_flush_interval_ms": 0, "persistence.fsync_policy": "data_only",
        "persistence.snapshot_interval_mutations": 10000, "persistence.max_wal_size_bytes": 104857600,
        "persistence.enable_recovery": True, "persistence.recovery_mode": "strict",
        "persistence.allow_fresh_start_on_recovery_failure": False, "slo.p99_latency_ms": 100.0,
        "slo.cache_hit_rate": None, "slo.error_rate": 0.001, "slo.availability": 0.999, "slo.min_samples": 100,
        "rate_limit.enabled": False, "rate_limit.max_qps_per_connection": 1000,
        "rate_limit.max_qps_global": 100000, "rate_limit.burst_capacity": 10000, "logging.level": "info",
        "logging.format": "text", "logging.file": None, "logging.rotation": True,
        "logging.max_file_size_bytes": 104857600, "logging.max_files": 10, "auth.enabled": False,
        "auth.api_keys_file": None, "timeouts.cache_ms": 10, "timeouts.hot_tier_ms": 50,
        "timeouts.cold_tier_ms": 1000, "timeouts.max_concurrent_queries": 1000,
        "environment.type": "production",
    }  # fmt: skip
    assert {name: KEYS[name].default for name in defaults} == defaults


def test_distances_are_the_metrics_the_database_knows() -> None:
    assert set(KEYS["hnsw.distance"].choices) == {metric.value for metric in Metric}


def test_changed_keys_tell_what_a_reload_can_apply_and_what_needs_a_restart() -> None:
    before = Settings()
    after = validated(
        {
            "hnsw.ef_search": GivenValue(80, "hnsw.ef_search", "test"),
            "hnsw.m": GivenValue(24, "hnsw.m", "test"),
        }
    )
    assert {key.name: key.reloads for key in changed_keys(before, after)} == {
        "hnsw.ef_search": True,
        "hnsw.m": False,
    }
    assert changed_keys(before, before) == ()
