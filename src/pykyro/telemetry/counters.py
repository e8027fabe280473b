"""What the server counts while it serves: plain integers, written by the event loop, read by anyone.

Counting is all that happens while a request waits; rates, percentiles and text are made when somebody asks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from pykyro.model.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
)
from pykyro.telemetry.latency import Histogram, RecentLatencies, percentiles_ns
from pykyro.telemetry.window import RollingTotals, Totals

ERROR_CATEGORIES: Final = ("validation", "timeout", "internal", "resource_exhausted")
SEARCH_PATHS: Final = ("cache", "hot", "cold", "hot_and_cold", "none")
"""Which parts of the database answered a search; none when there was nothing to search."""
PARTS: Final = ("hot", "cold")
"""Parts of the database that a search may leave out."""
QUEUES: Final = ("search", "lookup", "commit")


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

    def search(self, duration_ns: int, path: str, *, alone: bool = True) -> None:
        """A search was answered by way of one of SEARCH_PATHS; `alone` as for `query`."""
        self.query(duration_ns, alone=alone)
        self.searches[path].observe(duration_ns / 1e9)
        self.searches_total += 1
        self.search_latency.record(duration_ns)

    def searched_partly(self, parts: Iterable[str]) -> None:
        """A search was answered without some of these PARTS."""
        for part in parts:
            self.partial[part] += 1

    def served(self, *, cache: bool, hot: bool, cold: bool) -> None:
        """A lookup or search was answered from these tiers; from none when nothing was found."""
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
