"""What the server counts while it serves: plain integers, written by the event loop, read by anyone.

Counting is all that happens while a request waits; rates, percentiles and text are made when somebody asks.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from pykyro.model.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
)
from pykyro.telemetry.window import WINDOW_S, RollingTotals, Totals

ERROR_CATEGORIES: Final = ("validation", "timeout", "internal", "resource_exhausted")
SEARCH_PATHS: Final = ("cache", "hot", "cold", "hot_and_cold", "none")
"""Which parts of the database answered a search; none when there was nothing to search."""
_HOT_PATHS: Final = ("hot", "hot_and_cold")
_COLD_PATHS: Final = ("cold", "hot_and_cold")
WORD_LEGS: Final = ("text", "fused")
"""The legs of searches by words."""
PARTS: Final = ("hot", "cold")
"""Parts of the database that a search may leave out."""
QUEUES: Final = ("search", "lookup", "commit")

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


class Counters:
    """Everything counted since the server started.

    A query is an RPC, or a message of BulkSearch, that reads or selects documents: Query, BulkQuery, Search,
    UpdateMetadata, BatchDelete. Requests refused before the database was asked are counted as errors only.
    """

    def __init__(self) -> None:
        self.queries_total = 0
        self.queries_failed = 0
        self.searches_total = 0
        self.partial = dict.fromkeys(PARTS, 0)
        """Searches that left some of a part out."""
        self.cache_hits = 0
        self.cache_misses = 0
        self.hot_hits = 0
        self.hot_misses = 0
        self.cold_hits = 0
        self.answered_warm = 0
        """Lookups and searches answered without the cold tier."""
        self.inserts_total = 0
        self.inserts_failed = 0
        self.calls_in_flight = 0
        """Insert and Search calls."""
        self.errors = dict.fromkeys(ERROR_CATEGORIES, 0)
        self.calls: Counter[tuple[str, str]] = Counter()
        """Finished calls by RPC and status."""
        self.durations: defaultdict[str, Histogram] = defaultdict(Histogram)
        """Duration of calls by RPC."""
        self.searches = {path: Histogram() for path in SEARCH_PATHS}
        """Duration of searches by path."""
        self.word_searches = {legs: Histogram() for legs in WORD_LEGS}
        """Duration of searches by words, by their legs."""
        self.queue_waits = {queue: Histogram() for queue in QUEUES}
        """How long the oldest request of each batch had waited, by queue."""
        self.wal_syncs = Histogram()
        """Duration of syncs of the log; observed by whichever thread synced."""
        self.query_latency = RecentLatencies()
        """Of lookups and searches asked one at a time, whose caller waits for just them: what an objective is for."""
        self.bulk_latency = RecentLatencies()
        """Of the other queries: messages of a stream, which wait for each other, many lookups at once, and writes."""
        self.search_latency = RecentLatencies()
        self._rolling = RollingTotals()

    @property
    def totals(self) -> Totals:
        """Queries and cache use since the start."""
        return Totals(self.queries_total, self.queries_failed, self.cache_hits, self.cache_misses)

    @property
    def lately(self) -> Totals:
        """Queries and cache use of the last WINDOW_S seconds."""
        return self._rolling.lately(self.totals)

    def tick(self) -> None:
        """Time goes on. To be called every second or so."""
        self._rolling.note(self.totals)

    def call(self, rpc: str, status: str, duration_ns: int) -> None:
        """A call ended."""
        self.calls[rpc, status] += 1
        self.durations[rpc].observe(duration_ns / 1e9)

    def query(self, duration_ns: int, *, alone: bool = True) -> None:
        """A query was answered; `alone` when it was one lookup or search that its caller waited for."""
        self.queries_total += 1
        (self.query_latency if alone else self.bulk_latency).record(duration_ns)

    def latency_percentiles_ns(self, *percents: int) -> list[int]:
        """Of all queries, alone or not."""
        return percentiles_ns([*self.query_latency.recent_ns(), *self.bulk_latency.recent_ns()], *percents)

    def query_failed(self) -> None:
        """A query was asked of the database and not answered."""
        self.queries_total += 1
        self.queries_failed += 1

    def search(
        self, duration_ns: int, path: str, *, alone: bool = True, left_out: Iterable[str] = ()
    ) -> None:
        """A search was answered by way of one of SEARCH_PATHS, without some of PARTS; `alone` as for `query`."""
        self.queries_total += 1
        (self.query_latency if alone else self.bulk_latency).record(duration_ns)
        self.searches[path].observe(duration_ns / 1e9)
        self.searches_total += 1
        self.search_latency.record(duration_ns)
        if path == "cache":
            self.cache_hits += 1
            self.answered_warm += 1
        else:
            self.cache_misses += 1
            self.hot_hits += path in _HOT_PATHS
            self.hot_misses += path not in _HOT_PATHS
            self.cold_hits += path in _COLD_PATHS
            self.answered_warm += path == "hot"
        for part in left_out:
            self.partial[part] += 1

    def served(self, *, cache: bool, hot: bool, cold: bool) -> None:
        """A lookup was answered from these tiers; from none when nothing was found."""
        if cache:
            self.cache_hits += 1
        else:
            self.cache_misses += 1
            self.hot_hits += hot
            self.hot_misses += not hot
            self.cold_hits += cold
        self.answered_warm += cache or (hot and not cold)

    def inserts(self, total: int, failed: int) -> None:
        """Documents came in, and so many of them were refused."""
        self.inserts_total += total
        self.inserts_failed += failed

    def error(self, error: Exception) -> None:
        """A request, or a message of a stream, failed. Refusals of a caller are not counted here."""
        category = error_category(error)
        if category:
            self.errors[category] += 1


def error_category(error: Exception) -> str:
    """Which of ERROR_CATEGORIES an error belongs to, "" for a refused caller."""
    if isinstance(error, (Unauthenticated, PermissionDenied)):
        return ""
    if isinstance(error, (InvalidArgument, FailedPrecondition)):
        return "validation"
    if isinstance(error, (DeadlineExceeded, TimeoutError)):
        return "timeout"
    return "resource_exhausted" if isinstance(error, ResourceExhausted) else "internal"


def ratio(part: int, whole: int, *, of_nothing: float = 0.0) -> float:
    """part / whole, or `of_nothing` when there is no whole."""
    return part / whole if whole else of_nothing
