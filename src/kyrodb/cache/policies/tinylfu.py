"""W-TinyLFU: a small window, and a main part that takes only what is asked for more often than what would go.

Sources: Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM ToS 13(4), 2017.
The main part is a segmented LRU of 20 % on probation and 80 % protected; frequencies are counted to 15 in a
count-min sketch of four rows, halved whenever ten times the capacity was counted.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from kyrodb.cache.policies.lru import Lru

_WINDOW_SHARE: Final = 0.01
_PROTECTED_SHARE: Final = 0.8
_COUNT_MAX: Final = 15
_SAMPLE: Final = 10
_MULTIPLIERS: Final = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)
_MASK: Final = 2**64 - 1


class FrequencySketch:
    """How often a key was counted lately, up to 15; never too low but for the halving."""

    def __init__(self, capacity: int) -> None:
        self._shift = 64 - max(6, (4 * capacity - 1).bit_length())
        self._rows = [bytearray(1 << (64 - self._shift)) for _ in _MULTIPLIERS]
        self._sample_max = _SAMPLE * capacity
        self._counted = 0

    def add(self, key: int) -> None:
        places = self._places(key)
        least = min(row[place] for row, place in zip(self._rows, places))
        if least < _COUNT_MAX:
            for row, place in zip(self._rows, places):
                if row[place] == least:  # conservative update: a larger count belongs to others
                    row[place] += 1
        self._counted += 1
        if self._counted >= self._sample_max:
            self._counted //= 2
            self._rows = [bytearray(count >> 1 for count in row) for row in self._rows]

    def count(self, key: int) -> int:
        return min(row[place] for row, place in zip(self._rows, self._places(key)))

    def _places(self, key: int) -> list[int]:
        mixed = (key ^ (key >> 32)) * 0xD6E8FEB86659FD93 & _MASK
        return [(mixed * multiplier & _MASK) >> self._shift for multiplier in _MULTIPLIERS]


class WTinyLfu:
    """See policy.Policy."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        window = max(1, int(capacity * _WINDOW_SHARE))
        self._window = Lru(window)
        self._main_max = capacity - window
        self._protected_max = int(self._main_max * _PROTECTED_SHARE)
        self._probation: OrderedDict[int, None] = OrderedDict()
        self._protected: OrderedDict[int, None] = OrderedDict()
        self._sketch = FrequencySketch(capacity)

    def __len__(self) -> int:
        return len(self._window) + len(self._probation) + len(self._protected)

    def __contains__(self, key: int) -> bool:
        return key in self._window or key in self._probation or key in self._protected

    def touch(self, key: int) -> bool:
        self._sketch.add(key)
        if self._window.touch(key):
            return True
        if key in self._protected:
            self._protected.move_to_end(key)
            return True
        if key not in self._probation:
            return False
        del self._probation[key]
        self._protected[key] = None
        if len(self._protected) > self._protected_max:
            self._probation[self._protected.popitem(last=False)[0]] = None
        return True

    def offer(self, key: int) -> list[int] | None:
        gone = []
        for candidate in self._window.offer(key) or []:
            if len(self._probation) + len(self._protected) < self._main_max:
                self._probation[candidate] = None
                continue
            victims = self._probation or self._protected
            if not victims:
                gone.append(candidate)
                continue
            victim = next(iter(victims))
            if self._sketch.count(candidate) > self._sketch.count(victim):
                del victims[victim]
                self._probation[candidate] = None
                gone.append(victim)
            else:
                gone.append(candidate)
        return gone

    def forget(self, key: int) -> None:
        self._window.forget(key)
        self._probation.pop(key, None)
        self._protected.pop(key, None)

    def held(self) -> list[int]:
        return [*self._probation, *self._window.held(), *self._protected]
