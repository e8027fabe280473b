"""Answers are right whatever the geometry of the data: near-duplicates, equal rows, far from the origin, integers.

The shapes are those of benchmarks/shapes.py, smaller.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from benchmarks.shapes import SHAPES, Geometry, around, families, identical
from tests.engine.answers import by_the_book, is_in_order, recall
from tests.engine.opening import open_small, settle

from pykyro.engine.engine import Engine
from pykyro.engine.maintenance import segment_builder
from pykyro.index.vector.coding import Code
from pykyro.index.vector.graph_build import GraphParameters, build_graph
from pykyro.index.vector.hnsw import Graph
from pykyro.index.vector.shape import Shape
from pykyro.index.vector.shaping import RowsToShape, shape_rows
from pykyro.model import distance
from pykyro.model.filter import Exact
from pykyro.model.requests import Delete, Put, SearchRequest
from pykyro.model.types import Document, Matrix, Metric

ROWS = 1600
WANTED = 0.99


def shape(name: str) -> Geometry:
    return next(one for one in SHAPES if one.name == name)


def stored(path: Path, metric: Metric, rows: Matrix, first: int = 0) -> Engine:
    engine = open_small(path, dimension=rows.shape[1], metric=metric, hot_rows_max=10_000)
    put(engine, rows, np.arange(first, len(rows)))
    engine.flush()
    return engine


def put(engine: Engine, rows: Matrix, numbers: npt.NDArray[np.int64]) -> None:
    engine.commit([Put(Document(at + 1, rows[at], {"third": str(at % 3)})) for at in numbers.tolist()])


def merged(engine: Engine) -> None:
    engine.flush()
    settle(engine)
    assert engine.stats().segments == 1


@pytest.mark.parametrize("one", SHAPES, ids=lambda one: one.name)
def test_recall_of_a_shape(one: Geometry, tmp_path: Path) -> None:
    rows, queries = one.drawn(ROWS, 25)
    engine = stored(tmp_path / "data", one.metric, rows)
    assert engine._context.state.version.cold[0].graph is not None
    assert recall(engine, rows, queries) >= WANTED
    assert recall(engine, rows, queries, np.arange(ROWS) % 3 == 1, condition=Exact("third", "1")) >= WANTED
    assert recall(engine, rows, queries[:5], exact=True) == 1.0
    engine.close()


@pytest.mark.parametrize(
    "name",
    [
        "families, cosine 0.9999",
        "far from the origin, 3000",
        "families of unit rows by product, 0.9999",
        "mixed lengths by product, 0.7",
        "identical, 20 groups, half",
        "identical, Euclidean",
    ],
)
def test_recall_after_a_merge_that_extends_deletes_and_replacements(name: str, tmp_path: Path) -> None:
    one = shape(name)
    rows, queries = one.drawn(2400, 20)
    engine = stored(tmp_path / "data", one.metric, rows[:1600])
    put(engine, rows, np.arange(1600, 2400))
    merged(engine)
    alive = np.ones(len(rows), np.bool_)
    assert recall(engine, rows, queries) >= WANTED
    gone = np.arange(0, len(rows), 5)
    engine.commit([Delete(doc_id=int(at) + 1) for at in gone])
    alive[gone] = False
    assert recall(engine, rows, queries, alive) >= WANTED
    swapped = np.arange(1, len(rows), 11)
    swapped = swapped[alive[swapped]]
    rows[swapped] = rows[swapped[::-1]]
    put(engine, rows, swapped)
    assert recall(engine, rows, queries, alive) >= WANTED
    engine.flush()
    settle(engine)
    assert recall(engine, rows, queries, alive) >= WANTED
    assert (
        recall(engine, rows, queries, alive & (np.arange(len(rows)) % 3 == 2), condition=Exact("third", "2"))
        >= WANTED
    )
    engine.close()


def test_rows_that_the_codes_of_a_graph_cannot_express_have_it_built_again(tmp_path: Path) -> None:
    rows, queries = shape("clusters").drawn(2000, 15)
    rows[1500:] *= np.float32(50)
    engine = stored(tmp_path / "data", Metric.EUCLIDEAN, rows[:1500])
    (before,) = engine._context.state.version.cold
    put(engine, rows, np.arange(1500, 2000))
    merged(engine)
    (after,) = engine._context.state.version.cold
    assert before.shape is not None
    assert after.shape is not None
    assert after.shape.coding.scale < before.shape.coding.scale / 10
    assert recall(engine, rows, queries) >= WANTED
    assert recall(engine, rows, queries * np.float32(50)) >= WANTED
    engine.close()


@pytest.mark.parametrize("metric", list(Metric))
def test_a_segment_without_a_live_row_leaves_and_the_graph_stays(metric: Metric, tmp_path: Path) -> None:
    rows, queries = shape("clusters").drawn(1900, 10)
    engine = stored(tmp_path / "data", metric, rows[:1500])
    put(engine, rows, np.arange(1500, 1900))
    engine.flush()
    engine.commit([Delete(doc_id=at + 1) for at in range(1500, 1900)])
    put(engine, rows, np.arange(2))
    engine.flush()
    while engine.maintain():
        pass
    assert [segment.rows for segment in engine._context.state.version.cold] == [1500, 2]
    assert recall(engine, rows, queries, np.arange(1900) < 1500) >= WANTED
    engine.close()


def test_equal_rows_are_one_point_of_the_graph_and_come_by_ascending_id(tmp_path: Path) -> None:
    draw, _ = identical(16, 4, 0.75)(np.random.default_rng(1), ROWS)
    rows = draw(np.random.default_rng(2), ROWS).astype(np.float32)
    engine = stored(tmp_path / "data", Metric.COSINE, rows)
    (segment,) = engine._context.state.version.cold
    assert segment.graph is not None
    assert segment.graph.ntotal == ROWS // 4 + 4
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    for at in first[np.bincount(inverse) > 1]:
        equal = np.flatnonzero((rows == rows[at]).all(axis=1))
        for k in (1, 10, 100):
            hits = engine.search(SearchRequest(rows[at], k)).hits
            assert [hit.doc_id for hit in hits] == (equal[:k] + 1).tolist()
        engine.commit([Delete(doc_id=int(one) + 1) for one in equal[:5]])
        left = equal[5:]
        assert [hit.doc_id for hit in engine.search(SearchRequest(rows[at], 10)).hits] == (
            left[:10] + 1
        ).tolist()
        third = left[left % 3 == 1]
        hits = engine.search(SearchRequest(rows[at], 10, filter=Exact("third", "1"))).hits
        assert [hit.doc_id for hit in hits] == (third[:10] + 1).tolist()
    engine.close()


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("sealed", [False, True])
def test_what_a_client_sees_as_equal_comes_by_ascending_id_up_to_the_cut(
    metric: Metric, sealed: bool, tmp_path: Path
) -> None:
    """Rows whose similarities differ by less than float32 shows: copies of some directions of other lengths,
    or, where lengths count, permuted components of a query that has equal ones."""
    random = np.random.default_rng(4)
    if metric is Metric.COSINE:
        drawn = random.standard_normal((6, 24))[random.integers(0, 6, ROWS)] * random.uniform(
            0.1, 9, (ROWS, 1)
        )
        query = random.standard_normal(24).astype(np.float32)
    else:
        base = random.standard_normal((6, 24))[random.integers(0, 6, ROWS)]
        drawn = np.stack([random.permutation(row) for row in base])
        query = np.full(24, 0.1, np.float32)
    rows: Matrix = drawn.astype(np.float32)
    engine = open_small(tmp_path / "data", dimension=24, metric=metric, hot_rows_max=10_000)
    order = random.permutation(ROWS)
    for start in range(0, ROWS, 400):
        put(engine, rows, order[start : start + 400])
    if sealed:
        engine.flush()
    for k in (3, 10, 50, 700):
        answers = [engine.search(SearchRequest(query, k, exact=exact)) for exact in (False, False, True)]
        for answer in answers:
            ids, scores = [hit.doc_id for hit in answer.hits], [hit.score for hit in answer.hits]
            assert is_in_order(ids, scores)
            assert ids == [hit.doc_id for hit in answers[-1].hits]
            beaten = by_the_book(rows, query, metric)
            equal = np.flatnonzero(np.isclose(beaten, beaten[ids[-1] - 1], rtol=1e-9, atol=0)) + 1
            kept = [doc_id for doc_id in ids if doc_id in set(equal.tolist())]
            if metric is not Metric.COSINE:  # whose rounded directions differ by more than that
                assert kept == equal[: len(kept)].tolist()
    engine.close()


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "families, cosine 0.9999",
        "families, cosine 0.999999",
        "families, cosine 0.99999999",
        "one tight cluster, cosine",
        "families of unit rows by product, 0.9999",
        "millionths, Euclidean",
    ],
)
def test_which_rows_are_in_an_answer_is_decided_by_more_than_their_scores_show(
    name: str, sealed: bool, tmp_path: Path
) -> None:
    """Float32 shows these rows as equal, or nearly all; the nearest are found all the same."""
    millionths = Geometry("millionths, Euclidean", Metric.EUCLIDEAN, 16, around(16, 0.0, 1e-6))
    one = millionths if name == millionths.name else shape(name)
    rows, queries = one.drawn(ROWS, 15)
    engine = stored(tmp_path / "data", one.metric, rows)
    if not sealed:
        put(engine, rows, np.arange(0, ROWS, 2))
    wanted, found = 0, 0
    for query in queries:
        truth = by_the_book(rows, query, one.metric)
        kth = float(np.partition(truth, -10)[-10])
        for exact in (True, False):
            hits = engine.search(SearchRequest(query, 10, exact=exact)).hits
            ids, scores = [hit.doc_id for hit in hits], [hit.score for hit in hits]
            right = sum(truth[doc_id - 1] >= kth - 1e-11 * abs(kth) for doc_id in ids)
            assert is_in_order(ids, scores)
            assert right == 10 or not exact
            wanted, found = wanted + 10, found + right
    assert found >= WANTED * wanted
    engine.close()


def test_segments_of_earlier_versions_are_searched_with_care_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_before(rows: RowsToShape, parameters: GraphParameters, threads: int) -> tuple[Graph, Shape]:
        indexed = distance.index_form(rows.vectors, parameters.metric)
        by_product = parameters.metric is not Metric.EUCLIDEAN
        return (
            build_graph(indexed, parameters, Code.BF16, by_product=by_product),
            shape_rows(rows, parameters)[1],
        )

    draw, ask = families(96, 8, 0.01)(np.random.default_rng(1), ROWS)
    rows = draw(np.random.default_rng(2), ROWS).astype(np.float32)
    queries = ask(np.random.default_rng(3), 20).astype(np.float32)
    for metric in Metric:
        directory = tmp_path / metric.value
        monkeypatch.setattr(segment_builder, "shape_rows", as_before)
        monkeypatch.setattr(segment_builder, "write_shape", lambda *_: None)
        engine = stored(directory, metric, rows)
        (segment,) = engine._context.state.version.cold
        assert (segment.graph is not None, segment.shape) == (True, None)
        assert b"shape" not in (directory / "MANIFEST").read_bytes()
        assert recall(engine, rows, queries) >= WANTED
        engine.close()
        monkeypatch.undo()
        engine = open_small(directory, dimension=96, metric=metric, hot_rows_max=10_000)
        assert recall(engine, rows, queries) >= WANTED
        settle(engine)
        (segment,) = engine._context.state.version.cold
        assert segment.shape is not None
        assert recall(engine, rows, queries) >= WANTED
        engine.close()
