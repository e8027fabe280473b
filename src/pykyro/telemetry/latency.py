"""How long things took: the last thousand, for percentiles that decay, and all of them, as a histogram."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

from pykyro.telemetry.window import WINDOW_S

RECENT: Final = 1000
"""Samples a percentile is taken over."""

BUCKETS_S: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
)
"""Upper bounds of the histogram's buckets, seconds; the last bucket has none."""


class RecentLatencies:
    """The last RECENT durations in nanoseconds of the last WINDOW_S. One thread records, any thread reads."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._samples: list[tuple[float, int]] = []
        self._next = 0

    def record(self, duration_ns: int) -> None:
        sample = (self._monotonic_s(), duration_ns)
        if len(self._samples) < RECENT:
            self._samples.append(sample)
            return
        self._samples[self._next] = sample
        self._next = (self._next + 1) % RECENT

    def recent_ns(self) -> list[int]:
        """The samples that count, in no order."""
        oldest_s = self._monotonic_s() - WINDOW_S
        return [duration_ns for at_s, duration_ns in self._samples.copy() if at_s > oldest_s]

    def percentiles_ns(self, *percents: int) -> list[int]:
        """`percentiles_ns` of the samples that count."""
        return percentiles_ns(self.recent_ns(), *percents)


def percentiles_ns(durations_ns: Sequence[int], *percents: int) -> list[int]:
    """The duration below which that share of the durations lies; zeros without durations."""
    ordered = sorted(durations_ns)
    if not ordered:
        return [0] * len(percents)
    return [ordered[min(percent * len(ordered) // 100, len(ordered) - 1)] for percent in percents]


class Histogram:
    """Durations since the start, counted by bucket. One thread observes, any thread reads."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def observe(self, duration_s: float) -> None:
        self.counts[bisect_left(BUCKETS_S, duration_s)] += 1
        self.sum_s += duration_s

    def cumulative(self) -> list[int]:
        """How many samples lie at or below each bound, then how many there are."""
        total = 0
        return [total := total + count for count in self.counts]
