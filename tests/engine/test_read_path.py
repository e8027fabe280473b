"""Searches and lookups over all tiers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.engine.opening import DIMENSION, fill, ids, nearest, open_small, put, vectors

from pykyro.engine import read_path
from pykyro.engine.engine import Engine
from pykyro.model import distance
from pykyro.model.distance import Query, Similarities
from pykyro.model.filter import Exact, Range
from pykyro.model.requests import Delete, SearchRequest, SearchResult, Tier, UpdateMetadata
from pykyro.model.types import NAMESPACE_KEY, Metric, Scope


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_small(tmp_path / "data")
    yield engine
    engine.close()


def test_an_empty_database_answers_with_nothing(engine: Engine) -> None:
    result = engine.search(SearchRequest(vectors(1)[0], 10))
    assert result.hits == []
    assert (result.total_found, result.matched, result.exact, result.tiers) == (0, 0, True, frozenset())


@pytest.mark.parametrize("metric", list(Metric))
def test_hits_from_all_tiers_are_ranked_as_a_flat_scan_ranks_them(tmp_path: Path, metric: Metric) -> None:
    rows = vectors(3000, seed=1)
    engine = open_small(tmp_path / metric.value, metric=metric)
    fill(engine, rows[:1500])
    engine.flush()
    fill(engine, rows[1500:2500], first_id=1501)
    engine.flush()
    fill(engine, rows[2500:], first_id=2501)
    assert engine.stats().segments == 2
    for query in vectors(20, seed=2):
        similarities = distance.similarities(rows, query, metric)
        expected = np.lexsort((np.arange(len(rows)), -similarities))[:10]
        result = engine.search(SearchRequest(query, 10, exact=True))
        assert ids(result) == (expected + 1).tolist()
        np.testing.assert_array_equal(
            np.array([hit.score for hit in result.hits], dtype=np.float32),
            distance.scores(similarities[expected], metric),
        )
        assert result.exact
        assert result.tiers == {Tier.HOT, Tier.COLD}
    engine.close()


def test_equal_similarities_are_ordered_by_doc_id_whatever_their_tiers(engine: Engine) -> None:
    (row,) = vectors(1)
    engine.commit([put(doc_id, row) for doc_id in (9, 3)])
    engine.flush()
    engine.commit([put(doc_id, row) for doc_id in (5, 1, 7)])
    assert nearest(engine, row, 4) == [1, 3, 5, 7]


def test_the_score_of_a_document_is_the_same_from_every_tier(engine: Engine) -> None:
    rows, query = vectors(1200, seed=3), vectors(1, seed=4)[0]
    fill(engine, rows)
    hot = {hit.doc_id: hit.score for hit in engine.search(SearchRequest(query, 1000)).hits}
    engine.flush()
    cold = {hit.doc_id: hit.score for hit in engine.search(SearchRequest(query, 1000, exact=True)).hits}
    walked = {hit.doc_id: hit.score for hit in engine.search(SearchRequest(query, 10)).hits}
    assert hot == cold
    assert walked.items() <= cold.items()


def test_vectors_come_back_bit_for_bit(engine: Engine) -> None:
    row = np.array([1e-30, 3e20, -0.0, 1.0, np.float32(1 / 3), 7, -7, 2], dtype=np.float32)
    engine.write(put(1, row))
    for _ in range(2):
        found = engine.get(1)
        assert found is not None
        assert found.vector.tobytes() == row.tobytes()
        (hit,) = engine.search(SearchRequest(row, 1, include_vectors=True)).hits
        assert hit.vector is not None
        assert hit.vector.tobytes() == row.tobytes()
        engine.flush()


def test_metadata_comes_with_hits_unless_it_is_left_out(engine: Engine) -> None:
    fill(engine, vectors(5), metadata={"colour": "blue", NAMESPACE_KEY: "n"})
    for _ in range(2):
        with_metadata = engine.search(SearchRequest(vectors(1)[0], 5)).hits
        assert all(hit.metadata == {"colour": "blue"} for hit in with_metadata)
        without = engine.search(SearchRequest(vectors(1)[0], 5, include_metadata=False)).hits
        assert all(hit.metadata == {} for hit in without)
        engine.flush()


def test_a_filter_never_returns_fewer_rows_than_match(engine: Engine) -> None:
    rows = vectors(2500, seed=5)
    engine.commit([put(at + 1, row, part=str(at % 500), n=str(at)) for at, row in enumerate(rows)])
    engine.flush()
    query = vectors(1, seed=6)[0]
    result = engine.search(SearchRequest(query, 10, filter=Exact("part", "7")))
    assert sorted(ids(result)) == [8, 508, 1008, 1508, 2008]
    assert result.matched == result.total_found == 5
    assert nearest(engine, query, 3, filter=Range("n", "lt", "2")) == nearest(
        engine, query, 2, filter=Range("n", "lte", "1")
    )


def test_a_namespace_is_a_filter_and_a_wall(engine: Engine) -> None:
    rows = vectors(40)
    fill(engine, rows[:20], metadata={NAMESPACE_KEY: "a"})
    fill(engine, rows[20:], first_id=21, metadata={NAMESPACE_KEY: "b"})
    for _ in range(2):
        assert set(nearest(engine, rows[0], 100, scope=Scope(namespace="b"))) == set(range(21, 41))
        assert engine.get(1, Scope(namespace="b")) is None
        assert engine.get(1, Scope(namespace="a")) is not None
        assert engine.write(Delete(1, Scope(namespace="b"))).existed == 0
        assert engine.write(UpdateMetadata(1, {"x": "y"}, scope=Scope(namespace="b"))).existed == 0
        engine.flush()


def test_min_score_cuts_when_positive_and_not_otherwise(engine: Engine) -> None:
    row = np.eye(DIMENSION, dtype=np.float32)
    fill(engine, row)
    engine.write(put(99, -row[0]))
    assert nearest(engine, row[0], 10, min_score=0.5) == [1]
    assert len(nearest(engine, row[0], 10, min_score=0.0)) == DIMENSION + 1
    assert len(nearest(engine, row[0], 10, min_score=-0.5)) == DIMENSION + 1


def test_dead_rows_are_never_returned_even_when_most_are_dead(engine: Engine) -> None:
    rows = vectors(1500, seed=7)
    fill(engine, rows)
    engine.flush()
    engine.commit([Delete(doc_id) for doc_id in range(1, 1492)])
    assert set(nearest(engine, rows[0], 50)) == set(range(1492, 1501))
    assert engine.get(1) is None


def test_graph_search_finds_nearly_what_a_scan_finds(engine: Engine) -> None:
    rows = vectors(4000, seed=8)
    fill(engine, rows)
    engine.flush()
    found = wanted = 0
    for query in vectors(50, seed=9):
        result = engine.search(SearchRequest(query, 10))
        assert not result.exact
        assert len(result.hits) == 10
        truth = set(nearest(engine, query, 10, exact=True))
        found += len(truth.intersection(ids(result)))
        wanted += 10
    assert found / wanted >= 0.95


@pytest.mark.parametrize("metric", list(Metric))
def test_searches_asked_together_are_answered_as_if_asked_alone(tmp_path: Path, metric: Metric) -> None:
    rows = vectors(2600, seed=10)
    engine = open_small(tmp_path / "data", metric=metric)
    fill(engine, rows[:2000], metadata={"half": "a"})
    engine.flush()
    fill(engine, rows[2000:], first_id=2001, metadata={"half": "b"})
    engine.commit([Delete(doc_id) for doc_id in range(1, 500, 3)])
    requests = [
        SearchRequest(query, k, filter=condition, min_score=min_score, include_vectors=k == 3)
        for query in vectors(20, seed=11)
        for k, condition in ((10, None), (3, None), (5, Exact("half", "a")), (7, Exact("half", "none")))
        for min_score in (0.0, 0.3)
    ]
    together = engine.search_many(requests)
    for request, answer in zip(requests, together, strict=True):
        assert isinstance(answer, SearchResult)
        alone = engine.search(request)
        assert shown(answer) == shown(alone)
        assert answer.matched == alone.matched
    engine.close()


def shown(result: SearchResult) -> list[tuple[int, float, bytes, bytes | None]]:
    return [
        (hit.doc_id, hit.score, hit.metadata_wire, None if hit.vector is None else hit.vector.tobytes())
        for hit in result.hits
    ]


def test_the_rows_of_questions_asked_together_are_bounded(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(engine, vectors(2000, seed=12))
    engine.flush()
    taken: list[tuple[int, int]] = []

    def recorded(queries: Sequence[Query], rows: npt.NDArray[np.float32], norms: Any) -> Similarities:
        taken.append((len(queries), 3 * rows.nbytes))
        return distance.similarities_together(queries, rows, norms)

    monkeypatch.setattr("pykyro.engine.tiers.graph_search.similarities_together", recorded)
    monkeypatch.setattr(read_path, "_TOGETHER_BYTES", 10_000)
    for k in (2, 20):
        requests = [SearchRequest(query, k) for query in vectors(40, seed=k)]
        assert all(isinstance(answer, SearchResult) for answer in engine.search_many(requests))
    assert max(count for count, _ in taken) > 1
    assert sum(count for count, _ in taken) == 80
    assert all(count == 1 or size <= 10_000 for count, size in taken)
