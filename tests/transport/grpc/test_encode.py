"""Responses as bytes: protobuf reads from them what was answered."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.model.arguments import Schema
from pykyro.model.metadata_wire import encode_metadata, varint
from pykyro.model.requests import CachedKind, Found, ScoredDocument, SearchResult, Tier
from pykyro.model.types import Metric, Vector
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.transport.grpc.encode import bulk_query_response, query_response
from pykyro.transport.grpc.search_codec import SEARCH_PATHS, GrpcSearchCodec

float32 = st.floats(width=32, allow_nan=False)
doc_ids = st.integers(1, 2**64 - 1)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
metadata = st.dictionaries(text, text, max_size=3)
vectors = st.lists(float32, min_size=1, max_size=40).map(lambda values: np.array(values, np.float32))
tiers = st.sampled_from(list(SEARCH_PATHS))
CODEC = GrpcSearchCodec(Schema(3, Metric.COSINE))
counts = st.integers(0, 2**32 - 1)


@st.composite
def hits(draw: st.DrawFn) -> tuple[ScoredDocument, pb.SearchResult]:
    doc_id, score, entries = draw(doc_ids), draw(float32), draw(metadata)
    vector: Vector | None = draw(st.none() | vectors)
    embedding = [] if vector is None else vector.tolist()
    position = draw(st.just(0) | doc_ids)
    expected = pb.SearchResult(
        doc_id=doc_id, score=score, embedding=embedding, metadata=entries, position=position
    )
    return ScoredDocument(doc_id, score, vector, encode_metadata(entries), position), expected


@given(
    st.lists(hits(), max_size=4),
    tiers,
    st.booleans(),
    st.booleans(),
    text,
    text,
    counts,
    counts,
    counts,
    float32,
)
def test_search_response(
    found: list[tuple[ScoredDocument, pb.SearchResult]],
    tiers: frozenset[Tier],
    exact: bool,
    complete: bool,
    note: str,
    plan: str,
    total_found: int,
    examined: int,
    matched: int,
    latency_ms: float,
) -> None:
    result = SearchResult(
        hits=[hit for hit, _ in found],
        total_found=total_found,
        position=9,
        tiers=tiers,
        exact=exact,
        matched=matched,
        examined=examined,
        left_out=frozenset() if complete else frozenset({Tier.COLD}),
        note=note,
        plan=plan,
    )
    assert pb.SearchResponse.FromString(
        CODEC.encode(result, latency_ms, with_plan=True)
    ) == pb.SearchResponse(
        results=[expected for _, expected in found],
        total_found=total_found,
        search_latency_ms=latency_ms,
        search_path=SEARCH_PATHS[tiers],
        error=note,
        partial=not complete,
        exact=exact,
        plan=plan,
        rows_examined=examined,
        matched=matched,
        position=9,
    )


@pytest.mark.parametrize("margin", [0.25, math.inf, math.nan])
@pytest.mark.parametrize("kind", list(CachedKind))
def test_why_a_cached_answer_was_served(kind: CachedKind, margin: float) -> None:
    result = SearchResult([], 0, 1, frozenset({Tier.CACHE}), cached=kind, margin=margin)
    response = pb.SearchResponse.FromString(CODEC.encode(result, 0.0, with_plan=True))
    assert pb.SearchResponse.CacheKind.Name(response.cache_kind) == kind.name
    assert response.cache_margin == (0.0 if math.isnan(margin) else margin)
    assert response.search_path == pb.SearchResponse.CACHE_HIT


@given(doc_ids, vectors, metadata, st.sampled_from(Tier), st.booleans())
def test_query_response(
    doc_id: int, vector: Vector, entries: dict[str, str], tier: Tier, include_embedding: bool
) -> None:
    found = Found(doc_id, vector, encode_metadata(entries), tier)
    served = {Tier.CACHE: 1, Tier.HOT: 2, Tier.COLD: 3}[tier]
    response = pb.QueryResponse.FromString(query_response(doc_id, found, include_embedding=include_embedding))
    assert response == pb.QueryResponse(
        found=True,
        doc_id=doc_id,
        embedding=vector.tolist() if include_embedding else [],
        metadata=entries,
        served_from=pb.QueryResponse.ServedFrom.Name(served),
    )


def test_query_response_for_what_is_not_there_echoes_the_id() -> None:
    response = pb.QueryResponse.FromString(query_response(12, None, include_embedding=True))
    assert response == pb.QueryResponse(found=False, doc_id=12)


def test_bulk_query_response_keeps_the_order() -> None:
    vector = np.ones(3, np.float32)
    found = Found(5, vector, encode_metadata({"a": "b"}), Tier.HOT)
    parts = [
        query_response(5, found, include_embedding=True),
        query_response(6, None, include_embedding=True),
    ]
    assert pb.BulkQueryResponse.FromString(bulk_query_response(parts, 1)) == pb.BulkQueryResponse(
        results=[pb.QueryResponse.FromString(part) for part in parts], total_found=1, total_requested=2
    )


@pytest.mark.parametrize(
    ("searched", "path"),
    [
        (set(), "UNKNOWN"),
        ({Tier.HOT}, "HOT_TIER_ONLY"),
        ({Tier.COLD}, "COLD_TIER_ONLY"),
        ({Tier.HOT, Tier.COLD}, "HOT_AND_COLD"),
        ({Tier.CACHE}, "CACHE_HIT"),
    ],
)
def test_search_path_names_what_was_searched(searched: set[Tier], path: str) -> None:
    assert pb.SearchResponse.SearchPath.Name(SEARCH_PATHS[frozenset(searched)]) == path


@pytest.mark.parametrize("value", [0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, 0x1FFFFF, 0x200000, 2**63, 2**64 - 1])
def test_numbers_are_written_as_protobuf_writes_them(value: int) -> None:
    assert b"\x08" + varint(value) == (pb.InsertRequest(doc_id=value).SerializeToString() or b"\x08\x00")


def test_no_negative_number_is_written() -> None:
    with pytest.raises(ValueError, match="-1"):
        varint(-1)
