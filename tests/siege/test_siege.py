"""A few sieges with fixed seeds. `make siege` goes on from new ones, and shrinks what it finds."""

from __future__ import annotations

import time

import pytest
from tests.siege.campaign import confirmed, play
from tests.siege.generate import script_of

SEED = 1000
SECONDS = 20.0


@pytest.mark.timeout(0)
def test_sieges_find_nothing() -> None:
    end, seed = time.monotonic() + SECONDS, SEED
    while time.monotonic() < end:
        script = script_of(seed)
        course = play(script, lambda: time.monotonic() < end)
        assert not confirmed(script, course), (
            f"seed {seed}, after {course.steps} steps: {course.finding}\n{script}\n"
            f"shrink it: python -m tests.siege.campaign --seeds-only --seconds 1 --seed {seed}"
        )
        seed += 1
