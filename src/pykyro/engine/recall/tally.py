"""Recall as sampled: the latest samples of each class of searches, and an estimate for all of them."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

from pykyro.cache.similar import wilson_bounds
from pykyro.system.clock import Clock

SAMPLES_MAX: Final = 2000
"""Latest samples of a class that count."""
AGE_S_MAX: Final = 3600.0


@dataclass(frozen=True, slots=True)
class SearchClass:
    """Searches that should be alike: `path` is the source of the answer (cache, hot, cold, hot_and_cold)."""

    path: str
    filtered: bool


@dataclass(frozen=True, slots=True)
class RecallEstimate:
    """Mean share of the true answer that was returned, and the interval that holds it in 95 of 100 cases.

    Wilson's interval, which holds for any values in [0, 1]: none vary more than yes and no of the same mean.
    """

    mean: float
    low: float
    high: float
    samples: int


class RecallTally:
    """Samples by class. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._all: deque[tuple[float, float]] = deque(maxlen=SAMPLES_MAX)
        self._by_class: dict[SearchClass, deque[tuple[float, float]]] = {}

    def add(self, search_class: SearchClass, recall: float) -> None:
        """One sampled search returned this share of its true answer."""
        sample = (self._clock.monotonic_s(), recall)
        with self._lock:
            self._all.append(sample)
            self._by_class.setdefault(search_class, deque(maxlen=SAMPLES_MAX)).append(sample)

    def overall(self) -> RecallEstimate | None:
        """Of all searches; searches are sampled evenly, so every class weighs as much as it is used."""
        with self._lock:
            return self._estimate(self._all)

    def by_class(self) -> dict[SearchClass, RecallEstimate]:
        with self._lock:
            estimates = {each: self._estimate(samples) for each, samples in self._by_class.items()}
        return {each: estimate for each, estimate in estimates.items() if estimate is not None}

    def _estimate(self, samples: deque[tuple[float, float]]) -> RecallEstimate | None:
        oldest_s = self._clock.monotonic_s() - AGE_S_MAX
        while samples and samples[0][0] < oldest_s:
            samples.popleft()
        if not samples:
            return None
        mean = sum(recall for _, recall in samples) / len(samples)
        return RecallEstimate(mean, *wilson_bounds(mean, len(samples)), len(samples))
