"""Which documents will be read again: what was read often and lately.

The heat of a document is the sum over its accesses of exp(-age / halflife), where by an old misnomer the
"halflife" is the age at which an access counts 1/e. Its score puts that between 0 and 1:
ln(1 + heat) / ln(1 + the greatest heat). Training takes heat anew from the log of accesses within a window, so
what was read before it is forgotten; between trainings each access is added as it comes. Heat is kept as the sum
of exp(time / halflife), which orders documents the same at any time ("forward decay", Cormode et al., ICDE 2009).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np

from kyrodb.cache.access_log import Times, folded
from kyrodb.cache.documents import DocIds
from kyrodb.types import Key

_MAGIC: Final = b"KYROPRD1"
_HEAD: Final = struct.Struct("<8sdddQ")
_UNTRAINED_MAX: Final = 2
"""Documents known before training or new since, as a multiple of those that training keeps."""


@dataclass(frozen=True, slots=True)
class Training:
    """What a training is told: how many documents to rank, and how many of them the cache has room for."""

    tracked_max: int
    room: int
    halflife_s: float
    threshold_min: float


class Predictor:
    """Heat by document, as access_log.folded names it. Not thread-safe. Times are seconds on one clock, which may
    start anywhere."""

    def __init__(self, training: Training, now_s: float) -> None:
        self._training = training
        self._zero_s = now_s
        self._heat: dict[int, float] = {}
        self._hottest = 0.0
        self.threshold = training.threshold_min
        """Score of the coldest document there is room for, at the last training."""
        self.trained = False

    def __len__(self) -> int:
        return len(self._heat)

    def read(self, key: Key, now_s: float) -> float:
        """An access; the heat after it, on the predictor's own scale."""
        doc_id = folded(key)
        heat = self._heat.get(doc_id, 0.0) + math.exp((now_s - self._zero_s) / self._training.halflife_s)
        self._heat[doc_id] = heat
        if heat > self._hottest:
            self._hottest = heat
        return heat

    def heat(self, key: Key) -> float:
        """Comparable with other heats, meaningless by itself."""
        return self._heat.get(folded(key), 0.0)

    def score(self, key: Key, now_s: float) -> float:
        """How likely it seems to be read again, 0 to 1."""
        scale = math.exp((self._zero_s - now_s) / self._training.halflife_s)
        if self._hottest <= 0.0 or scale == 0.0:
            return 0.0
        return math.log1p(self.heat(key) * scale) / math.log1p(self._hottest * scale)

    @property
    def overdue(self) -> bool:
        """Whether numbers or documents grow beyond what was meant to happen between two trainings."""
        return self._hottest > 1e200 or len(self._heat) > _UNTRAINED_MAX * self._training.tracked_max

    def train(self, doc_ids: DocIds, times: Times, now_s: float) -> None:
        """Start anew from these accesses."""
        known, places = np.unique(doc_ids, return_inverse=True)
        weights = np.exp((times - now_s) / self._training.halflife_s)
        self._keep(known, np.bincount(places, weights, len(known)).astype(np.float64), now_s)
        self.trained = True

    def prune(self, now_s: float) -> None:
        """Forget the coldest and count time from now; for when no training comes."""
        known = np.fromiter(self._heat, np.uint64, len(self._heat))
        heat = np.fromiter(self._heat.values(), np.float64, len(self._heat))
        self._keep(known, heat * math.exp((self._zero_s - now_s) / self._training.halflife_s), now_s)

    def encode(self, now_s: float) -> bytes:
        """Everything learned, for `decode` in another process."""
        known = np.fromiter(self._heat, np.uint64, len(self._heat))
        heat = np.fromiter(self._heat.values(), np.float64, len(self._heat))
        heat *= math.exp((self._zero_s - now_s) / self._training.halflife_s)
        head = _HEAD.pack(_MAGIC, self.threshold, float(self.trained), self._training.halflife_s, len(known))
        return head + known.astype("<u8").tobytes() + heat.astype("<f8").tobytes()

    def decode(self, data: bytes, now_s: float) -> None:
        """Take over what another predictor learned, as if no time had passed. Raises ValueError for other bytes."""
        if len(data) < _HEAD.size:
            raise ValueError(f"{len(data)} bytes are no predictor")
        magic, threshold, trained, _, count = _HEAD.unpack_from(data)
        if magic != _MAGIC or len(data) != _HEAD.size + 16 * count:
            raise ValueError("not a predictor, or one cut short")
        known = np.frombuffer(data, "<u8", count, _HEAD.size).astype(np.uint64)
        heat = np.frombuffer(data, "<f8", count, _HEAD.size + 8 * count)
        if not (0 <= threshold <= 1 and np.isfinite(heat).all() and (heat >= 0).all()):
            raise ValueError("a predictor with impossible numbers")
        self._keep(known, heat, now_s)
        self.threshold, self.trained = threshold, bool(trained)

    def _keep(self, known: DocIds, heat: Times, now_s: float) -> None:
        """The hottest of these, heat being what it is now; and the threshold that follows."""
        training = self._training
        order = np.argsort(-heat, kind="stable")[: training.tracked_max]
        known, heat = known[order], heat[order]
        self._zero_s = now_s
        self._heat = dict(zip(known.tolist(), heat.tolist(), strict=True))
        self._hottest = float(heat[0]) if len(heat) else 0.0
        last = float(heat[min(training.room, len(heat)) - 1]) if len(heat) else 0.0
        score = math.log1p(last) / math.log1p(self._hottest) if self._hottest > 0 else 0.0
        self.threshold = (
            max(training.threshold_min, score) if len(heat) >= training.room else training.threshold_min
        )
