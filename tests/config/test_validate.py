"""All faults at once, each told once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykyro.config import load_settings
from pykyro.model.errors import ConfigError


def test_every_kind_of_fault_is_told_together_one_a_line(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "server:\n  prot: 3\n  port: 700000\n  tls: 3\n"
        "cache:\n  capacity: 10\n"
        "hnsw:\n  distance: Manhattan\n  m: 4\n  ef_construction: 4\n"
        "environment: {type: pilot}\n"
    )
    environ = {"KYRODB__SLO__P99": "1", "KYRODB_DATA_DIR": " ", "KYRODB__SLO__ERROR_RATE": "2"}
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ)
    assert caught.value.faults == (
        f"unknown key 'server.prot' ({path} line 2); did you mean 'server.port'?",
        f"server.tls = 3 ({path} line 4): is a section and must hold keys",
        "unknown key 'slo.p99' (KYRODB__SLO__P99)",
        f"server.port = 700000 ({path} line 3): must be an integer from 1 to 65535",
        f"hnsw.m = 4 ({path} line 9): must be an integer from 5 to 128",
        f"hnsw.distance = 'Manhattan' ({path} line 8): must be one of cosine, euclidean, innerproduct",
        "persistence.data_dir = ' ' (KYRODB_DATA_DIR): must be a path, not blank",
        "slo.error_rate = '2' (KYRODB__SLO__ERROR_RATE): must be a number from 0 to 1",
        "Pilot mode requires auth.enabled=true; set it and auth.api_keys_file",
        "Pilot mode requires rate_limit.enabled=true; set it",
        "Pilot mode requires server.observability_auth to be metrics_and_slo or all, it is disabled",
    )
    assert str(caught.value) == "\n".join(caught.value.faults)


def test_rule_about_a_key_that_is_faulty_itself_is_left_out() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {"KYRODB__HNSW__M": "200", "KYRODB__HNSW__EF_CONSTRUCTION": "1"})
    assert caught.value.faults == ("hnsw.m = '200' (KYRODB__HNSW__M): must be an integer from 5 to 128",)


def test_environment_that_is_faulty_brings_no_guardrail_of_another() -> None:
    environ = {"KYRODB__ENVIRONMENT__TYPE": "prod", "KYRODB__PERSISTENCE__FSYNC_POLICY": "none"}
    with pytest.raises(ConfigError) as caught:
        load_settings(None, environ)
    assert caught.value.faults == (
        "environment.type = 'prod' (KYRODB__ENVIRONMENT__TYPE): must be one of production, pilot, benchmark",
    )
