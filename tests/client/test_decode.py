"""Answers from bytes: nothing a response says is lost."""

from __future__ import annotations

import numpy as np
import pytest

from pykyro import Health, Stats, Tier
from pykyro.client import decode
from pykyro.proto import kyrodb_pb2 as pb

VECTOR = np.array([1.5, -0.0, 3e38, 1e-45], dtype=np.float32)


def test_a_whole_search_response() -> None:
    answer = decode.search_answer(
        pb.SearchResponse(
            results=[
                pb.SearchResult(doc_id=2**64 - 1, score=0.5, embedding=VECTOR.tolist(), metadata={"a": "x"}),
                pb.SearchResult(doc_id=1, score=0.25),
            ],
            total_found=9,
            search_latency_ms=1.5,
            search_path=pb.SearchResponse.HOT_AND_COLD,
            error="the cold tier was not asked",
            partial=True,
            exact=True,
            plan="scan",
            rows_examined=40,
            matched=30,
            cache_kind=pb.SearchResponse.CERTIFIED,
        ).SerializeToString()
    )
    assert answer.ids.tolist() == [2**64 - 1, 1]
    assert answer.ids.dtype == np.uint64
    assert answer[0].vector is not None
    assert answer[0].vector.tobytes() == VECTOR.tobytes()
    assert (answer[0].metadata, answer[1].metadata, answer[1].vector) == ({"a": "x"}, {}, None)
    assert (answer.total_found, answer.latency_ms, answer.matched, answer.examined) == (9, 1.5, 30, 40)
    assert (answer.exact, answer.complete, answer.note) == (True, False, "the cold tier was not asked")
    assert (answer.tiers, answer.plan) == (frozenset({Tier.HOT, Tier.COLD}), "scan")
    assert answer.cached == "certified"


@pytest.mark.parametrize(
    ("path", "tiers"),
    [
        (pb.SearchResponse.UNKNOWN, set()),
        (pb.SearchResponse.CACHE_HIT, {Tier.CACHE}),
        (pb.SearchResponse.HOT_TIER_ONLY, {Tier.HOT}),
        (pb.SearchResponse.COLD_TIER_ONLY, {Tier.COLD}),
    ],
)
def test_search_paths(path: pb.SearchResponse.SearchPath, tiers: set[Tier]) -> None:
    assert decode.search_answer(pb.SearchResponse(search_path=path).SerializeToString()).tiers == tiers


@pytest.mark.parametrize(
    ("served_from", "tier"),
    [
        (pb.QueryResponse.UNKNOWN, None),
        (pb.QueryResponse.CACHE, Tier.CACHE),
        (pb.QueryResponse.HOT_TIER, Tier.HOT),
        (pb.QueryResponse.COLD_TIER, Tier.COLD),
    ],
)
def test_where_a_document_was(served_from: pb.QueryResponse.ServedFrom, tier: Tier | None) -> None:
    found = decode.stored_document(pb.QueryResponse(found=True, doc_id=3, served_from=served_from))
    assert found is not None
    assert (found.id, found.vector, found.metadata, found.tier) == (3, None, {}, tier)


def test_health_and_stats() -> None:
    response = pb.HealthResponse(
        status=pb.HealthResponse.UNHEALTHY, version="1.2", components={"wal": "bad"}, uptime_seconds=5
    )
    assert decode.health(response) == Health("unhealthy", {"wal": "bad"}, "1.2", 5)
    metrics = pb.MetricsResponse(hot_tier_size=3, cold_tier_size=4, hot_tier_flushes=2)
    config = pb.ConfigResponse(hnsw_max_elements=10, embedding_dimension=8, hnsw_distance="InnerProduct")
    assert decode.stats(metrics, config) == Stats(7, 3, 4, 10, 2, 8, "innerproduct")
