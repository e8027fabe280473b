"""Objectives are judged over the last five minutes, and only from enough queries."""

from __future__ import annotations

import pytest
from tests.crash.clock import FakeClock

from kyrodb.config.observing import SloSettings
from kyrodb.observe.counters import Counters
from kyrodb.observe.latency import RECENT, RecentLatencies
from kyrodb.observe.slo import OBJECTIVES, judge
from kyrodb.observe.window import WINDOW_S, RollingTotals


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
    """A hundred slow searches, of which none is answered from a cache and every tenth fails."""
    for number in range(100):
        if number % 10:
            counters.query(50_000_000)
            counters.served(cache=False, hot=True, cold=True)
        else:
            counters.query_failed()


def test_each_objective_is_breached_and_met_again_when_the_trouble_is_old(
    clock: FakeClock, counters: Counters
) -> None:
    objectives = SloSettings()
    trouble(counters)
    report = judge(counters, objectives)
    assert list(report.breaches) == list(OBJECTIVES)
    assert report.reasons == [
        "P99 latency 50000000ns exceeds SLO",
        "Cache hit rate 0.00% below SLO",
        "Error rate 10.000% exceeds SLO",
        "Availability 90.000% below SLO",
    ]
    pass_time(clock, counters, WINDOW_S + 10)
    report = judge(counters, objectives)
    assert (report.p99_latency_ns, report.reasons) == (0, [])
    assert (report.lately.error_rate, counters.totals.error_rate) == (0.0, 0.1)


def test_new_trouble_is_not_diluted_by_a_long_quiet_time(clock: FakeClock, counters: Counters) -> None:
    for _ in range(1_000_000):
        counters.queries_total += 1
    pass_time(clock, counters, WINDOW_S + 10)
    trouble(counters)
    assert judge(counters, SloSettings()).lately.error_rate == 0.1


def test_too_few_queries_of_late_are_not_judged(clock: FakeClock, counters: Counters) -> None:
    objectives = SloSettings(min_samples=101)
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
