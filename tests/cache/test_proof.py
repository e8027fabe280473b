"""What is proved holds for every document, whatever the numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pykyro.cache.proof import farthest_square, outside_at_most
from pykyro.model.distance import Query, similarities
from pykyro.model.types import Metric, Vector

DIMENSION = 4
components = st.floats(-100, 100, width=32)
points = hnp.arrays(np.float32, DIMENSION, elements=components)
TRUE_DISTANCES = [Metric.COSINE, Metric.EUCLIDEAN]


def similarity(a: Vector, b: Vector, metric: Metric) -> float:
    return float(similarities(b[np.newaxis], a, metric)[0])


@pytest.mark.parametrize("metric", TRUE_DISTANCES)
@settings(max_examples=500)
@given(p=points, q=points, x=points, nearness=st.sampled_from([1.0, 1e-1, 1e-3, 1e-6]))
def test_no_document_outside_is_more_similar_than_proved(
    metric: Metric, p: Vector, q: Vector, x: Vector, nearness: float
) -> None:
    q = (p + np.float32(nearness) * q).astype(np.float32)
    assume(min(np.linalg.norm(v) for v in (p, q, x)) > 1e-2)
    unseen_bound = similarity(p, x, metric)  # the least that leaves x outside
    between = Query(q, metric).similarity(p)
    assert similarity(q, x, metric) <= outside_at_most(metric, unseen_bound, between)


@pytest.mark.parametrize("metric", TRUE_DISTANCES)
def test_a_question_as_far_as_the_radius_proves_nothing(metric: Metric) -> None:
    best = 1.0 if metric is Metric.COSINE else 0.0
    assert outside_at_most(metric, -0.5, -0.6) >= best


def test_the_bound_for_cosine_is_as_tight_as_angles_allow() -> None:
    unseen_bound, between = math.cos(1.0), math.cos(0.25)
    assert outside_at_most(Metric.COSINE, unseen_bound, between) == pytest.approx(math.cos(0.75), abs=1e-5)
    assert outside_at_most(Metric.EUCLIDEAN, -9.0, -1.0) == pytest.approx(-4.0, abs=1e-5)


@pytest.mark.parametrize("metric", list(Metric))
def test_nothing_outside_means_no_bound(metric: Metric) -> None:
    assert outside_at_most(metric, -math.inf, 0.1) == -math.inf
    assert farthest_square(metric, -math.inf, 0.1) == math.inf


def test_inner_products_prove_nothing_about_other_questions() -> None:
    assert outside_at_most(Metric.INNER_PRODUCT, 0.5, 100.0) == math.inf
    assert farthest_square(Metric.INNER_PRODUCT, 0.5, 0.9) == 0.0


@pytest.mark.parametrize("metric", TRUE_DISTANCES)
def test_too_few_documents_are_never_worth_a_try(metric: Metric) -> None:
    assert farthest_square(metric, -0.5, -math.inf) == 0.0


@given(unseen_bound=st.floats(-0.5, 1), gap=st.floats(0, 1), share=st.floats(0, 0.99))
def test_whatever_keeps_its_kth_best_is_worth_a_try(unseen_bound: float, gap: float, share: float) -> None:
    """A query whose k-th best is as near as p's is proved up to the whole gap, which must not be skipped."""
    kth = min(1.0, unseen_bound + gap)
    angle = share * (math.acos(unseen_bound) - math.acos(kth))
    assert (2 * math.sin(angle / 2)) ** 2 <= farthest_square(Metric.COSINE, unseen_bound, kth) + 1e-12
