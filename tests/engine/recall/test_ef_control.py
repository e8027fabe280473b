"""ef follows the recall that samples show."""

from __future__ import annotations

import random

import pytest

from pykyro.engine.recall.ef_control import LADDER, SAMPLES_MIN, EfControl


def recall_at(ef: int) -> float:
    """A made-up collection: 0.95 is reached between 64 and 80."""
    return 1.0 - 3.6 / ef


def settle(control: EfControl, samples: int, seed: int = 0) -> None:
    chance = random.Random(seed)
    for _ in range(samples):
        control.observe(
            {ef: sum(chance.random() < recall_at(ef) for _ in range(10)) / 10 for ef in control.candidates()}
        )


@pytest.mark.parametrize("start", [10, 50, 55, 400, 2048])
def test_ef_settles_where_the_target_is_held(start: int) -> None:
    control = EfControl(0.95, start)
    settle(control, 3000)
    assert control.ef in (80, 100)
    moves = control.moves
    settle(control, 1000, seed=1)
    assert control.moves - moves <= 2


def test_nothing_moves_before_there_are_enough_samples() -> None:
    control = EfControl(0.95, 50)
    for _ in range(SAMPLES_MIN - 1):
        assert not control.observe(dict.fromkeys(control.candidates(), 0.0))
    assert control.observe(dict.fromkeys(control.candidates(), 0.0))
    assert control.ef == 64


def test_a_target_out_of_reach_ends_at_the_top() -> None:
    control = EfControl(1.0, 50)
    for _ in range(3000):
        control.observe(dict.fromkeys(control.candidates(), 0.5))
    assert control.ef == LADDER[-1]


def test_an_ef_beyond_the_ladder_stays_or_comes_down() -> None:
    control = EfControl(0.9, 5000)
    for _ in range(100):
        control.observe(dict.fromkeys(control.candidates(), 0.5))
    assert control.ef == 5000
    for _ in range(500):
        control.observe(dict.fromkeys(control.candidates(), 1.0))
    assert control.ef <= 2048


def test_ef_follows_a_collection_that_gets_harder() -> None:
    control = EfControl(0.9, 50)
    for _ in range(300):
        control.observe(dict.fromkeys(control.candidates(), 1.0))
    assert control.ef < 50
    low = control.ef
    for _ in range(3000):
        control.observe({ef: 1.0 if ef >= 128 else 0.5 for ef in control.candidates()})
    assert control.ef == 128 > low
