"""Query, BulkQuery, Search: a test for each row of what clients rely on."""

from __future__ import annotations

import math

import pytest
from tests.contract.corner import Corner, Refused, but_position

from pykyro.proto import kyrodb_pb2 as pb

X, Y, Z = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]
BETWEEN = [1.0, 1.0, 0.0, 0.0]


def test_query_finds_a_document(corner: Corner) -> None:
    corner.insert(1, X, {"a": "b"})
    found = corner.query(1)
    assert but_position(found) == pb.QueryResponse(
        found=True, doc_id=corner.id(1), metadata={"a": "b"}, served_from=pb.QueryResponse.HOT_TIER
    )
    assert list(corner.query(1, include_embedding=True).embedding) == X


@pytest.mark.parametrize(("number", "namespace"), [(9, ""), (1, "other")])
def test_query_for_what_is_not_there_echoes_the_id(corner: Corner, number: int, namespace: str) -> None:
    corner.insert(1, X, {"a": "b"})
    found = corner.query(number, namespace=namespace, include_embedding=True)
    assert found == pb.QueryResponse(found=False, doc_id=corner.id(number))


def test_query_for_id_zero_is_refused(corner: Corner) -> None:
    with Refused() as refused:
        corner.server.stub.Query(pb.QueryRequest(doc_id=0))
    assert (refused.code, refused.text) == ("INVALID_ARGUMENT", "doc_id must be non-zero")


def test_bulk_query_keeps_order_and_duplicates(corner: Corner) -> None:
    corner.insert(1, X, {"n": "1"})
    corner.insert(2, Y)
    asked = [corner.id(2), corner.id(9), corner.id(1), 0, corner.id(2)]
    response = corner.server.stub.BulkQuery(pb.BulkQueryRequest(doc_ids=asked))
    assert [(one.doc_id, one.found) for one in response.results] == [
        (corner.id(2), True),
        (corner.id(9), False),
        (corner.id(1), True),
        (0, False),
        (corner.id(2), True),
    ]
    assert (response.total_found, response.total_requested, response.error) == (3, 5, "")
    assert dict(response.results[2].metadata) == {"n": "1"}
    assert not response.results[0].embedding
    with_vectors = corner.server.stub.BulkQuery(pb.BulkQueryRequest(doc_ids=asked, include_embeddings=True))
    assert list(with_vectors.results[2].embedding) == X
    other = corner.server.stub.BulkQuery(pb.BulkQueryRequest(doc_ids=asked, namespace="other"))
    assert other.total_found == 0


def test_bulk_query_takes_ten_thousand_ids_and_no_more(corner: Corner) -> None:
    ids = list(range(corner.id(0), corner.id(10_000)))
    assert corner.server.stub.BulkQuery(pb.BulkQueryRequest(doc_ids=ids)).total_requested == 10_000
    with Refused() as refused:
        corner.server.stub.BulkQuery(pb.BulkQueryRequest(doc_ids=[*ids, 1]))
    assert (refused.code, refused.text) == ("INVALID_ARGUMENT", "Batch size 10001 exceeds maximum 10000")


def test_search_ranks_by_score_then_by_id(corner: Corner) -> None:
    corner.insert(3, X)
    corner.insert(1, X)
    corner.insert(2, Y)
    response = corner.search(X)
    assert [row.doc_id - corner.first_id for row in response.results] == [1, 3, 2]
    assert [row.score for row in response.results] == [1.0, 1.0, 0.0]
    assert response.total_found == 3
    assert response.search_latency_ms > 0
    assert response.error == ""
    assert (response.partial, response.exact, response.matched) == (False, True, 3)


def test_search_returns_k_rows(corner: Corner) -> None:
    for number in range(5):
        corner.insert(number, X)
    assert corner.found(X, 3) == [0, 1, 2]


def test_min_score_drops_rows_and_zero_or_less_drops_none(corner: Corner) -> None:
    corner.insert(1, X)
    corner.insert(2, [-value for value in X])
    assert corner.found(X, min_score=0.5) == [1]
    assert corner.found(X, min_score=0.0) == [1, 2]
    assert corner.found(X, min_score=-0.5) == [1, 2]


def test_search_returns_metadata_unless_told_not_to(corner: Corner) -> None:
    corner.insert(1, X, {"a": "b"})
    assert [dict(row.metadata) for row in corner.search(X).results] == [{"a": "b"}]
    assert dict(corner.search(X, exclude_metadata=True).results[0].metadata) == {}


def test_search_returns_embeddings_when_told_to(corner: Corner) -> None:
    corner.insert(1, [3.0, 4.0, 0.0, 0.0])
    assert list(corner.search(X, include_embeddings=True).results[0].embedding) == [3.0, 4.0, 0.0, 0.0]
    assert not corner.search(X).results[0].embedding


def test_search_of_nothing_succeeds(corner: Corner) -> None:
    response = corner.search(X)
    assert (list(response.results), response.total_found, response.error) == ([], 0, "")


