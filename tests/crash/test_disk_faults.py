"""The short form of the campaigns of disk errors: faults at many calls of a life, of the log and of a start."""

from __future__ import annotations

import random

import pytest
from tests.crash import rigs
from tests.crash.start_rig import interrupted_starts, killed_and_cut


@pytest.mark.parametrize("fault", list(rigs.FAULTS))
def test_one_fault_at_random_calls(fault: str) -> None:
    for seed in range(6):
        call = rigs.random_call(seed, random.Random(f"{fault}{seed}"), steps_count=30)
        assert rigs.disk_error(seed, fault=fault, call=call, steps_count=30) >= 2


def test_every_fault_at_every_call_of_a_short_life() -> None:
    assert rigs.every_disk_error(1, steps_count=3) > 100


@pytest.mark.parametrize("seed", [0, 1])
def test_an_error_at_every_call_of_the_log(seed: int) -> None:
    assert rigs.every_log_error(seed, steps_count=12) > 10


@pytest.mark.parametrize("seed", [1, 3])
def test_power_cut_in_the_start_after_a_kill(seed: int) -> None:
    assert killed_and_cut(seed) > 30


@pytest.mark.parametrize("seed", [0, 3])
def test_start_that_is_disturbed_at_every_call(seed: int) -> None:
    assert interrupted_starts(seed, steps_count=12) > 100
