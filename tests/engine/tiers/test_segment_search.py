"""Walks and scans of one segment, where the filter and the query are against each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.engine.opening import DIMENSION, ids, open_small

from pykyro.engine.engine import Engine
from pykyro.model import distance
from pykyro.model.filter import Exact
from pykyro.model.requests import Put, SearchRequest
from pykyro.model.types import Document, Matrix, Metric

ROWS = 9_000
K = 10


def two_sides(metric: Metric) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """Rows around two opposite points, and which of them are on the left."""
    rng = np.random.default_rng(8)
    left = rng.random(ROWS) < 0.5
    rows = rng.standard_normal((ROWS, DIMENSION)).astype(np.float32)
    rows[:, 0] += np.where(left, 3, -3)
    if metric is Metric.INNER_PRODUCT:
        rows *= rng.lognormal(0, 0.3, size=(ROWS, 1)).astype(np.float32)
    return rows, left


def stored(path: Path, rows: Matrix, left: npt.NDArray[np.bool_], metric: Metric) -> Engine:
    """One segment of them, with the side as metadata."""
    engine = open_small(path, metric=metric, documents_max=2 * ROWS)
    sides = [{"side": "left" if is_left else "right"} for is_left in left]
    for start in range(0, len(rows), 1000):
        engine.commit(
            [Put(Document(at + 1, rows[at], sides[at])) for at in range(start, min(len(rows), start + 1000))]
        )
    engine.flush()
    assert engine.stats().segments == 1
    return engine


@pytest.fixture(scope="module", params=list(Metric))
def sides(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Matrix, npt.NDArray[np.bool_], Metric]]:
    metric = request.param
    rows, left = two_sides(metric)
    engine = stored(tmp_path_factory.mktemp("sides") / "data", rows, left, metric)
    yield engine, rows, left, metric
    engine.close()


def expected(
    rows: Matrix, alive: npt.NDArray[np.bool_], query: npt.NDArray[np.float32], metric: Metric
) -> list[int]:
    similarities = np.where(alive, distance.similarities(rows, query, metric), -np.inf)
    nearest = np.lexsort((np.arange(len(rows)), -similarities))[:K]
    shown = distance.scores(similarities[nearest], metric)
    best: list[int] = (nearest[np.lexsort((nearest, -shown))] + 1).tolist()
    return best


def test_a_filter_that_none_of_the_nearest_rows_satisfies_still_finds_the_best(
    sides: tuple[Engine, Matrix, npt.NDArray[np.bool_], Metric],
) -> None:
    engine, rows, left, metric = sides
    shared, again = 0, 0
    queries = rows[left][:30]
    for query in queries:
        result = engine.search(SearchRequest(query, K, filter=Exact("side", "right")))
        assert len(result.hits) == K
        assert not left[np.array(ids(result)) - 1].any()
        shared += len(set(ids(result)) & set(expected(rows, ~left, query, metric)))
        again += "near the query" in result.plan or "scan" in result.plan
    assert shared / (K * len(queries)) >= 0.95
    assert again == len(queries)


def test_a_filter_the_nearest_rows_satisfy_needs_one_walk(
    sides: tuple[Engine, Matrix, npt.NDArray[np.bool_], Metric],
) -> None:
    engine, rows, left, metric = sides
    shared = 0
    queries = rows[left][:30]
    for query in queries:
        result = engine.search(SearchRequest(query, K, filter=Exact("side", "left")))
        assert "near the query" not in result.plan
        shared += len(set(ids(result)) & set(expected(rows, left, query, metric)))
    assert shared / (K * len(queries)) >= 0.95


def test_each_of_several_questions_is_walked_as_wide_as_it_needs(
    sides: tuple[Engine, Matrix, npt.NDArray[np.bool_], Metric],
) -> None:
    engine, rows, left, _ = sides
    requests = [
        SearchRequest(query, K, filter=Exact("side", "right"), ef_search=50)
        for query in (rows[left][0], rows[~left][0])
    ]
    together = engine.search_many(requests)
    for request, result in zip(requests, together, strict=True):
        alone = engine.search(request)
        assert not isinstance(result, Exception)
        assert (ids(result), result.plan) == (ids(alone), alone.plan)


def test_a_scan_of_the_graphs_short_form_is_exact(
    sides: tuple[Engine, Matrix, npt.NDArray[np.bool_], Metric],
) -> None:
    engine, rows, left, metric = sides
    for query in (*rows[left][:15], *rows[~left][:15]):
        result = engine.search(SearchRequest(query, K, filter=Exact("side", "right"), exact=True))
        assert result.exact
        assert ids(result) == expected(rows, ~left, query, metric)


@pytest.mark.parametrize("metric", list(Metric))
def test_rows_that_codes_cannot_tell_apart_are_ranked_as_they_are(tmp_path: Path, metric: Metric) -> None:
    rng = np.random.default_rng(9)
    rows = np.ones((5000, DIMENSION), dtype=np.float32)
    rows += rng.standard_normal(rows.shape).astype(np.float32) * np.float32(1e-4)
    left = np.arange(len(rows)) % 2 == 0
    engine = stored(tmp_path / "data", rows, left, metric)
    query = np.ones(DIMENSION, dtype=np.float32)
    result = engine.search(SearchRequest(query, K, filter=Exact("side", "left"), exact=True))
    assert ids(result) == expected(rows, left, query, metric)
    engine.close()
