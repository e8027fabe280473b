"""What every store does alike when something is asked."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from tests.client.stores import DIMENSION, Store, fill, random_vectors, ranked
from tests.model.values import kept

from pykyro import Hit, InvalidArgument, Tier, Unavailable
from pykyro.model.filter import Exact, matches
from pykyro.model.filter_dict import parse_filter

ONES = [1.0] * DIMENSION


def test_the_most_similar_come_first(store: Store) -> None:
    vectors = fill(store)
    query = random_vectors(1, seed=9)[0]
    answer = store.search(query, 7, include_vectors=True)
    assert answer.ids.tolist() == ranked(vectors, query)[:7]
    assert answer.scores.dtype == np.float32
    assert answer.scores.tolist() == sorted(answer.scores.tolist(), reverse=True)
    first = answer[0]
    assert isinstance(first, Hit)
    cosine = vectors[first.id - 1] @ query / np.linalg.norm(query) / np.linalg.norm(vectors[first.id - 1])
    assert first.score == pytest.approx(cosine, abs=1e-6)
    assert first.vector is not None
    assert first.vector.tobytes() == vectors[first.id - 1].tobytes()
    assert first.metadata["n"] == first.id


def test_an_answer_is_a_sequence_that_tells_how_it_was_found(store: Store) -> None:
    fill(store)
    answer = store.search(ONES, 5, ef_search=50)
    assert len(answer) == len(list(answer)) == len(answer.hits) == 5
    assert answer[-1] is answer.hits[4]
    assert answer[1:3] == answer.hits[1:3]
    assert (answer.exact, answer.complete, answer.note) == (True, True, "")
    assert answer.tiers == frozenset({Tier.HOT})
    assert answer.matched == answer.examined == 50
    assert answer.total_found >= 5
    assert answer.plan
    assert answer.latency_ms > 0
    assert answer[0].vector is None
    assert f"id={answer[0].id}" in repr(answer[0])


def test_equal_scores_are_ordered_by_id(store: Store) -> None:
    store.insert_many([(doc_id, ONES) for doc_id in (9, 3, 7, 1, 5)])
    assert store.search(ONES, 3).ids.tolist() == [1, 3, 5]


def test_metadata_and_vectors_come_as_asked(store: Store) -> None:
    fill(store, 3)
    bare = store.search(ONES, 3, include_metadata=False)
    assert all(hit.metadata == {} and hit.vector is None for hit in bare)
    document = store.get(2, include_vector=False)
    assert document is not None
    assert document.vector is None
    assert document.metadata == {"n": 2, "parity": "even"}


def test_a_minimum_score_leaves_rows_out(store: Store) -> None:
    store.insert(1, ONES)
    store.insert(2, [-1.0] * DIMENSION)
    assert store.search(ONES, min_score=0.5).ids.tolist() == [1]
    assert store.search(ONES, min_score=-0.5).ids.tolist() == [1, 2]
    assert store.search(ONES, min_score=0).ids.tolist() == [1, 2]


FILTERS: list[dict[str, object]] = [
    {},
    {"parity": "odd"},
    {"parity": {"$ne": "odd"}},
    {"n": 17},
    {"n": {"$in": [3, 4, "50"]}},
    {"n": {"$nin": list(range(1, 50))}},
    {"n": {"$gte": 10, "$lt": 20}},
    {"n": {"$gt": 9}, "parity": "even"},
    {"n": {"$gt": "9"}},
    {"n": {"$between": [7, 12.5]}, "parity": {"$contains": "dd"}},
    {"parity": {"$prefix": "ev"}, "n": {"$is_null": False}},
    {"n.m": {"$exists": False}, "parity": {"$icontains": "OD"}},
    {"$or": [{"n": {"$lte": 2}}, {"n": {"$gt": 48.5}}]},
    {"$and": [{"n": {"$exists": True}}, {"$not": {"parity": "odd"}}]},
    {"absent": {"$exists": True}},
    {"absent": {"$exists": False}},
    {"absent": {"$ne": "x"}, "n": {"$not": {"$lt": 45}}},
    {"$or": []},
]


def test_a_filter_selects_what_it_means(store: Store) -> None:
    fill(store)
    documents = {
        doc_id: kept({"n": doc_id, "parity": "odd" if doc_id % 2 else "even"}) for doc_id in range(1, 51)
    }
    for condition in FILTERS:
        meant = [
            doc_id for doc_id, metadata in documents.items() if matches(parse_filter(condition), metadata)
        ]
        answer = store.search(ONES, 50, filter=condition)
        assert sorted(answer.ids.tolist()) == meant, condition
        assert answer.matched == len(meant), condition


def test_a_filter_may_be_a_syntax_tree(store: Store) -> None:
    fill(store)
    assert store.search(ONES, filter=Exact("n", "12")).ids.tolist() == [12]


def test_a_namespace_is_searched_alone(store: Store) -> None:
    fill(store, 10)
    store.insert(100, ONES, {"n": "x"}, "apart")
    assert store.search(ONES, namespace="apart").ids.tolist() == [100]
    assert store.search(ONES, namespace="apart", filter={"parity": "odd"}).ids.tolist() == []
    assert store.search(ONES, namespace="absent").ids.tolist() == []
    assert len(store.search(ONES, 20)) == 11


def test_many_searches_are_answered_in_order(store: Store) -> None:
    vectors = fill(store, 30)
    queries = random_vectors(1100, seed=5)
    answers = store.search_many(queries, 1, filter={"parity": "odd"})
    assert len(answers) == 1100
    for query, answer in zip(queries[::100], answers[::100], strict=True):
        odd = [doc_id for doc_id in ranked(vectors, query) if doc_id % 2]
        assert answer.ids.tolist() == odd[:1]
    assert store.search_many([]) == []
    listed = store.search_many([list(vectors[4]), vectors[7]], 1, exact=True, ef_search=100)
    assert [answer[0].id for answer in listed] == [5, 8]


def test_lookups_keep_their_order(store: Store) -> None:
    vectors = fill(store, 5)
    found = store.get_many([4, 99, 4, 1])
    assert [document and document.id for document in found] == [4, None, 4, 1]
    assert found[3] is not None
    assert found[3].vector is not None
    assert found[3].vector.tobytes() == vectors[0].tobytes()
    assert store.get_many(iter([])) == []
    assert store.get_many([4], "elsewhere") == [None]
    many = store.get_many(range(1, 2500), include_vectors=False)
    assert [document.id for document in many if document is not None] == [1, 2, 3, 4, 5]
    assert len(many) == 2499


WRONG_CALLS: list[tuple[str, Callable[[Store], object]]] = [
    ("k must be greater than 0", lambda store: store.search(ONES, 0)),
    ("k must be <= 1000, got 1001", lambda store: store.search_many([ONES], 1001)),
    ("k must be an integer, got float 2.0", lambda store: store.search(ONES, 2.0)),  # type: ignore[arg-type]
    ("ef_search must be <= 10000, got 10001", lambda store: store.search(ONES, ef_search=10_001)),
    ("min_score must be a number, got NaN", lambda store: store.search(ONES, min_score=float("nan"))),
    ("min_score must be a number, got str", lambda store: store.search(ONES, min_score="1")),  # type: ignore[arg-type]
    ("vector must contain only finite values", lambda store: store.search([np.nan] * DIMENSION)),
    ("vector cannot be empty", lambda store: store.search([])),
    ("dimension mismatch: expected 8 found 3", lambda store: store.search([1, 2, 3])),
    ("norm is zero", lambda store: store.search([0] * DIMENSION)),
    ("vectors[1] must contain only finite values", lambda store: store.search_many([ONES, [np.inf] * DIMENSION])),
    ("dimension mismatch: expected 8 found 2", lambda store: store.search_many([ONES, [1, 1]])),
    ("vectors[0] must have one dimension", lambda store: store.search_many(ONES)),
    ("vectors must be a list", lambda store: store.search_many(5)),  # type: ignore[arg-type]
    ("filter.n.$in", lambda store: store.search(ONES, filter={"n": {"$in": "12"}})),
    ("filter must be a dict", lambda store: store.search(ONES, filter="n = 1")),  # type: ignore[arg-type]
    ("namespace must be text", lambda store: store.search(ONES, namespace=None)),  # type: ignore[arg-type]
]  # fmt: skip


def test_wrong_questions_are_refused(store: Store) -> None:
    for words, call in WRONG_CALLS:
        with pytest.raises(InvalidArgument, match=re.escape(words)):
            call(store)
    assert len(store.search(ONES)) == 0


def test_flushing_moves_documents_and_changes_no_answer(store: Store) -> None:
    vectors = fill(store)
    before = store.search(vectors[7], 10)
    assert store.flush(force=False).documents == 0
    report = store.flush()
    assert report.documents == 50
    assert report.duration_s > 0
    after = store.search(vectors[7], 10, ef_search=50)
    assert after.ids.tolist() == before.ids.tolist()
    assert after.scores.tolist() == before.scores.tolist()
    assert after.tiers == frozenset({Tier.COLD})
    stats = store.stats()
    assert (stats.documents, stats.hot_documents, stats.cold_documents) == (50, 0, 50)
    assert (stats.dimension, stats.distance) == (DIMENSION, "cosine")
    assert stats.hot_flushes >= 1
    document = store.get(8)
    assert document is not None
    assert document.tier is Tier.COLD


def test_a_compaction_leaves_one_segment_of_what_there_is(store: Store) -> None:
    fill(store, 20)
    store.flush()
    store.delete_many(range(1, 11))
    report = store.compact()
    assert (report.documents, report.segments) == (10, 1)
    assert report.segments_before >= 1
    assert 0 < report.bytes < report.bytes_before
    assert report.duration_s > 0


def test_a_snapshot_and_the_health_are_told(store: Store) -> None:
    fill(store, 10)
    snapshot = store.snapshot()
    assert snapshot.documents == 10
    assert snapshot.size_bytes > 10 * 4 * DIMENSION
    health = store.health()
    # A server may be degraded for an objective it misses; none here may refuse writes.
    assert health.status in {"healthy", "degraded"}
    assert health.components["wal"] == "healthy"
    assert health.components["cold_tier"] == "healthy (10 docs)"
    assert health.uptime_s >= 0


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    for call in (
        lambda: store.search(ONES),
        lambda: store.insert(1, ONES),
        lambda: store.get(1),
        lambda: store.insert_many([(1, ONES)]),
        lambda: store.stats(),
    ):
        with pytest.raises(Unavailable, match="is closed"):
            call()
