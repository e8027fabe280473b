"""The exact scan never loses a row that belongs to the answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.index.vector import flat
from pykyro.index.vector.flat import scan
from pykyro.model import distance
from pykyro.model.distance import Query
from pykyro.model.types import Matrix, Metric, Vector

METRICS = list(Metric)


@pytest.fixture(autouse=True, scope="module")
def _few_rows_are_sifted_too() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flat, "FEW_ROWS", 0)
        yield


def check(
    rows: Matrix, query: Vector, metric: Metric, k: int, selected: npt.NDArray[np.integer] | None = None
) -> int:
    """Scan, hold the answer to the canonical similarities, return how many rows came back."""
    looked_at = np.arange(len(rows)) if selected is None else selected.astype(np.int64)
    canonical = distance.similarities(rows, query, metric)
    for norms in (None, distance.norms(rows)):
        found = scan(rows, Query(query, metric), k, norms=norms, selected=selected)
        assert found.dtype == np.int64
        assert (np.diff(found) > 0).all()
        assert np.isin(found, looked_at).all()
        if k < len(looked_at):
            kth = np.sort(canonical[looked_at])[-k]
            needed = looked_at[canonical[looked_at] >= kth]
        else:
            needed = looked_at
        assert np.isin(needed, found).all()
    return len(found)


small = st.integers(1, 4).flatmap(
    lambda width: st.tuples(
        st.lists(st.lists(st.integers(-2, 2), min_size=width, max_size=width), min_size=1, max_size=40),
        st.lists(st.integers(-2, 2), min_size=width, max_size=width),
    )
)


@given(small, st.sampled_from(METRICS), st.integers(1, 12), st.data())
def test_ties_are_all_returned(
    case: tuple[list[list[int]], list[int]], metric: Metric, k: int, data: st.DataObject
) -> None:
    rows, query = np.array(case[0], dtype=np.float32), np.array(case[1], dtype=np.float32)
    if metric is Metric.COSINE:  # without a direction nothing is stored or asked
        rows[~rows.any(axis=1)] = 1
        query = query if query.any() else np.ones_like(query)
    selected = data.draw(st.none() | st.sets(st.integers(0, len(rows) - 1), min_size=1).map(sorted))
    check(rows, query, metric, k, None if selected is None else np.array(selected, dtype=np.uint32))


@given(
    st.integers(0, 2**32),
    st.sampled_from(METRICS),
    st.sampled_from([1e-30, 1e-10, 1.0, 1e10, 1e19]),
    st.sampled_from([0.0, 1.0, 1000.0]),
    st.sampled_from([1, 3, 17, 64]),
)
def test_rows_nearer_to_one_another_than_float32_can_tell_are_kept(
    seed: int, metric: Metric, scale: float, offset: float, width: int
) -> None:
    rng = np.random.default_rng(seed)
    scale = max(scale, 1e-2) if metric is Metric.COSINE else scale
    base = rng.normal(size=width) + offset
    spread = 10.0 ** rng.uniform(-8, 0, size=(300, 1))
    rows = ((base + spread * rng.normal(size=(300, width))) * scale).astype(np.float32)
    query = ((base + 1e-4 * rng.normal(size=width)) * scale).astype(np.float32)
    check(rows, query, metric, 10)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 1.0])
def test_only_selected_rows_are_looked_at(metric: Metric, share: float) -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(6000, 24)).astype(np.float32)
    selected = np.flatnonzero(rng.random(6000) < share).astype(np.uint32)
    assert check(rows, rng.normal(size=24).astype(np.float32), metric, 10, selected) < 40


@pytest.mark.parametrize("metric", METRICS)
def test_little_more_than_k_rows_come_back_from_ordinary_data(metric: Metric) -> None:
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(5000, 128)).astype(np.float32)
    assert check(rows, rng.normal(size=128).astype(np.float32), metric, 10) <= 14


@pytest.mark.parametrize("metric", METRICS)
def test_more_ties_than_float32_may_leave_undecided(metric: Metric) -> None:
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(4000, 16)).astype(np.float32)
    rows[::4] = rows[0]
    rows[1::4] = rows[0] * np.float32(1.0000002)  # a last bit away
    query = rows[0] + np.float32(0.125)
    found = check(rows, query, metric, 7)
    assert 1000 <= found <= 2000


@pytest.mark.parametrize("metric", METRICS)
def test_far_from_the_origin_float64_decides(metric: Metric) -> None:
    rng = np.random.default_rng(6)
    rows = (1.7e9 + 1e5 * rng.normal(size=(3000, 8))).astype(np.float32)
    # As cosines nearly all of them are shown as one.
    assert check(rows, rows[7] + np.float32(300), metric, 5) < (3001 if metric is Metric.COSINE else 300)


@pytest.mark.parametrize("metric", [Metric.INNER_PRODUCT, Metric.EUCLIDEAN])
def test_products_that_overflow_float32_are_ranked_all_the_same(metric: Metric) -> None:
    rng = np.random.default_rng(7)
    rows = (rng.normal(size=(500, 12)) * 1e25).astype(np.float32)
    rows[::7] *= np.float32(1e-20)
    with np.errstate(over="ignore"):
        found = scan(rows, Query(rows[3], metric), 5, norms=None, selected=None)
    best = np.argsort(-distance.similarities(rows, rows[3], metric), kind="stable")[:5]
    assert set(found) == set(best)


def test_few_rows_are_all_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "FEW_ROWS", 100)
    rows = np.random.default_rng(9).normal(size=(300, 4)).astype(np.float32)
    few, many = np.arange(0, 300, 3), np.arange(0, 300, 2)
    assert (scan(rows, Query(rows[0], Metric.COSINE), 5, norms=None, selected=few) == few).all()
    assert len(scan(rows, Query(rows[0], Metric.COSINE), 5, norms=None, selected=many)) < 20
    assert (
        scan(rows[:100], Query(rows[0], Metric.COSINE), 5, norms=None, selected=None) == np.arange(100)
    ).all()


def test_no_rows_or_no_k_give_nothing() -> None:
    rows, query = np.ones((3, 2), dtype=np.float32), np.ones(2, dtype=np.float32)
    for matrix, k, selected in (
        (rows[:0], 5, None),
        (rows, 0, None),
        (rows, 5, np.empty(0, dtype=np.uint32)),
    ):
        assert scan(matrix, Query(query, Metric.COSINE), k, norms=None, selected=selected).shape == (0,)


def test_a_selected_row_that_does_not_exist_is_refused() -> None:
    rows = np.ones((30, 2), dtype=np.float32)
    with pytest.raises(ValueError, match="row 30 selected of 30"):
        scan(rows, Query(rows[0], Metric.COSINE), 1, norms=None, selected=np.array([2, 30]))


def test_rows_may_be_mapped_read_only(tmp_path: Path) -> None:
    rows = np.random.default_rng(8).normal(size=(2000, 16)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    for selected in (None, np.arange(0, 2000, 9)):
        expected = scan(rows, Query(rows[5], Metric.EUCLIDEAN), 10, norms=None, selected=selected)
        found = scan(mapped, Query(rows[5], Metric.EUCLIDEAN), 10, norms=None, selected=selected)
        assert np.array_equal(expected, found)
