"""Little trouble is taken over queries that never repeat, all of it as soon as one does."""

from __future__ import annotations

import random
from itertools import pairwise

from pykyro.cache.query_cache import Pace


def test_at_first_everything_is_looked_for_and_kept_at_once() -> None:
    pace = Pace()
    assert pace.batch == 1
    assert all(pace.asks() and pace.looks() and pace.keeps() for _ in range(100))


def test_with_questions_that_never_repeat_only_some_are_looked_for_and_kept() -> None:
    random.seed(1)
    pace = Pace()
    for _ in range(5000):
        pace.asked(answered=False, looked=True)
    assert pace.batch == 16
    assert 40 < sum(pace.looks() for _ in range(1000)) < 90
    kept, asked = [], []
    for _ in range(64 * 1000):
        pace.asked(answered=False)
        asked.append(pace.asks())
        kept.append(pace.keeps())
    assert 40 < sum(kept) / 64 < 90
    assert sum(one != other for one, other in pairwise(kept)) <= 2 * 90  # whole runs of them
    assert all(one for one, keeps in zip(asked, kept, strict=True) if keeps)
    assert (
        0.2 < sum(one for one, keeps in zip(asked, kept, strict=True) if not keeps) / kept.count(False) < 0.3
    )
    pace.asked(answered=True)
    assert all(pace.asks() and pace.keeps() for _ in range(100))
    pace.asked(answered=True, looked=True)
    assert pace.batch == 1
    assert all(pace.looks() for _ in range(100))
