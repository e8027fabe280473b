"""Watching recall while it is used: now and then a search that was answered is answered again, exactly.

The next search after a pause is the sample, so searches are sampled evenly over time. Served answers are compared
with a scan of every row that matches. A sample counts only when no document in either answer was written in between:
then both are of the same documents as far as they concern it.

The pause is as long as keeps the scans to their share of one processor. All open engines share one thread and its
share: see recall/thread.py.

When searches without an ef of their own certainly find less than expected, the log says so once until it is over, and
`warning` holds the text. Answers of the query cache do not count there: an unproved mode is a choice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from pykyro.engine.caches import Caches
from pykyro.engine.options import RecallOptions
from pykyro.engine.read_path import ReadPath
from pykyro.engine.recall.ef_control import EfControl
from pykyro.engine.recall.tally import RecallEstimate, RecallTally, SearchClass
from pykyro.engine.recall.thread import RECALL
from pykyro.engine.state import State
from pykyro.model.errors import KyroError
from pykyro.model.limits import RECALL_EXPECTED, RECALL_WARNING_SAMPLES
from pykyro.model.requests import CachedKind, SearchRequest, SearchResult, Tier
from pykyro.model.types import Key, key_of
from pykyro.system.clock import Clock

_log: Final = logging.getLogger(__name__)
_PAUSE_S_MIN: Final = 0.02


@dataclass(slots=True)
class _Sample:
    """A search, its answer, and the documents written since: nothing was written in between."""

    request: SearchRequest
    result: SearchResult
    touched: set[Key]


@dataclass(frozen=True, slots=True)
class RecallReport:
    """The measured recall. `overall` is None before the first sample."""

    overall: RecallEstimate | None
    by_class: Mapping[SearchClass, RecallEstimate]
    samples: int
    overtaken: int
    """Samples given up because a document in them was written meanwhile."""
    processor_s: float
    """Time of one processor spent on it."""


class RecallMonitor:
    """Takes samples from searches; the thread that all share measures them."""

    def __init__(
        self, options: RecallOptions, reads: ReadPath, state: State, caches: Caches, clock: Clock
    ) -> None:
        self._share = options.processor_share
        self._reads = reads
        self._state = state
        self._caches = caches
        self._tally = RecallTally(clock)
        self._clock = clock
        self._judged_ef = reads.ef_search
        self._by_default = RecallTally(clock)
        """Only searches with the ef of the database that were not answered from the query cache."""
        self._expected = RECALL_EXPECTED if options.target is None else min(RECALL_EXPECTED, options.target)
        self.warning = ""
        """A warning about the recall of searches; empty while nothing is."""
        self.control = None if options.target is None else EfControl(options.target, reads.ef_search)
        self.wanted = self._share > 0
        """Whether the next search is a sample."""
        self._taking = threading.Lock()
        self._sample: _Sample | None = None
        self._measuring = threading.RLock()
        self._watched = self._stopped = False
        self._samples = 0
        self._overtaken = 0
        self._processor_s = 0.0

    # --- for searches -----------------------------------------------------------------------------

    def offer(self, request: SearchRequest, result: SearchResult) -> None:
        """A search was answered; costs one look unless a sample is due."""
        if self.wanted and not request.exact and not result.left_out:
            self._take(request, result)

    def _take(self, request: SearchRequest, result: SearchResult) -> None:
        with self._taking:
            due, self.wanted = self.wanted, False
            if not due:
                return
            touched = self._caches.watch()
            if self._caches.commits.number_if_idle() is None or result.position != self._state.position:
                self._caches.unwatch()
                self.wanted = True
                return
            self._sample = _Sample(request, result, touched)
        if self._watched:
            RECALL.measure(self)

    # --- measuring --------------------------------------------------------------------------------

    def start(self) -> None:
        """Have samples measured, when there is any processor time for it."""
        if self._share > 0:
            RECALL.join()
            self._watched = True

    def stop(self) -> None:
        """Finish the current sample."""
        self._stopped, self.wanted = True, False
        if self._watched:
            self._watched = False
            RECALL.leave()
        with self._measuring:  # what was taken and not begun is given up
            if self._sample is not None:
                self._caches.unwatch()
                self._sample = None

    def measured(self) -> float:
        """Measure the sample that was taken; for how many seconds to rest after it."""
        with self._measuring:
            before_s = self._processor_s
            if self._stopped or not self.step():
                return 0.0
            return max(_PAUSE_S_MIN, (self._processor_s - before_s) * (1 / self._share - 1))

    def want(self) -> None:
        """Take the next search as a sample."""
        self.wanted = self._share > 0 and not self._stopped

    def step(self) -> bool:
        """Measure the sample that was taken; False when there is none."""
        sample = self._sample
        if sample is None:
            return False
        before_s = time.thread_time()
        try:
            self._measure(sample)
        except Exception as error:
            # The thread lives on, whatever it was: recall that is watched no longer would show nowhere.
            foreseen = isinstance(error, KyroError)
            _log.warning("recall could not be measured: %s", error, exc_info=None if foreseen else error)
        finally:
            self._caches.unwatch()
            self._sample = None
            self._processor_s += time.thread_time() - before_s
        return True

    def report(self) -> RecallReport:
        return RecallReport(
            self._tally.overall(), self._tally.by_class(), self._samples, self._overtaken, self._processor_s
        )

    def _measure(self, sample: _Sample) -> None:
        bare = replace(sample.request, include_vectors=False, include_metadata=False)
        exact = self._reads.search_tiers(replace(bare, exact=True))
        recalls = self._recalls_by_ef(bare, sample.result, exact)
        tenant = sample.request.scope.tenant
        concerned = {key_of(tenant, hit.doc_id) for hit in (*sample.result.hits, *exact.hits)}
        if self._caches.commits.number_if_idle() is None or not concerned.isdisjoint(sample.touched):
            self._overtaken += 1
            return
        if not exact.hits:
            return
        self._samples += 1
        recall = recall_of(sample.result, exact)
        self._tally.add(_class_of(sample), recall)
        if not sample.request.ef_search and sample.result.cached is None:
            if (
                self._reads.ef_search != self._judged_ef
            ):  # what was found with another says nothing about this one
                self._judged_ef, self._by_default = self._reads.ef_search, RecallTally(self._clock)
            self._by_default.add(_class_of(sample), recall)
            self._judge()
        if self.control is not None and recalls and self.control.observe(recalls):
            _log.info("ef_search is now %d, to keep a recall of %.3f", self.control.ef, self.control.target)
            self._reads.ef_search = self.control.ef

    def _judge(self) -> None:
        """Warn when recall is certainly low, and take it back when it is not."""
        estimate = self._by_default.overall()
        if estimate is None or estimate.samples < RECALL_WARNING_SAMPLES:
            return
        low = estimate.high < self._expected
        if low and not self.warning:
            self.warning = (
                f"searches find {estimate.mean:.1%} of the true results, at most {estimate.high:.1%} "
                f"({estimate.samples} searches were sampled); {self._expected:.0%} was expected: raise "
                f"hnsw.ef_search, or set search.target_recall"
            )
            _log.warning("%s", self.warning)
        elif not low and self.warning:
            self.warning = ""
            _log.info("searches find %.1f%% of the true results again", 100 * estimate.mean)

    def _recalls_by_ef(
        self, request: SearchRequest, served: SearchResult, exact: SearchResult
    ) -> dict[int, float]:
        """The results of other values of ef; empty when that is not asked or the answer does not depend on it."""
        if self.control is None or request.ef_search or served.exact:
            return {}
        self.control.ef = self._reads.ef_search  # a reload may have set it
        recalls = {}
        for ef in self.control.candidates():
            found = self._reads.search_tiers(replace(request, ef_search=ef))
            if found.exact or not found.complete:
                return {}
            recalls[ef] = recall_of(found, exact)
        return recalls


def recall_of(found: SearchResult, exact: SearchResult) -> float:
    """The share of the exact answer that was found; what is as good as its last result counts as in it."""
    wanted = {hit.doc_id for hit in exact.hits}
    last = exact.hits[-1].score
    as_good = found.cached is not CachedKind.THRESHOLD
    right = sum(1 for hit in found.hits if hit.doc_id in wanted or (as_good and hit.score == last))
    return min(1.0, right / len(wanted))


def _class_of(sample: _Sample) -> SearchClass:
    tiers = sample.result.tiers
    path = (
        "cache" if Tier.CACHE in tiers else "_and_".join(sorted((tier.value for tier in tiers), reverse=True))
    )
    filtered = sample.request.filter is not None or bool(sample.request.scope.constraints)
    return SearchClass(path or "none", filtered)
