"""Health, Metrics, FlushHotTier, CreateSnapshot, GetConfig."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.contract.corner import Corner, Refused
from tests.server.running import RunningServer

from pykyro.proto import kyrodb_pb2 as pb
from pykyro.version import __version__

X = [1.0, 0.0, 0.0, 0.0]
COMPONENTS = ["cache", "cold_tier", "hot_tier", "wal"]


def test_health_covers_every_component(server: RunningServer) -> None:
    response = server.stub.Health(pb.HealthRequest())
    assert sorted(response.components) == COMPONENTS
    assert response.components["wal"] == "healthy"
    assert response.components["cache"].startswith("healthy (")
    assert response.components["hot_tier"].endswith(" docs)")
    assert response.version == __version__
    assert response.git_commit


@pytest.mark.parametrize("component", [*COMPONENTS, " wal "])
def test_health_of_one_component(server: RunningServer, component: str) -> None:
    response = server.stub.Health(pb.HealthRequest(component=component))
    assert list(response.components) == [component.strip()]


def test_health_of_an_unknown_component_is_refused(server: RunningServer) -> None:
    with Refused() as refused:
        server.stub.Health(pb.HealthRequest(component="disk"))
    assert refused.code == "INVALID_ARGUMENT"
    assert all(component in refused.text for component in COMPONENTS)


def test_metrics_count_what_was_done(corner: Corner) -> None:
    before = corner.server.stub.Metrics(pb.MetricsRequest(categories=["ignored"]))
    corner.insert(1, X)
    with Refused():
        corner.insert(2, [1.0])  # counted by kyrodb_inserts_total, and not here: it is not stored
    corner.query(1)
    corner.search(X)
    after = corner.server.stub.Metrics(pb.MetricsRequest())
    assert after.total_inserts - before.total_inserts == 1
    assert after.total_queries - before.total_queries == 2
    assert after.hot_tier_hits - before.hot_tier_hits >= 1
    assert after.hot_tier_size + after.cold_tier_size > before.hot_tier_size + before.cold_tier_size - 1
    assert 0 < after.p50_latency_ms <= after.p95_latency_ms <= after.p99_latency_ms
    assert after.memory_usage_bytes > 10 << 20
    assert after.disk_usage_bytes > 0
    assert after.cpu_usage_percent > 0
    assert abs(after.collected_at - time.time()) < 60


def test_forced_flush_empties_the_hot_tier(corner: Corner) -> None:
    corner.insert(1, X)
    response = corner.server.stub.FlushHotTier(pb.FlushRequest(force=True))
    assert response.success
    assert response.documents_flushed >= 1
    assert response.flush_duration_ms > 0
    assert corner.server.stub.Metrics(pb.MetricsRequest()).hot_tier_size == 0
    assert corner.query(1).found


def test_flush_without_force_waits_until_the_tier_is_due(corner: Corner) -> None:
    corner.server.stub.FlushHotTier(pb.FlushRequest(force=True))
    corner.insert(1, X)
    assert corner.server.stub.FlushHotTier(pb.FlushRequest()).documents_flushed == 0
    assert corner.query(1).served_from == pb.QueryResponse.HOT_TIER


def test_snapshot_is_left_below_the_data_directory(corner: Corner) -> None:
    corner.insert(1, X)
    response = corner.server.stub.CreateSnapshot(pb.SnapshotRequest(path="  "))
    assert response.success
    assert Path(response.snapshot_path, "MANIFEST").is_file()
    assert response.documents_snapshotted >= 1
    assert response.snapshot_size_bytes > 0


def test_snapshot_to_a_place_of_ones_own_is_refused(server: RunningServer) -> None:
    with Refused() as refused:
        server.stub.CreateSnapshot(pb.SnapshotRequest(path="/tmp/mine"))
    assert refused.code == "INVALID_ARGUMENT"
    assert refused.text.startswith("custom snapshot path is not supported")


def test_config_is_shown_in_the_words_clients_know(server: RunningServer) -> None:
    response = server.stub.GetConfig(pb.ConfigRequest())
    assert response.data_dir.endswith("/data")
    response.data_dir = ""
    assert response == pb.ConfigResponse(
        hot_tier_max_size=10_000,
        hot_tier_max_age_seconds=600,
        hnsw_max_elements=2**64 - 1,
        fsync_policy="Periodic(0)",
        snapshot_interval=10_000,
        flush_interval_seconds=0,
        embedding_dimension=4,
        version=__version__,
        hnsw_m=16,
        hnsw_ef_construction=200,
        hnsw_ef_search=50,
        hnsw_distance="Cosine",
        id_type="integer",
    )
