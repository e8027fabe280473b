"""Remembering which rows a filter matches."""

from __future__ import annotations

from collections import OrderedDict
from sys import getsizeof
from threading import Lock
from typing import Final

from pyroaring import FrozenBitMap

from pykyro.index.metadata.bitmaps import size_bytes
from pykyro.index.metadata.typed_columns import Condition
from pykyro.memory.account import Account, Charge
from pykyro.model.filter import And, Exact, In, Not, Or, Range
from pykyro.model.typed_filter import Among, Between, Present, TextMatch

ENTRY_BYTES: Final = 300
"""Bookkeeping of an entry, beside its filter and its set."""
_NODE_BYTES: Final = 80
"""A condition without its texts and parts."""


class ResultCache:
    """The sets of rows that filters and parts of filters matched, least recently used out first.

    A set is true of the `seen` rows the index had then. What an entry takes, filter and set, is counted, and charged
    to an account for as long as the cache exists. Any thread may call any method.
    """

    def __init__(self, max_bytes: int, account: Account | None = None) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._charge: Charge | None = account.charge() if account is not None else None
        self._entries: OrderedDict[Condition, tuple[FrozenBitMap, int, int]] = OrderedDict()
        self._lock = Lock()

    def __del__(self) -> None:
        if self._charge is not None:
            self._charge.give_back()

    @property
    def size_bytes(self) -> int:
        """What all entries take."""
        return self._bytes

    def get(self, condition: Condition) -> tuple[FrozenBitMap, int] | None:
        """The set remembered for `condition`, and how many rows had been seen."""
        with self._lock:
            entry = self._entries.get(condition)
            if entry is None:
                return None
            self._entries.move_to_end(condition)
            return entry[:2]

    def put(self, condition: Condition, matched: FrozenBitMap, seen: int = 0) -> None:
        """Remember a set, in place of an older one for the same filter. One that takes more than half of the cache is
        not worth what would have to go."""
        size = ENTRY_BYTES + filter_bytes(condition) + size_bytes(matched)
        with self._lock:
            self._take(condition)
            if size <= self._max_bytes // 2:
                self._bytes += size
                self._entries[condition] = (matched, seen, size)
                while self._bytes > self._max_bytes:
                    self._bytes -= self._entries.popitem(last=False)[1][2]
            self._tell()

    def forget(self, count: int) -> int:
        """Let go of at least so many bytes, if there are so many; how many it was."""
        gone = 0
        with self._lock:
            while gone < count and self._entries:
                gone += self._entries.popitem(last=False)[1][2]
            self._bytes -= gone
            self._tell()
        return gone

    def _take(self, condition: Condition) -> None:
        old = self._entries.pop(condition, None)
        if old is not None:
            self._bytes -= old[2]

    def _tell(self) -> None:
        if self._charge is not None:
            self._charge.set(self._bytes)


def filter_bytes(condition: Condition | None) -> int:
    """Memory a filter takes with all its parts and texts, as if it shared none with others."""
    match condition:
        case Exact(key, value):
            return _NODE_BYTES + getsizeof(key) + getsizeof(value)
        case Range(key, _, bound):
            return _NODE_BYTES + getsizeof(key) + getsizeof(bound)
        case Between(key, low, high):
            return _NODE_BYTES + getsizeof(key) + getsizeof(low) + getsizeof(high)
        case TextMatch(key, _, text):
            return _NODE_BYTES + getsizeof(key) + getsizeof(text)
        case Present(key):
            return _NODE_BYTES + getsizeof(key)
        case In(key, values) | Among(key, values):
            return _NODE_BYTES + getsizeof(key) + getsizeof(values) + sum(map(getsizeof, values))
        case And(parts) | Or(parts):
            return _NODE_BYTES + getsizeof(parts) + sum(map(filter_bytes, parts))
        case Not(part):
            return _NODE_BYTES + filter_bytes(part)
        case _:
            return _NODE_BYTES