def test_search_says_which_tiers_were_searched(corner: Corner) -> None:
    corner.insert(1, X)
    assert corner.search(X, exact=True).search_path in (
        pb.SearchResponse.HOT_TIER_ONLY,
        pb.SearchResponse.HOT_AND_COLD,
    )
    corner.server.stub.FlushHotTier(pb.FlushRequest(force=True))
    assert corner.search(X, exact=True).search_path == pb.SearchResponse.COLD_TIER_ONLY
    assert corner.query(1).served_from == pb.QueryResponse.COLD_TIER


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"query_embedding": []}, "query_embedding cannot be empty"),
        ({"query_embedding": [1.0] * 4097}, "query_embedding dimension 4097 exceeds maximum 4096"),
        ({"query_embedding": [math.nan] * 4}, "finite values"),
        ({"k": 0}, "k must be greater than 0"),
        ({"k": 1001}, "k must be <= 1000"),
        ({"ef_search": 10_001}, "ef_search must be <= 10000"),
        ({"query_embedding": [1.0] * 5}, "query dimension mismatch: expected 4 found 5"),
        ({"query_embedding": [0.0] * 4}, "Search failed: query_embedding norm is zero"),
    ],
)
def test_bad_search_is_the_clients_fault(corner: Corner, fields: dict[str, object], text: str) -> None:
    wanted = {"query_embedding": X, "k": 10} | fields
    with Refused() as refused:
        corner.server.stub.Search(pb.SearchRequest(**wanted))  # type: ignore[arg-type]
    assert refused.code == "INVALID_ARGUMENT"
    assert text in refused.text


def exact(key: str, value: str) -> pb.MetadataFilter:
    return pb.MetadataFilter(exact=pb.ExactMatch(key=key, value=value))


def between(key: str, **bound: str) -> pb.MetadataFilter:
    return pb.MetadataFilter(range=pb.RangeMatch(key=key, **bound))


def both(*filters: pb.MetadataFilter) -> pb.MetadataFilter:
    return pb.MetadataFilter(and_filter=pb.AndFilter(filters=filters))


def either(*filters: pb.MetadataFilter) -> pb.MetadataFilter:
    return pb.MetadataFilter(or_filter=pb.OrFilter(filters=filters))


def unless(inner: pb.MetadataFilter | None) -> pb.MetadataFilter:
    return pb.MetadataFilter(not_filter=pb.NotFilter(filter=inner))


def among(key: str, *values: str) -> pb.MetadataFilter:
    return pb.MetadataFilter(in_match=pb.InMatch(key=key, values=values))


UNTYPED = pb.MetadataFilter()
STORED = {
    1: {"colour": "red", "size": "9"},
    2: {"colour": "blue", "size": "10"},
    3: {"colour": "red", "size": "1e1"},
    4: {"size": "big"},
}


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (UNTYPED, [1, 2, 3, 4]),
        (exact("colour", "red"), [1, 3]),
        (exact("colour", "Red"), []),
        (exact("missing", ""), []),
        (among("colour", "blue", "green"), [2]),
        (among("colour"), []),
        (between("size", gte="10"), [2, 3, 4]),
        (between("size", gt="10"), [4]),
        (between("size", lt="10"), [1]),
        (between("size", lte="10.0"), [1, 2, 3]),
        (between("size", gte="b"), [4]),
        (between("size", lt=" 10"), []),
        (between("colour"), [1, 2, 3]),
        (between("missing", gte=""), []),
        (both(exact("colour", "red"), between("size", gte="10")), [3]),
        (both(), [1, 2, 3, 4]),
        (either(exact("size", "9"), exact("size", "big")), [1, 4]),
        (either(), []),
        (unless(exact("colour", "red")), [2, 4]),
        (unless(between("colour")), [4]),
        (unless(None), []),
        (unless(UNTYPED), []),
    ],
)
def test_filter(corner: Corner, wanted: pb.MetadataFilter, numbers: list[int]) -> None:
    for number, metadata in STORED.items():
        corner.insert(number, X, metadata)
    assert corner.found(X, filter=wanted) == numbers
    corner.server.stub.FlushHotTier(pb.FlushRequest(force=True))
    assert corner.found(X, filter=wanted) == numbers


def test_legacy_filters_are_joined_to_the_filter(corner: Corner) -> None:
    for number, metadata in STORED.items():
        corner.insert(number, X, metadata)
    assert corner.found(X, metadata_filters={"colour": "red"}) == [1, 3]
    assert corner.found(X, metadata_filters={"colour": "red", "size": "9"}) == [1]
    assert corner.found(X, metadata_filters={"colour": "red"}, filter=exact("size", "1e1")) == [3]


def test_filter_may_name_the_reserved_keys(corner: Corner) -> None:
    corner.insert(1, X)
    assert corner.found(X, namespace="", filter=exact("__namespace__", corner.namespace)) == [1]


def test_filter_nested_too_deep_is_refused(corner: Corner) -> None:
    deep = exact("a", "b")
    for _ in range(32):
        deep = unless(deep)
    with Refused() as refused:
        corner.search(X, filter=deep)
    assert refused.code == "INVALID_ARGUMENT"
    assert "32" in refused.text


def test_namespaces_do_not_see_each_other_and_no_namespace_sees_all(corner: Corner) -> None:
    corner.insert(1, BETWEEN)
    request = pb.SearchRequest(query_embedding=BETWEEN, k=1000, min_score=0.9999)
    assert corner.id(1) in [row.doc_id for row in corner.server.stub.Search(request).results]
    request.namespace = "other"
    assert corner.id(1) not in [row.doc_id for row in corner.server.stub.Search(request).results]


def test_search_finds_k_rows_whenever_k_match(corner: Corner) -> None:
    for number in range(40):
        corner.insert(number, X, {"kind": "common"})
    for number in range(40, 43):
        corner.insert(number, [0.1, 1.0, 1.0, 1.0], {"kind": "rare"})
    response = corner.search(X, 3, filter=exact("kind", "rare"))
    assert [row.doc_id - corner.first_id for row in response.results] == [40, 41, 42]
    assert response.matched == 3
