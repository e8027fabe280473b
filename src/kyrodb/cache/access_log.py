"""The latest accesses, for training: a ring of documents and times.

Documents are told apart by 64 bits: a tenant's key is longer, so it is folded. Two documents that look the same to
training cost a place in the cache, never a wrong answer.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from kyrodb.cache.documents import DocIds
from kyrodb.types import OWNER_SHIFT, Key

_FIRST: Final = 4096

_ODD: Final = 0x9E3779B97F4A7C15
_BITS: Final = (1 << 64) - 1

Times = npt.NDArray[np.float64]


def folded(key: Key) -> int:
    """64 bits that stand for a document; of one that belongs to no tenant, its id."""
    return key if key <= _BITS else (key ^ (key >> OWNER_SHIFT) * _ODD) & _BITS


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

    def add(self, keys: Sequence[Key], time_s: float) -> None:
        """Documents that were read now."""
        doc_ids = [folded(key) for key in keys]
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

    def add_one(self, key: Key, time_s: float) -> None:
        """`add` of one, in a fifth of the time."""
        with self._lock:
            if self._next == len(self._ids):
                self._turn()
            self._ids[self._next] = folded(key)
            self._times[self._next] = time_s
            self._next += 1
            if self._next > self._length:
                self._length = self._next

    def since(self, time_s: float) -> tuple[DocIds, Times]:
        """Accesses at `time_s` and later, in no particular order: documents as `folded`, and times."""
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
