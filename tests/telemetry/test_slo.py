"""Objectives are judged over the last five minutes, and only from enough queries."""

from __future__ import annotations

import pytest
from tests.crash.clock import FakeClock

from pykyro.config.settings.observability import SloSettings
from pykyro.telemetry.counters import RECENT, Counters, RecentLatencies
from pykyro.telemetry.slo import OBJECTIVES, judge
from pykyro.telemetry.window import WINDOW_S, RollingTotals


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def counters(clock: FakeClock) -> Counters:
    """Counters on a clock of the test's own."""
    counters = Counters()
    counters.query_latency = RecentLatencies(clock.monotonic_s)
    counters._rolling = RollingTotals(clock.monotonic_s)
    return counters


def pass_time(clock: FakeClock, counters: Counters, seconds: float) -> None:
    for _ in range(int(seconds)):
        clock.advance(1)
        counters.tick()


def trouble(counters: Counters) -> None:
    """A hundred slow searches, none of them answered from a cache, and ten that fail."""
    for number in range(110):
        if number % 11:
            counters.query(50_000_000)
            counters.served(cache=False, hot=True, cold=True)
        else:
            counters.query_failed()


def test_each_objective_is_breached_and_met_again_when_the_trouble_is_old(
    clock: FakeClock, counters: Counters
) -> None:
    objectives = SloSettings(cache_hit_rate=0.7, p99_latency_ms=10)
    trouble(counters)
    report = judge(counters, objectives)
    assert list(report.breaches) == list(OBJECTIVES)
    assert report.reasons == [
        "P99 latency 50.00 ms exceeds SLO of 10 ms",
        "Cache hit rate 0.00% below SLO of 70%",
        "Error rate 9.091% exceeds SLO of 0.1%",
        "Availability 90.909% below SLO of 99.9%",
    ]
    pass_time(clock, counters, WINDOW_S + 10)
    report = judge(counters, objectives)
    assert (report.p99_latency_ns, report.reasons) == (0, [])
    assert (report.lately.error_rate, counters.totals.error_rate) == (0.0, 1 / 11)


def test_new_trouble_is_not_diluted_by_a_long_quiet_time(clock: FakeClock, counters: Counters) -> None:
    for _ in range(1_000_000):
        counters.queries_total += 1
    pass_time(clock, counters, WINDOW_S + 10)
    trouble(counters)
    assert judge(counters, SloSettings()).lately.error_rate == 1 / 11


def test_too_few_queries_of_late_are_not_judged(clock: FakeClock, counters: Counters) -> None:
    objectives = SloSettings(min_samples=111)
    trouble(counters)
    assert judge(counters, objectives).reasons == []
    counters.query_failed()
    assert judge(counters, objectives).breaches["error_rate"]


def test_percentiles_are_of_the_last_thousand_samples(clock: FakeClock) -> None:
    latencies = RecentLatencies(clock.monotonic_s)
    assert latencies.percentiles_ns(50, 99) == [0, 0]
    for duration_ns in range(1, RECENT + 501):
        latencies.record(duration_ns)
    assert latencies.percentiles_ns(0, 50, 99) == [501, 1001, 1491]


def test_recall_is_judged_when_there_is_an_objective_and_only_when_it_is_surely_missed() -> None:
    assert "recall" not in judge(Counters(), SloSettings(), 0.5).breaches
    objectives = SloSettings(recall=0.95)
    assert judge(Counters(), objectives, 0.96).breaches["recall"] == ""
    assert judge(Counters(), objectives, 0.94).reasons == ["Recall at most 94.00% below SLO"]
    assert judge(Counters(), objectives).reasons == []


def searches(counters: Counters, count: int, *, slow: int = 0, alone: bool = True) -> None:
    """Searches of 1 ms that never repeat; the first `slow` of them take a second."""
    for number in range(count):
        counters.search(1_000_000_000 if number < slow else 1_000_000, "cold", alone=alone)
        counters.served(cache=False, hot=False, cold=True)


def test_ordinary_use_meets_the_default_objectives(counters: Counters) -> None:
    """Questions that never repeat, one that was slow, one that failed, and much that is asked together."""
    searches(counters, 100, slow=1)
    counters.query_failed()
    searches(counters, 5000, slow=5000, alone=False)
    counters.query(800_000_000, alone=False)
    assert judge(counters, SloSettings()).reasons == []


def test_two_in_a_hundred_that_are_slow_are_too_many(counters: Counters) -> None:
    searches(counters, 100, slow=2)
    assert judge(counters, SloSettings()).reasons == ["P99 latency 1000.00 ms exceeds SLO of 100 ms"]


def test_two_that_fail_are_a_rate_and_where_none_may_fail_one_is_too_many(counters: Counters) -> None:
    searches(counters, 200)
    counters.query_failed()
    strict = SloSettings(error_rate=0.0)
    assert [bool(judge(counters, given).breaches["error_rate"]) for given in (SloSettings(), strict)] == [
        False,
        True,
    ]
    counters.query_failed()
    assert judge(counters, SloSettings()).breaches["error_rate"] == "Error rate 0.990% exceeds SLO of 0.1%"


def test_a_latency_is_judged_from_as_many_that_were_waited_for(counters: Counters) -> None:
    searches(counters, 99, slow=99)
    searches(counters, 500, alone=False)
    assert judge(counters, SloSettings()).reasons == []
    searches(counters, 1, slow=1)
    assert judge(counters, SloSettings()).breaches["p99_latency"]
