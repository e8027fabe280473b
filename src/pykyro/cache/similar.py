"""Answers that are not proved: those of another query, because it is near enough.

The modes `rescored` and `threshold` serve them. In mode `threshold` near enough is a fixed cosine. In mode `rescored`
it is measured: some queries are answered by a real search although an entry is near, and what the entry would have
answered is compared with it. The share of the real result that it had, its overlap, is gathered by the similarity of
the two queries, older observations fading. The threshold is the lowest similarity such that the answers above it keep
the least recall wanted on average: not the average seen but the lower end of its 95 % interval (Wilson, "Probable
inference, the law of succession, and statistical inference", 1927; an overlap between 0 and 1 varies no more than a
yes or no of the same mean).
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Sequence
from typing import Final

import numpy as np

from pykyro.cache.answer import Cached, ranked
from pykyro.cache.entry_table import Near
from pykyro.model.distance import Query
from pykyro.model.requests import CachedKind
from pykyro.model.types import Metric

CHECK_SHARE: Final = 1 / 16
"""Share of unproved answers, served or not near enough to be, that are compared with a real search."""
CHECK_SHARE_AT_FIRST: Final = 1 / 4
"""The same while none is served yet: then a check costs no search that would not be done anyway."""
NEIGHBOURS: Final = 4
"""Entries whose similarity is looked at."""
SKETCH: Final = 64
"""Components that order queries of no matter what distance."""
_BUCKETS: Final = 64
_MEMORY: Final = 4000.0
"""Observations after which all weights are halved."""


def wilson_bounds(mean: float, count: float, z: float = 1.96) -> tuple[float, float]:
    """Lower and upper end of the interval for the mean of `count` values in [0, 1]; (0, 1) of none."""
    if count <= 0:
        return 0.0, 1.0
    centre = mean + z * z / (2 * count)
    spread = z * math.sqrt(max(0.0, mean * (1 - mean)) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


class SimilarityControl:
    """Learns `threshold`, a cosine between `floor` and 1. Thread-safe."""

    def __init__(self, floor: float, recall_min: float) -> None:
        self._floor_angle = math.acos(floor)
        self._recall_min = recall_min
        self._lock = threading.Lock()
        self._weights = np.zeros(_BUCKETS)
        self._overlaps = np.zeros(_BUCKETS)
        self.checks = 0
        self.threshold = math.inf
        """Answers of queries at least this similar may be served; infinite until enough was seen."""

    def observe(self, similarity: float, overlap: float) -> None:
        """What an entry whose query has this cosine would have answered kept `overlap` of the real result."""
        angle = math.acos(max(-1.0, min(1.0, similarity)))
        bucket = min(_BUCKETS - 1, int(angle / max(self._floor_angle, 1e-9) * _BUCKETS))
        with self._lock:
            self.checks += 1
            self._weights[bucket] += 1.0
            self._overlaps[bucket] += overlap
            if self._weights.sum() > _MEMORY:
                self._weights *= 0.5
                self._overlaps *= 0.5
            self.threshold = self._learned()

    def recall(self) -> tuple[float, float, float]:
        """Mean overlap of the answers above the threshold and its 95 % interval."""
        with self._lock:
            served = self._served()
            count = float(self._weights[:served].sum())
            mean = float(self._overlaps[:served].sum()) / count if count else 0.0
        low, high = wilson_bounds(mean, count)
        return mean, low, high

    def _served(self) -> int:
        """How many buckets, from the most similar on, the threshold lets through."""
        weights, overlaps = np.cumsum(self._weights), np.cumsum(self._overlaps)
        for buckets in range(_BUCKETS, 0, -1):
            count = float(weights[buckets - 1])
            if self._weights[buckets - 1] > 0:
                low, _ = wilson_bounds(min(1.0, float(overlaps[buckets - 1]) / count), count)
                if low >= self._recall_min:
                    return buckets
        return 0

    def _learned(self) -> float:
        served = self._served()
        return math.cos(self._floor_angle * served / _BUCKETS) if served else math.inf


class Similar:
    """What may be answered unproved. Thread-safe."""

    def __init__(self, metric: Metric, floor: float, recall_min: float, *, measures: bool) -> None:
        """`floor` is the least cosine. With `measures` the answers are scored anew and measured, as in mode rescored;
        without, they are given as they are to all above the floor, as in mode threshold."""
        self._metric = metric
        self._floor = floor
        self._measures = measures
        self.control = SimilarityControl(floor, recall_min)

    def answer(self, near: Sequence[Near], query: Query, k: int, score_min: float) -> Cached | None:
        """The answer of the most similar of these entries, if it is similar enough."""
        as_cosine = Query(query.vector, Metric.COSINE)
        similarity, best = max(
            ((as_cosine.similarity(one.entry.vector), one) for one in near), key=lambda pair: pair[0]
        )
        entry, slot = best.entry, best.slot
        if not self._measures:
            if similarity <= self._floor:
                return None
            as_it_was = Query(entry.vector, self._metric)
            found = ranked(entry, slot, as_it_was, self._metric, k, score_min, CachedKind.THRESHOLD)
        else:
            share = CHECK_SHARE if self.control.threshold < math.inf else CHECK_SHARE_AT_FIRST
            check = similarity >= self._floor and random.random() < share
            if not check and similarity < self.control.threshold:
                return None
            found = ranked(entry, slot, query, self._metric, k, score_min, CachedKind.RESCORED)
            found.check = check
        found.similarity = similarity
        return found if found.examined >= k or entry.unseen_bound == -math.inf else None

    def judge(self, cached: Cached, doc_ids: Sequence[int]) -> None:
        """What a real search found in place of an answer that had to be checked."""
        if doc_ids:
            overlap = len(set(doc_ids).intersection(cached.doc_ids)) / len(doc_ids)
            self.control.observe(cached.similarity, overlap)
