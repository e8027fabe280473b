"""Every metric moves when it should."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.operations.metrics_story import Scrape, Story, family_of

from pykyro.proto import kyrodb_pb2 as pb

CONSTANT = {
    "kyrodb_build_info",
    "kyrodb_documents_limit",
    "kyrodb_memory_limit_bytes",
    "kyrodb_memory_budget_bytes",
}
"""Facts of a process, which no event changes."""
ELSEWHERE = {
    # by leaders and followers: tests/replication/test_servers.py
    "kyrodb_archive_commit",
    "kyrodb_archive_epoch",
    "kyrodb_archive_failures_total",
    "kyrodb_archive_lag_seconds",
    "kyrodb_archive_leading",
    "kyrodb_archive_log_bytes_total",
    "kyrodb_follower_lag_positions",
    "kyrodb_follower_lag_seconds",
    # by a reload and by chance: tests/engine/recall/test_monitor.py
    "kyrodb_ef_search",
    "kyrodb_recall_overtaken_total",
    # by clients that cling to the ports: tests/server/test_hostile.py, tests/service/test_connections.py
    "kyrodb_connections",
    "kyrodb_connections_shed_total",
    # by a process whose memory runs short: tests/memory/test_budget.py
    "kyrodb_memory_refused_total",
    # by a tier that is slow: tests/server/test_timeouts.py
    "kyrodb_searches_partial_total",
    # by more documents than fit: tests/server/test_document_cache.py
    "kyrodb_document_cache_evictions_total",
    # by PostgreSQL that is away: tests/client/test_cold_tier.py
    "kyrodb_cold_tier_away",
    # by collections, and by documents that expire in them: tests/service/test_collection_figures.py
    "kyrodb_collections",
    "kyrodb_collections_in_trouble",
    "kyrodb_collections_open",
    "kyrodb_collections_opened_total",
    "kyrodb_documents_expired_total",
}
"""Moved by other tests."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scrape]]:
    """The scrape after each event of the story, by the event's name."""
    story = Story(tmp_path_factory.mktemp("story"))
    good = pb.InsertRequest(doc_id=4999, embedding=[1, 2, 3, 4])
    try:
        yield {
            "fresh": story.look(),
            "insert": story.insert(1),
            "another insert": story.insert(2),
            "hot search": story.search(k=3),
            "same search": story.search(k=3),
            "word search": story.word_search(vector=False),
            "fused search": story.word_search(vector=True),
            "hot query": story.query(1),
            "missing query": story.query(77),
            "wrong dimension": story.refused(pb.InsertRequest(doc_id=3, embedding=[1]), "INVALID_ARGUMENT"),
            "flush": story.flush(),
            "cold query": story.query(2),
            "same query": story.query(2),
            "cold search": story.search(k=4),
            "insert after": story.insert(3),
            "search of both": story.search(k=5),
            "delete": story.delete(2),
            "merge": story.merge(),
            "many searches": story.many_searches(150),
            "client gives up": story.client_gives_up(),
            "calls in flight": story.calls_in_flight(),
            "build process dies": story.build_process_dies(),
            "full": story.fill_up(),
            "no room": story.refused(good, "RESOURCE_EXHAUSTED"),
            "backup": story.backup_is_taken(),
            "disk fails": story.disk_fails(),
            "disk mended": story.disk_is_mended(),
            "crash": story.power_goes_and_cuts_a_write(),
            "unsynced": story.write_waits_for_its_sync(),
            "draining": story.drain(),
        } | {f"scrape {number}": scrape for number, scrape in enumerate(story.scrapes)}
    finally:
        story.close()


def families(told: dict[str, Scrape]) -> set[str]:
    return {family_of(sample) for scrape in told.values() for sample in scrape}


def change(told: dict[str, Scrape], before: str, after: str, sample: str) -> float:
    return told[after][f"kyrodb_{sample}"] - told[before][f"kyrodb_{sample}"]


def test_every_metric_moves(told: dict[str, Scrape]) -> None:
    values: dict[str, set[float]] = {}
    for scrape in told.values():
        for sample, value in scrape.items():
            values.setdefault(sample, set()).add(value)
    appeared = {family_of(sample) for sample in values if sample not in told["fresh"]}
    moved = {family_of(sample) for sample, seen in values.items() if len(seen) > 1}
    still = families(told) - moved - appeared - ELSEWHERE
    assert still == CONSTANT


