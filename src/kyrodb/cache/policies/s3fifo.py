"""S3-FIFO: a small queue on trial, a main queue, and the ids of what lately failed the trial.

Source: Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP 2023, algorithm 1.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_SMALL_SHARE: Final = 0.1
_USES_MAX: Final = 3


class S3Fifo:
    """See policy.Policy."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._small_max = max(1, int(capacity * _SMALL_SHARE))
        self._small: OrderedDict[int, int] = OrderedDict()
        """Uses since arrival, by id, oldest first; likewise the main queue."""
        self._main: OrderedDict[int, int] = OrderedDict()
        self._failed: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def __contains__(self, key: int) -> bool:
        return key in self._small or key in self._main

    def touch(self, key: int) -> bool:
        for queue in (self._main, self._small):
            uses = queue.get(key)
            if uses is not None:
                queue[key] = min(uses + 1, _USES_MAX)
                return True
        return False

    def offer(self, key: int) -> list[int] | None:
        gone = []
        while len(self) >= self.capacity:
            gone.append(self._evict())
        if key in self._failed:
            del self._failed[key]
            self._main[key] = 0
        else:
            self._small[key] = 0
        return gone

    def forget(self, key: int) -> None:
        self._small.pop(key, None)
        self._main.pop(key, None)
        self._failed.pop(key, None)

    def held(self) -> list[int]:
        return [*self._small, *self._main]

    def _evict(self) -> int:
        while True:
            if self._small and (len(self._small) >= self._small_max or not self._main):
                key, uses = self._small.popitem(last=False)
                if uses > 1:
                    self._main[key] = 0
                    continue
                self._failed[key] = None
                if len(self._failed) > self.capacity:
                    self._failed.popitem(last=False)
                return key
            key, uses = self._main.popitem(last=False)
            if uses == 0:
                return key
            self._main[key] = uses - 1
