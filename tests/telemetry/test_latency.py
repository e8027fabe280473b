"""Percentiles of the latest thousand, and a histogram of everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pykyro.telemetry.counters import BUCKETS_S, RECENT, Histogram, RecentLatencies


def recorded(*durations_ns: int) -> RecentLatencies:
    latencies = RecentLatencies()
    for duration_ns in durations_ns:
        latencies.record(duration_ns)
    return latencies


def test_without_samples_percentiles_are_zero() -> None:
    assert recorded().percentiles_ns(50, 99) == [0, 0]


def test_percentile_is_the_sample_at_its_rank() -> None:
    assert recorded(*range(100, 0, -1)).percentiles_ns(50, 95, 99) == [51, 96, 100]


def test_one_sample_is_every_percentile() -> None:
    assert recorded(7).percentiles_ns(1, 50, 99) == [7, 7, 7]


def test_only_the_latest_thousand_count() -> None:
    assert recorded(*[10**9] * RECENT, *[5] * RECENT).percentiles_ns(50, 99) == [5, 5]
    assert recorded(*[5] * RECENT, 10**9).percentiles_ns(99) == [5]


@given(st.lists(st.floats(0, 20), max_size=50))
def test_histogram_counts_each_sample_once_at_or_below_its_bound(durations: list[float]) -> None:
    histogram = Histogram()
    for duration_s in durations:
        histogram.observe(duration_s)
    expected = [sum(duration <= bound for duration in durations) for bound in BUCKETS_S]
    assert histogram.cumulative() == [*expected, len(durations)]
    assert abs(histogram.sum_s - sum(durations)) < 1e-6
