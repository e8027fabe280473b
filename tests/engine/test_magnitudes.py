"""Right answers for every finite float32: subnormal, near the end of the range, and both together."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from tests.engine.answers import recall
from tests.engine.opening import open_small, put

from pykyro.index.vector import flat
from pykyro.model import distance
from pykyro.model.distance import Query
from pykyro.model.errors import InvalidArgument
from pykyro.model.requests import SearchRequest
from pykyro.model.types import Matrix, Metric

MAGNITUDES = [1e-44, 1e-40, 1e-38, 1e-30, 1e-23, 1e-10, 1.0, 1e10, 1e20, 1e37]
_EXPONENTS = st.integers(-44, 37)


def true_order(rows: Matrix, query: Matrix, metric: Metric) -> list[Fraction]:
    """Similarities in rational numbers: as they are, and of cosine the signed square."""
    asked = [Fraction(float(one)) for one in query]
    values = []
    for row in rows:
        wide = [Fraction(float(one)) for one in row]
        if metric is Metric.EUCLIDEAN:
            values.append(-sum(((a - b) ** 2 for a, b in zip(wide, asked, strict=True)), Fraction()))
            continue
        product = sum((a * b for a, b in zip(wide, asked, strict=True)), Fraction())
        if metric is Metric.COSINE:
            squares = sum((a * a for a in wide), Fraction()) * sum((b * b for b in asked), Fraction())
            product = product * abs(product) / squares
        values.append(product)
    return values


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(Metric)),
    st.lists(_EXPONENTS, min_size=1, max_size=3),
    _EXPONENTS,
    st.integers(0, 2**32 - 1),
)
def test_a_scan_finds_the_best_of_rows_of_any_magnitude(
    metric: Metric, exponents: list[int], of_question: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    scales = 10.0 ** np.array(exponents)[random.integers(0, len(exponents), (160, 1))]
    rows = (random.standard_normal((160, 5)) * scales).astype(np.float32)
    query = (random.standard_normal(5) * 10.0**of_question).astype(np.float32)
    rows = rows[rows.any(axis=1)]
    if not query.any() or len(rows) < 140:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = flat.scan(rows, Query(query, metric), 5, norms=None, selected=None)
        similarities = distance.similarities(rows[found], query, metric)
        order, scores = distance.best(similarities, found.astype(np.uint64), metric, 5)
        shown = scores[order]
    truth = true_order(rows, query, metric)
    assert np.isfinite(shown).all()
    assert (np.diff(shown) <= 0).all()
    kth = sorted(truth, reverse=True)[4]
    assert all(truth[found[at]] >= kth - abs(kth) * Fraction(1, 2**30) for at in order[:5])


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_recall_at_a_magnitude_from_memory_and_from_a_segment(
    metric: Metric, magnitude: float, tmp_path: Path
) -> None:
    random = np.random.default_rng(3)
    # Subnormal numbers are few: integers times the smallest keep the order clear.
    kinds = random.integers(-40, 40, (1200, 8)) if magnitude < 1e-37 else random.standard_normal((1200, 8))
    rows = (kinds * magnitude).astype(np.float32)
    rows[~rows.any(axis=1), 0] = magnitude
    engine = open_small(tmp_path / "data", dimension=8, metric=metric, hot_rows_max=5000)
    queries = rows[::100]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine.commit([put(at + 1, row) for at, row in enumerate(rows)])
        for _ in range(2):
            assert recall(engine, rows, queries) >= 0.99
            assert recall(engine, rows, queries, exact=True) == 1.0
            for hit in engine.search(SearchRequest(queries[0], 5)).hits:
                assert math.isfinite(hit.score)
            engine.flush()
    engine.close()


def test_rows_of_all_magnitudes_in_one_segment(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    scales = 10.0 ** random.integers(-40, 37, (1200, 1))
    rows = (random.standard_normal((1200, 8)) * scales).astype(np.float32)
    rows[~rows.any(axis=1), 0] = 1
    for metric in Metric:
        engine = open_small(tmp_path / metric.value, dimension=8, metric=metric, hot_rows_max=5000)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            engine.commit([put(at + 1, row) for at, row in enumerate(rows)])
            engine.flush()
            assert recall(engine, rows, rows[::60]) >= 0.99
        engine.close()


def test_an_inner_product_beyond_float32_is_shown_as_its_largest_and_ranked_as_it_is() -> None:
    rows = np.array([[1e25], [3e38], [-3e38]], np.float32)
    similarities = distance.similarities(rows, np.array([3e38], np.float32), Metric.INNER_PRODUCT)
    largest = float(np.finfo(np.float32).max)
    assert distance.scores(similarities, Metric.INNER_PRODUCT).tolist() == [largest, largest, -largest]
    ids = np.array([1, 2, 3], np.uint64)
    assert distance.best(similarities, ids, Metric.INNER_PRODUCT, 2)[0].tolist() == [1, 0, 2]


def test_cosine_refuses_zero_and_nothing_else() -> None:
    for smallest in (1e-45, 1e-23, 1e-4):
        vector = np.array([0, smallest], np.float32)
        distance.check_vector(vector, dimension=2, metric=Metric.COSINE, field="embedding")
    with pytest.raises(InvalidArgument, match="embedding norm is zero; cannot normalize"):
        distance.check_vector(np.zeros(2, np.float32), dimension=2, metric=Metric.COSINE, field="embedding")
