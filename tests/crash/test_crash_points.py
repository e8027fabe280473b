"""The short form of the campaigns of power cuts: 500 random crash points, every loss at every call."""

from __future__ import annotations

import pytest
from tests.crash import rigs
from tests.crash.log_rig import log_crash_points

SEEDS, POINTS = 8, 500


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_crash_points(seed: int) -> None:
    calls = len(rigs.changing_calls(seed, steps_count=60))
    count = rigs.crash_points(seed, steps_count=60, looks=1.25 * POINTS / SEEDS / calls)
    assert count >= POINTS / SEEDS


def test_every_loss_at_every_call_of_a_short_life() -> None:
    assert rigs.every_crash_point(1, steps_count=4) > 50


@pytest.mark.parametrize("seed", range(4))
def test_every_loss_at_every_call_of_the_log(seed: int) -> None:
    assert log_crash_points(seed, steps_count=8) > 50
