"""What a graph reports bounds what is true."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kyrodb import distance
from kyrodb.index.hnsw import GraphParameters, build_graph
from kyrodb.index.rounding import similarity_at_most
from kyrodb.types import Metric


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("dimension", [16, 100])
@pytest.mark.parametrize("metric", list(Metric))
def test_no_row_is_more_similar_than_its_report_allows(metric: Metric, dimension: int, scale: float) -> None:
    source = np.random.default_rng(1)
    rows = (source.standard_normal((1500, dimension)) * scale).astype(np.float32)
    rows *= source.lognormal(0, 0.5, (1500, 1)).astype(np.float32)
    graph = build_graph(distance.index_form(rows, metric), GraphParameters(16, 100, metric))
    for query in (source.standard_normal((10, dimension)) * scale).astype(np.float32):
        question = distance.Question(query, metric)
        found, reported = graph.search(question.indexed, 500, 500)
        true = question.similarities(rows[found])
        bounds = np.array(
            [
                similarity_at_most(
                    float(one),
                    metric,
                    dimension=dimension,
                    query_length=question.length,
                    longest_row=float(distance.norms(rows).max()),
                )
                for one in reported
            ]
        )
        assert (true <= bounds).all()
        # And it is no idle bound: some way down the list everything better is certainly in front.
        assert (bounds[-1] < true).any()


def test_an_overflow_tells_nothing() -> None:
    for reported in (math.inf, -math.inf, math.nan):
        bound = similarity_at_most(
            reported, Metric.EUCLIDEAN, dimension=8, query_length=1e30, longest_row=1e30
        )
        assert bound == math.inf