@pytest.mark.parametrize(
    ("sample", "before", "after", "by"),
    [
        ("inserts_total", "fresh", "insert", 1),
        ("inserts_failed", "fresh", "insert", 0),
        ("inserts_total", "missing query", "wrong dimension", 1),
        ("inserts_failed", "missing query", "wrong dimension", 1),
        ('errors_total{category="validation"}', "missing query", "wrong dimension", 1),
        ('errors_total{category="resource_exhausted"}', "full", "no room", 1),
        ("queries_total", "another insert", "hot search", 1),
        ("hnsw_searches_total", "another insert", "hot search", 1),
        ("cache_misses_total", "another insert", "hot search", 1),
        ('tier_hits_total{tier="hot"}', "another insert", "hot search", 1),
        ('tier_hits_total{tier="cold"}', "another insert", "hot search", 0),
        ("cache_hits_total", "hot search", "same search", 1),
        ("cache_misses_total", "hot search", "same search", 0),
        ("cache_hit_rate", "hot search", "same search", 0.5),
        ("hnsw_searches_total", "hot search", "same search", 1),
        ('tier_hits_total{tier="hot"}', "hot search", "same search", 0),
        ("hnsw_searches_total", "same search", "word search", 1),
        ('word_search_duration_seconds_count{legs="text"}', "same search", "word search", 1),
        ('word_search_duration_seconds_count{legs="fused"}', "same search", "word search", 0),
        ('word_search_duration_seconds_count{legs="fused"}', "word search", "fused search", 1),
        ("queries_total", "fused search", "hot query", 1),
        ("hnsw_searches_total", "fused search", "hot query", 0),
        ('tier_hits_total{tier="hot"}', "fused search", "hot query", 1),
        ("queries_total", "hot query", "missing query", 1),
        ('tier_hits_total{tier="hot"}', "hot query", "missing query", 0),
        ('tier_hits_total{tier="cold"}', "flush", "cold query", 1),
        ('tier_hits_total{tier="cold"}', "cold query", "same query", 0),
        ("cache_hits_total", "cold query", "same query", 1),
        ('document_cache_lookups_total{outcome="hit"}', "cold query", "same query", 1),
        ('tier_hits_total{tier="cold"}', "cold query", "cold search", 1),
        ('tier_hits_total{tier="hot"}', "cold query", "cold search", 0),
        ('tier_hits_total{tier="hot"}', "insert after", "search of both", 1),
        ('tier_hits_total{tier="cold"}', "insert after", "search of both", 1),
        ("queries_total", "merge", "many searches", 150),
        ("documents", "search of both", "delete", -1),
        ("dead_rows", "search of both", "delete", 1),
        ("hot_tier_flushes_total", "wrong dimension", "flush", 1),
        ("segments", "wrong dimension", "flush", 1),
        ('tier_documents{tier="cold"}', "wrong dimension", "flush", 2),
        ("maintenance_failing", "calls in flight", "build process dies", 1),
        ("wal_circuit_breaker_state", "disk fails", "disk mended", -1),
        ("writes_refused", "disk fails", "disk mended", -1),
        ('health{status="unhealthy"}', "backup", "disk fails", 1),
        ("queries_failed", "backup", "disk fails", 1),
        ("recovery_unclean", "fresh", "crash", 1),
        ("wal_unsynced_frames", "crash", "unsynced", 1),
        ("ready", "crash", "draining", -1),
    ],
)
def test_events_are_counted_where_they_belong(
    told: dict[str, Scrape], sample: str, before: str, after: str, by: float
) -> None:
    assert change(told, before, after, sample) == pytest.approx(by)


@pytest.mark.parametrize(
    "sample",
    [
        "wal_writes_failed",
        "wal_disk_full_errors",
        "wal_retries_total",
        "wal_circuit_breaker_state",
        'errors_total{category="internal"}',
        "log_lines_lost_total",
    ],
)
def test_a_disk_that_fails_is_seen(told: dict[str, Scrape], sample: str) -> None:
    assert change(told, "backup", "disk fails", sample) > 0


@pytest.mark.parametrize("sample", ['query_latency_ns{percentile="99"}', "hnsw_latency_ns"])
def test_latencies_are_real(told: dict[str, Scrape], sample: str) -> None:
    assert told["fresh"][f"kyrodb_{sample}"] == 0
    assert 1_000 < told["hot search"][f"kyrodb_{sample}"] < 10_000_000_000


def test_the_newest_backup_is_told_by_its_name(told: dict[str, Scrape]) -> None:
    assert "kyrodb_backup_newest_timestamp_seconds" not in told["no room"]
    assert told["backup"]["kyrodb_backup_newest_timestamp_seconds"] == 1_748_779_200


def test_a_write_that_a_crash_cut_off_is_reported(told: dict[str, Scrape]) -> None:
    assert told["crash"]["kyrodb_recovery_torn_bytes"] > 0
    assert told["crash"]["kyrodb_recovery_frames_replayed"] > 0
    assert told["crash"]["kyrodb_recovery_seconds"] > 0
