"""Admission by what was learned of the documents; the least recently used goes, if it is colder.

A document is admitted while there is free room below the target fill; beyond that only when its score reaches
the threshold of the last training plus the controller's bias, and, once the cache is full, when it is hotter
than the one that would go. So a document read once does not push out one read often.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from kyrodb.cache.admission_control import AdmissionControl, Feedback
from kyrodb.cache.policies.lru import Lru
from kyrodb.cache.predictor import Predictor

_REFUSED_SHARE: Final = 1.0
"""Refused documents remembered, so that a mistake can be noticed, as a multiple of the capacity."""


class Learned:
    """See policy.Policy."""

    def __init__(
        self,
        capacity: int,
        predictor: Predictor,
        control: AdmissionControl | None,
        *,
        target_fill: float,
        now_s: Callable[[], float],
        favoured: Callable[[int, float, float], bool] | None = None,
    ) -> None:
        """`control` None leaves the threshold as trained. `favoured` may admit a document whose score misses the
        threshold: it gets the document, its score and the threshold."""
        self.capacity = capacity
        self.predictor = predictor
        self.control = control
        self.feedback = Feedback()
        self.predictions = 0
        """Decisions by score."""
        self.unread_total = 0
        self.missed_total = 0
        self._free = int(capacity * target_fill)
        self._now_s = now_s
        self._favoured = favoured
        self._order = Lru(capacity)
        self._unread: set[int] = set()
        """Held documents that were admitted for their score and not hit since."""
        self._refused: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, key: int) -> bool:
        return key in self._order

    @property
    def threshold(self) -> float:
        """The score from which documents are admitted now."""
        bias = 0.0 if self.control is None else self.control.bias
        return max(0.0, min(1.0, self.predictor.threshold + bias))

    def touch(self, key: int) -> bool:
        now_s = self._now_s()
        self.predictor.read(key, now_s)
        if self.predictor.overdue:
            self.predictor.prune(now_s)
        if self._order.touch(key):
            self._unread.discard(key)
            return True
        if key in self._refused:
            del self._refused[key]
            self.feedback.missed += 1
            self.missed_total += 1
        return False

    def offer(self, key: int) -> list[int] | None:
        now_s = self._now_s()
        if self.control is not None and self.control.look(now_s, len(self) / self.capacity, self.feedback):
            self.feedback = Feedback()
        if len(self) >= self._free:
            self.predictions += 1
            score, threshold = self.predictor.score(key, now_s), self.threshold
            if score < threshold and (self._favoured is None or not self._favoured(key, score, threshold)):
                self._refuse(key)
                return None
            if len(self) >= self.capacity:
                oldest = self._order.oldest()
                if self.predictor.heat(oldest) >= self.predictor.heat(key):
                    # Hotter though unused for longest: it is given another round.
                    self._order.touch(oldest)
                    self._refuse(key)
                    return None
            self._unread.add(key)
        gone = self._order.offer(key) or []
        for one in gone:
            if one in self._unread:
                self._unread.discard(one)
                self.feedback.unread += 1
                self.unread_total += 1
        return gone

    def forget(self, key: int) -> None:
        self._order.forget(key)
        self._unread.discard(key)
        self._refused.pop(key, None)

    def held(self) -> list[int]:
        return self._order.held()

    def _refuse(self, key: int) -> None:
        self._refused[key] = None
        if len(self._refused) > _REFUSED_SHARE * self.capacity:
            self._refused.popitem(last=False)
