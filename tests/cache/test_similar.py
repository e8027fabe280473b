"""The threshold follows what was measured, on the careful side."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykyro.cache.similar import SimilarityControl, wilson_bounds


def test_nothing_is_served_before_anything_was_measured() -> None:
    assert SimilarityControl(0.5, 0.9).threshold == math.inf


def test_a_few_perfect_answers_are_not_enough() -> None:
    control = SimilarityControl(0.5, 0.95)
    for _ in range(20):
        control.observe(0.99, 1.0)
    assert control.threshold == math.inf
    for _ in range(100):
        control.observe(0.99, 1.0)
    assert control.threshold <= 0.99


def test_the_threshold_settles_where_answers_get_too_bad() -> None:
    control = SimilarityControl(0.5, 0.9)
    chance = random.Random(1)
    for _ in range(4000):
        similarity = chance.uniform(0.5, 1.0)
        control.observe(similarity, 1.0 if similarity > 0.8 else 0.2)
    mean, low, high = control.recall()
    assert 0.7 < control.threshold < 0.85
    assert low >= 0.9
    assert low <= mean <= high


def test_the_threshold_rises_when_answers_become_worse() -> None:
    control = SimilarityControl(0.5, 0.9)
    for _ in range(500):
        control.observe(0.7, 1.0)
    assert control.threshold <= 0.7
    for _ in range(500):
        control.observe(0.7, 0.5)
    assert control.threshold == math.inf
    assert control.checks == 1000


def test_it_never_falls_below_the_floor() -> None:
    control = SimilarityControl(0.6, 0.9)
    for _ in range(500):
        control.observe(0.61, 1.0)
    assert control.threshold == pytest.approx(0.6)


@given(mean=st.floats(0, 1), count=st.integers(1, 100_000))
def test_the_interval_holds_the_mean_and_stays_between_0_and_1(mean: float, count: int) -> None:
    low, high = wilson_bounds(mean, count)
    assert 0 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1


def test_the_interval_narrows_with_what_is_known() -> None:
    assert wilson_bounds(0.5, 0) == (0.0, 1.0)
    assert wilson_bounds(1.0, 100)[0] == pytest.approx(0.963, abs=1e-3)  # 100 of 100
    assert wilson_bounds(0.5, 10)[0] == pytest.approx(0.2366, abs=1e-4)  # 5 of 10, a textbook value
