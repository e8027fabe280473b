"""What a graph reports bounds what is true, whatever the codes."""

from __future__ import annotations

import numpy as np
import pytest

from pykyro.index.vector.coding import Code, Coding, old_coding
from pykyro.index.vector.graph_build import GraphParameters, build_graph
from pykyro.index.vector.hnsw import Graph
from pykyro.index.vector.shaping import RowsToShape, shape_rows
from pykyro.model import distance
from pykyro.model.types import Matrix, Metric

ROWS = 1500


def made(metric: Metric, dimension: int, scale: float, far: float) -> Matrix:
    source = np.random.default_rng(1)
    rows = source.standard_normal((ROWS, dimension)) * source.lognormal(0, 0.5, (ROWS, 1))
    return ((rows + far * source.standard_normal(dimension)) * scale).astype(np.float32)


def coded_graph(rows: Matrix, metric: Metric, *, old: bool) -> tuple[Graph, Coding]:
    norms = distance.norms(rows)
    if old:
        indexed = distance.index_form(rows, metric)
        by_product = metric is not Metric.EUCLIDEAN
        graph = build_graph(indexed, GraphParameters(16, 100, metric), Code.BF16, by_product=by_product)
        return graph, old_coding(metric, rows.shape[1], float(norms.max()))
    ids = np.arange(ROWS, dtype=np.uint64)
    graph, shape = shape_rows(RowsToShape(rows, norms, ids), GraphParameters(16, 100, metric))
    assert shape.equal is None
    return graph, shape.coding


@pytest.mark.parametrize("old", [False, True], ids=["shaped", "old"])
@pytest.mark.parametrize(("scale", "far"), [(1e-3, 0), (1.0, 30), (1e6, 3)])
@pytest.mark.parametrize("dimension", [16, 100])
@pytest.mark.parametrize("metric", list(Metric))
def test_no_row_is_more_similar_than_its_report_allows(
    metric: Metric, dimension: int, scale: float, far: float, old: bool
) -> None:
    rows = made(metric, dimension, scale, far)
    graph, coding = coded_graph(rows, metric, old=old)
    moved = 0.3 * scale * np.random.default_rng(2).standard_normal((10, dimension))
    for query in (rows[:10] + moved).astype(np.float32):
        question = distance.Query(query, metric)
        asked = coding.coded(question)
        found, reported = graph.search(asked.vector, 500, 500)
        true = question.similarities(rows[found])
        bounds = np.array([coding.similarity_at_most(float(one), question, asked) for one in reported])
        assert (true <= bounds).all()
        least = [coding.least_reported(float(one), question, asked, proved=True) for one in true]
        assert (reported >= least).all()
        if not old:
            # And it is no idle bound: some way down the list everything better is certainly in front.
            assert bounds[-1] < true.max()


def test_rows_of_one_length_go_by_distance_and_others_by_product() -> None:
    rows = distance.normalised(made(Metric.INNER_PRODUCT, 16, 1.0, 0))
    assert not coded_graph(3 * rows, Metric.INNER_PRODUCT, old=False)[1].by_product
    rows[7] *= 1.001
    assert coded_graph(rows, Metric.INNER_PRODUCT, old=False)[1].by_product


def test_an_overflow_tells_nothing() -> None:
    coding = old_coding(Metric.EUCLIDEAN, 8, 1.0)
    question = distance.Query(np.full(8, 1e30, np.float32), Metric.EUCLIDEAN)
    asked = coding.coded(question)
    assert not asked.comparable
    assert coding.similarity_at_most(-1.0, question, asked) == np.inf
    assert coding.least_reported(-1.0, question, asked, proved=True) == -np.inf
