"""The latest accesses, for training: a ring of document ids and times."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from kyrodb.cache.documents import DocIds

_FIRST: Final = 4096

Times = npt.NDArray[np.float64]


class AccessLog:
    """At most `capacity` accesses, the oldest overwritten. Thread-safe."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._ids: DocIds = np.zeros(min(capacity, _FIRST), np.uint64)
        self._times: Times = np.zeros(len(self._ids))
        self._next = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, doc_ids: Sequence[int], time_s: float) -> None:
        """Documents that were read now."""
        with self._lock:
            start = 0
            while start < len(doc_ids):
                if self._next == len(self._ids):
                    self._turn()
                count = min(len(doc_ids) - start, len(self._ids) - self._next)
                end = self._next + count
                self._ids[self._next : end] = doc_ids[start : start + count]
                self._times[self._next : end] = time_s
                self._next, start = end, start + count
                self._length = max(self._length, end)

    def add_one(self, doc_id: int, time_s: float) -> None:
        """`add` of one, in a fifth of the time."""
        with self._lock:
            if self._next == len(self._ids):
                self._turn()
            self._ids[self._next] = doc_id
            self._times[self._next] = time_s
            self._next += 1
            if self._next > self._length:
                self._length = self._next

    def since(self, time_s: float) -> tuple[DocIds, Times]:
        """Accesses at `time_s` and later, in no particular order."""
        with self._lock:
            recent = self._times[: self._length] >= time_s
            return self._ids[: self._length][recent], self._times[: self._length][recent]

    def _turn(self) -> None:
        if len(self._ids) == self._capacity:
            self._next = 0
            return
        size = min(self._capacity, 2 * len(self._ids))
        self._ids = np.concatenate([self._ids, np.zeros(size - len(self._ids), np.uint64)])
        self._times = np.concatenate([self._times, np.zeros(size - len(self._times))])
