"""What each event adds to which counter."""

from __future__ import annotations

import pytest

from pykyro.model import errors
from pykyro.telemetry.counters import Counters, error_category, ratio


@pytest.mark.parametrize(
    ("cache", "hot", "cold", "counted"),
    [
        (True, False, False, {"cache_hits": 1, "answered_warm": 1}),
        (False, True, False, {"cache_misses": 1, "hot_hits": 1, "answered_warm": 1}),
        (False, False, True, {"cache_misses": 1, "hot_misses": 1, "cold_hits": 1}),
        (False, True, True, {"cache_misses": 1, "hot_hits": 1, "cold_hits": 1}),
        (False, False, False, {"cache_misses": 1, "hot_misses": 1}),
    ],
)
def test_answer_is_counted_for_the_tiers_it_came_from(
    cache: bool, hot: bool, cold: bool, counted: dict[str, int]
) -> None:
    counters = Counters()
    counters.served(cache=cache, hot=hot, cold=cold)
    names = ("cache_hits", "cache_misses", "hot_hits", "hot_misses", "cold_hits", "answered_warm")
    assert {name: getattr(counters, name) for name in names if getattr(counters, name)} == counted


def test_failed_queries_are_queries_too() -> None:
    counters = Counters()
    counters.query(1000)
    counters.query(2000)
    counters.query_failed()
    assert (counters.queries_total, counters.queries_failed) == (3, 1)
    assert counters.query_latency.percentiles_ns(1, 99) == [1000, 2000]


def test_percentiles_of_all_queries_take_in_those_that_came_together() -> None:
    counters = Counters()
    counters.query(1000)
    counters.search(9000, "hot", alone=False)
    assert counters.latency_percentiles_ns(1, 99) == [1000, 9000]
    assert counters.query_latency.percentiles_ns(99) == [1000]


def test_calls_are_counted_and_timed_by_rpc() -> None:
    counters = Counters()
    counters.call("Search", "OK", 2_000_000)
    counters.call("Search", "UNAVAILABLE", 1_000_000)
    assert counters.calls == {("Search", "OK"): 1, ("Search", "UNAVAILABLE"): 1}
    assert counters.durations["Search"].cumulative()[-1] == 2
    assert counters.durations["Search"].sum_s == pytest.approx(0.003)


@pytest.mark.parametrize(
    ("error", "category"),
    [
        (errors.InvalidArgument("x"), "validation"),
        (errors.FailedPrecondition("x"), "validation"),
        (errors.DeadlineExceeded("x"), "timeout"),
        (TimeoutError(), "timeout"),
        (errors.ResourceExhausted("x"), "resource_exhausted"),
        (errors.Unavailable("x"), "internal"),
        (errors.WriteFailed("x", path="f"), "internal"),
        (ZeroDivisionError(), "internal"),
        (errors.Unauthenticated("x"), ""),
        (errors.PermissionDenied("x"), ""),
    ],
)
def test_error_is_counted_by_its_category(error: Exception, category: str) -> None:
    assert error_category(error) == category
    counters = Counters()
    counters.error(error)
    assert sum(counters.errors.values()) == bool(category)
    assert not category or counters.errors[category] == 1


def test_ratio_of_nothing() -> None:
    assert ratio(1, 4) == 0.25
    assert ratio(0, 0) == 0.0
    assert ratio(0, 0, of_nothing=1.0) == 1.0
