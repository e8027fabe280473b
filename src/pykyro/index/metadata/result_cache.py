"""Remembering which rows a filter matches."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Final

from pyroaring import FrozenBitMap

from pykyro.model.filter import Filter

_ENTRY_BYTES: Final = 512
"""Charged for the filter and the bookkeeping of an entry, besides its bitmap. An estimate."""


class ResultCache:
    """The sets of rows that filters and parts of filters matched, least recently used out first.

    A set is true of the `seen` rows the index had then. Any thread may call any method.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[Filter, tuple[FrozenBitMap, int, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, condition: Filter) -> tuple[FrozenBitMap, int] | None:
        """The set remembered for `condition`, and how many rows had been seen."""
        with self._lock:
            entry = self._entries.get(condition)
            if entry is None:
                return None
            self._entries.move_to_end(condition)
            return entry[:2]

    def put(self, condition: Filter, matched: FrozenBitMap, seen: int = 0) -> None:
        """Remember a set, in place of an older one for the same filter."""
        size = _ENTRY_BYTES + matched.__sizeof__()
        with self._lock:
            old = self._entries.pop(condition, None)
            self._bytes += size - (old[2] if old else 0)
            self._entries[condition] = (matched, seen, size)
            while self._bytes > self._max_bytes:
                self._bytes -= self._entries.popitem(last=False)[1][2]
