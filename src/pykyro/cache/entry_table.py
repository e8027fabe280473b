"""The entries of the query cache and the columns they are found by.

A slot is one entry. To find the entry whose query is nearest to another, the table keeps a few evenly spaced
components of each query, its sketch: their squared distance, scaled up, estimates that of the whole vectors,
and products with a small matrix give it for all entries. It only chooses what is tried; what is
served is proved from the vectors themselves. Components that deceive cost a vain try or a missed hit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.cache.documents import ROW_BYTES, HeldDocuments, Source
from pykyro.cache.proof import farthest_square
from pykyro.memory.account import Charge
from pykyro.model.types import Matrix, Metric, Vector

FIRST_SLOTS: Final = 64
_ENTRY_BYTES: Final = 2048
"""Of an entry besides its documents and vectors."""
_CHARGED_TOGETHER: Final = 64 << 10
"""So many bytes may be held that are not charged yet."""
_SKETCH_ROOM: Final = 2.0
"""How many times the truth a squared distance estimated from sketches may well be."""
_GROWTH_MAX: Final = 4
"""An entry that comes to hold this many times the documents it began with is dropped."""
_SMALL: Final = 16
"""Documents an entry is counted as beginning with, if it began with fewer."""
_NEVER: Final = np.iinfo(np.int64).max
_PRODUCT_MAX: Final = 8192
"""Components that are multiplied at once: OpenBLAS wakes its threads, which then spin, from 9,216 on (gemv.c)."""


@dataclass(slots=True)
class Entry:
    """A query that was answered, with every document the search met that is more similar than `unseen_bound`.

    `number` stands for the key. `asked` are the bytes of the query's float32 vector. `exact` says that the
    search met every document there is. Queries farther away than `farthest`, squared, are not worth trying
    (proof.farthest_square). An entry that comes to hold more than `documents_max` is dropped. Entries are never
    edited: a change puts another in the same slot.
    """

    number: int
    key: Hashable
    asked: bytes
    held: HeldDocuments
    unseen_bound: float
    farthest: float
    exact: bool
    documents_max: int
    repeated: Any = None
    """The answer.Cached of the same query again, once it was made."""

    @property
    def vector(self) -> Vector:
        return np.frombuffer(self.asked, np.float32)


@dataclass(slots=True)
class Near:
    """An entry that seems near, and the estimated squared distance of its query."""

    slot: int
    entry: Entry
    square: float


class EntryTable:
    """Slots and columns. The caller serialises changes; `numbers`, `nearest` and `entry` are for any thread,
    and what they find must be verified."""

    def __init__(self, dimension: int, sketch: int, charge: Charge | None = None) -> None:
        """Sketches have about `sketch` components. What is held is kept in `charge`."""
        self._charge = charge
        self._charged = 0
        if charge is not None:
            charge.give_back()
        self._dimension = dimension
        self._step = max(1, dimension // sketch)
        width = len(range(0, dimension, self._step))
        self._scale = dimension / width
        self._entries: list[Entry | None] = []
        self.entries: Sequence[Entry | None] = self._entries
        """What each slot holds, as it is at any moment."""
        self._free: list[int] = []
        self.numbers: dict[Hashable, int] = {}
        """The number that stands for each key that an entry has. Never given to another key."""
        self.count = 0
        """How many entries there are."""
        self._entries_of: Counter[int] = Counter()
        self._next_number = 0
        self._sizes: list[int] = []
        self.size_bytes = 0
        self._columns = _Columns(FIRST_SLOTS, width)

    def __iter__(self) -> Iterator[tuple[int, Entry]]:
        return ((slot, entry) for slot, entry in enumerate(list(self._entries)) if entry is not None)

    # --- for any thread -------------------------------------------------------------------------

    def entry(self, slot: int) -> Entry | None:
        return self._entries[slot]

    def nearest(self, number: int, indexed: Vector, count: int = 1) -> list[Near]:
        """Up to `count` entries of this key whose queries seem nearest, best first."""
        columns = self._columns
        sketch = np.ascontiguousarray(indexed[:: self._step])
        slots_in_all, width = columns.sketches.shape
        at_once = _PRODUCT_MAX // width
        with np.errstate(over="ignore", invalid="ignore"):  # what is found is verified
            half_squares = columns.half_squares.copy()
            for at in range(0, slots_in_all, at_once):
                half_squares[at : at + at_once] -= columns.sketches[at : at + at_once].dot(sketch)
            length = float(sketch.dot(sketch))
        slots = [int(half_squares.argmin())]
        if count > 1 or columns.numbers[slots[0]] != number:
            half_squares[columns.numbers != number] = np.inf
            slots = [int(half_squares.argmin())] if count == 1 else half_squares.argsort()[:count].tolist()
        found = []
        for slot in slots:
            entry = self._entries[slot] if slot < len(self._entries) else None
            if entry is not None and entry.number == number:
                square = self._scale * (2 * float(half_squares[slot]) + length)
                found.append(Near(slot, entry, square))
        return found

    # --- changes --------------------------------------------------------------------------------

    def least_recent(self) -> int:
        """The slot of the entry that was of use longest ago; there must be one."""
        return int(self._columns.touched[: len(self._entries)].argmin())

    def touch(self, slot: int, tick: int) -> None:
        """The entry in this slot was of use."""
        if self._entries[slot] is not None:
            self._columns.touched[slot] = tick

    def claim_number(self, key: Hashable) -> int:
        """The number of this key, or the next one. For an entry that is about to be added."""
        number = self.numbers.get(key)
        if number is None:
            number = self.numbers[key] = self._next_number
            self._next_number += 1
        return number

    def new_entry(self, key: Hashable, asked: bytes, source: Source, metric: Metric) -> Entry:
        """An entry of what a search found, to be added."""
        count = source.count()
        return Entry(
            number=self.claim_number(key),
            key=key,
            asked=asked,
            held=HeldDocuments(source, count * (len(asked) + ROW_BYTES)),
            unseen_bound=source.unseen_bound,
            farthest=_SKETCH_ROOM * farthest_square(metric, source.unseen_bound, source.kth),
            exact=source.exact,
            documents_max=_GROWTH_MAX * max(count, _SMALL),
        )

    def add(self, entries: Sequence[Entry], queries: Sequence[Vector], tick: int) -> list[int]:
        """Put entries, with their queries in index form, into free slots; their slots.

        They count as touched at `tick` and the ticks before.
        """
        slots = [self._free_slot() for _ in entries]
        self.count += len(slots)
        columns = self._columns
        for slot, query in zip(slots, queries, strict=True):
            columns.sketches[slot] = query[:: self._step]
        sketches = columns.sketches[slots]
        with np.errstate(over="ignore"):
            columns.half_squares[slots] = np.vecdot(sketches, sketches) / 2
        columns.touched[slots] = np.arange(tick - len(slots), tick) + 1
        columns.numbers[slots] = [entry.number for entry in entries]
        for slot, entry in zip(slots, entries, strict=True):
            self._entries_of[entry.number] += 1
            self.replace(slot, entry)
        return slots

    def replace(self, slot: int, entry: Entry) -> None:
        """Put an entry in the place of one with the same query."""
        self._entries[slot] = entry
        self.measure(slot, entry)

    def measure(self, slot: int, entry: Entry) -> None:
        """Count the bytes of an entry anew, if it is still in this slot: its documents may have been fetched."""
        if self._entries[slot] is entry:
            size = _ENTRY_BYTES + 8 * self._dimension + entry.held.size_bytes
            self.size_bytes += size - self._sizes[slot]
            self._sizes[slot] = size
            if abs(self.size_bytes - self._charged) > _CHARGED_TOGETHER:
                self._tell()

    def remove(self, slot: int) -> Entry:
        """Empty a slot; what was in it."""
        entry = self._entries[slot]
        assert entry is not None
        columns = self._columns
        columns.numbers[slot] = -1
        columns.half_squares[slot] = np.inf
        columns.touched[slot] = _NEVER
        self._entries[slot] = None
        self.size_bytes -= self._sizes[slot]
        self._sizes[slot] = 0
        if abs(self.size_bytes - self._charged) > _CHARGED_TOGETHER:
            self._tell()
        self._free.append(slot)
        self.count -= 1
        self._entries_of[entry.number] -= 1
        if not self._entries_of[entry.number]:
            del self._entries_of[entry.number], self.numbers[entry.key]
        return entry

    def _tell(self) -> None:
        self._charged = self.size_bytes
        if self._charge is not None:
            self._charge.set(self.size_bytes)

    def _free_slot(self) -> int:
        if self._free:
            return self._free.pop()
        slot = len(self._entries)
        if slot == len(self._columns.numbers):
            self._columns = self._columns.grown()
        self._entries.append(None)
        self._sizes.append(0)
        return slot


class _Columns:
    """Arrays of one number of slots; growth makes a new set, so a reader's set stays whole.

    `numbers` are those of the keys, -1 in an empty slot; `half_squares` half the squared lengths of the
    `sketches`, infinite in an empty slot; `touched` orders the entries by when they were last of use.
    """

    __slots__ = ("half_squares", "numbers", "sketches", "touched")

    def __init__(self, slots: int, width: int) -> None:
        self.numbers: npt.NDArray[np.int64] = np.full(slots, -1, np.int64)
        self.sketches: Matrix = np.zeros((slots, width), np.float32)
        self.half_squares = np.full(slots, np.inf, np.float32)
        self.touched: npt.NDArray[np.int64] = np.full(slots, _NEVER)

    def grown(self) -> _Columns:
        slots, width = self.sketches.shape
        larger = _Columns(2 * slots, width)
        for name in self.__slots__:
            column: npt.NDArray[Any] = getattr(self, name)
            getattr(larger, name)[:slots] = column
        return larger
