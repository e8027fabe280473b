"""Admission by likeness: a document that misses the threshold may be taken because one like it was.

Comparing vectors takes longer than a lookup, so a lookup never waits for it: documents that missed the threshold
are noted, compared in the background, many at once, and those that are alike are taken when they are read again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection
from typing import Final

import numpy as np

from kyrodb.distance import norms
from kyrodb.types import Matrix, Vector

_NOTED_MAX: Final = 256
_ALIKE_MAX: Final = 4096


class SemanticAdmission:
    """Not thread-safe; `noted` and `compare` may be used beside it by one other thread under the caller's lock."""

    def __init__(self, dimension: int, *, score_high: float, similarity_min: float, vectors_max: int) -> None:
        """`vectors_max` newest admitted documents are compared with; a cosine of `similarity_min` is alike."""
        self._score_high = score_high
        self._similarity_min = similarity_min
        self._vectors_max = vectors_max
        self._vectors: Matrix = np.zeros((0, dimension), np.float32)
        self._arrived: deque[Vector] = deque(maxlen=vectors_max)
        self._noted: dict[int, Vector] = {}
        self._alike: OrderedDict[int, None] = OrderedDict()
        self.fast = 0
        """Decisions without comparing: high scores, and documents found alike before."""
        self.compared = 0
        self.alike = 0

    @property
    def vectors(self) -> int:
        """Vectors kept for comparing."""
        return min(self._vectors_max, len(self._vectors) + len(self._arrived))

    def favours(self, doc_id: int, score: float, vector: Vector) -> bool:
        """Whether to take a document although its score misses the threshold; one not known yet is noted."""
        if score >= self._score_high or doc_id in self._alike:
            self.fast += 1
            self._alike.pop(doc_id, None)
            return True
        if len(self._noted) < _NOTED_MAX:
            self._noted[doc_id] = vector.copy()
        return False

    def admitted(self, vector: Vector) -> None:
        """A document was taken."""
        self._arrived.append(vector)

    def take_noted(self) -> tuple[list[int], Matrix, Matrix]:
        """What to compare, ids and unit rows, and the unit rows to compare it with."""
        if self._arrived:
            self._vectors = np.concatenate([self._vectors, _unit(self._arrived)])[-self._vectors_max :]
            self._arrived.clear()
        noted, self._noted = self._noted, {}
        return list(noted), _unit(noted.values()), self._vectors

    def judge(self, doc_ids: list[int], likest: Vector) -> None:
        """The highest cosine each of these has with the vectors kept."""
        for doc_id, cosine in zip(doc_ids, likest.tolist(), strict=True):
            self.compared += 1
            if cosine >= self._similarity_min:
                self.alike += 1
                self._alike[doc_id] = None
                if len(self._alike) > _ALIKE_MAX:
                    self._alike.popitem(last=False)


def likest(rows: Matrix, others: Matrix) -> Vector:
    """The highest cosine of each unit row with the others; -1 without any. Takes long: hold no lock."""
    if not len(others) or not len(rows):
        return np.full(len(rows), -1.0, np.float32)
    greatest: Vector = (rows @ others.T).max(axis=1)
    return greatest


def _unit(vectors: Collection[Vector]) -> Matrix:
    if not vectors:
        return np.zeros((0, 0), np.float32)
    rows = np.array(list(vectors), np.float32)
    lengths = np.maximum(norms(rows), np.finfo(np.float64).tiny)
    return np.asarray(rows / lengths[:, np.newaxis], np.float32)
