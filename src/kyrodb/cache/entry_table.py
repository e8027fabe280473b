"""The entries of the query cache and the columns they are found by.

A slot is one entry. Columns, one value or row a slot, so that a look at all of them is one call into BLAS:

    keys       number of the entry's key, -1 in an empty slot
    sketches   random projection of the question to SKETCH numbers, and sketch_squares, its squared length
    farthest   squared distance from which on the entry is not worth trying, see proof.farthest_square
    touched    when it was last of use
    questions  the question in index form, and lengths, its length: for writes, which must find every entry that
               a document could join
    beyond     what similarity a document must exceed to join
    ids        the documents it holds, 0 where there are fewer than IDS

A projection keeps squared distances up to a factor near 1 (Johnson and Lindenstrauss, 1984): with 64 numbers
the standard error is 18 %. It only chooses what is tried; what is served is proved from the vectors themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kyrodb.cache.documents import DocIds, HeldDocuments
from kyrodb.types import Matrix, Metric, Vector

SKETCH: Final = 64
SKETCH_ROOM: Final = 1.6
"""How many times the truth a sketched squared distance may well be."""
IDS: Final = 128
"""Entries with more documents than this are looked through one by one."""
_FIRST_SLOTS: Final = 64
_CHUNK: Final = 256
"""Documents compared with all questions at once."""
_ENTRY_BYTES: Final = 1024
"""Of an entry besides its documents and vectors."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A question that was answered, with every document the search met that is more similar than `beyond`.

    `asked` are the bytes of the question's float32 vector, `indexed` is the same in index form. `kth` is the
    similarity of its k-th best. `exact` says that the search met every document there is. An entry that comes
    to hold more than `documents_max` is dropped.
    """

    key: Hashable
    asked: bytes
    indexed: Vector
    held: HeldDocuments
    beyond: float
    kth: float
    exact: bool
    documents_max: int

    @property
    def vector(self) -> Vector:
        return np.frombuffer(self.asked, np.float32)


class EntryTable:
    """Slots and columns. The caller serialises all but `nearest` and `entry`; what those find must be verified."""

    def __init__(self, dimension: int, metric: Metric) -> None:
        width = min(SKETCH, dimension)
        source = np.random.default_rng(0x6B79726F)
        projection = source.standard_normal((width, dimension)) / np.sqrt(width)
        self._projection: Matrix = projection.astype(np.float32)
        self._dimension = dimension
        self._metric = metric
        self._entries: list[Entry | None] = []
        self._free: list[int] = []
        self._numbers: dict[Hashable, int] = {}
        self._entries_of: Counter[Hashable] = Counter()
        self._next_number = 0
        self._wide: dict[int, DocIds] = {}
        self._sizes: list[int] = []
        self.size_bytes = 0
        self._columns = _Columns(_FIRST_SLOTS, dimension, width)

    def __len__(self) -> int:
        return len(self._entries) - len(self._free)

    def __iter__(self) -> Iterator[tuple[int, Entry]]:
        return ((slot, entry) for slot, entry in enumerate(list(self._entries)) if entry is not None)

    def entry(self, slot: int) -> Entry | None:
        """The entry in a slot. From any thread."""
        return self._entries[slot]

    def nearest(self, key: Hashable, indexed: Vector, count: int = 1) -> list[tuple[int, float, float]]:
        """Up to `count` entries of this key whose questions seem nearest, best first. From any thread.

        Of each the slot, the estimated squared distance, and the one from which on a proof is not worth trying.
        """
        number = self._numbers.get(key)
        if number is None:
            return []
        columns, used = self._columns, len(self._entries)
        sketch = self._projection @ indexed
        squares = columns.sketches[:used] @ sketch
        squares *= -2.0
        squares += columns.sketch_squares[: len(squares)]
        squares[columns.keys[: len(squares)] != number] = np.inf
        slots = [int(squares.argmin())] if count == 1 else np.argsort(squares)[:count].tolist()
        length = float(sketch @ sketch)
        return [(slot, float(squares[slot]) + length, float(columns.farthest[slot])) for slot in slots]

    def touch(self, slot: int, tick: int) -> None:
        """The entry in this slot was of use."""
        if self._entries[slot] is not None:
            self._columns.touched[slot] = tick

    def least_recently(self) -> int:
        """The slot that was touched longest ago."""
        return int(self._columns.touched[: len(self._entries)].argmin())

    def holding(self, doc_ids: DocIds) -> set[int]:
        """Slots whose entries hold any of these documents."""
        held = np.isin(self._columns.ids[: len(self._entries)], doc_ids).any(axis=1)
        found = set(np.flatnonzero(held).tolist())
        found.update(slot for slot, ids in self._wide.items() if np.isin(ids, doc_ids).any())
        return found

    def joinable(self, rows: Matrix) -> Iterator[tuple[int, int]]:
        """Pairs of a slot and the number of a row, shape (n, d) in index form, that may exceed its `beyond`.

        Computed in float32 with room for its error, so some pairs may turn out not to, but none is left out.
        """
        columns, used = self._columns, len(self._entries)
        gamma = 2.0**-23 * (self._dimension + 8)  # twice the bound of Higham for a dot product
        lengths, beyond = columns.lengths[:used, None], columns.beyond[:used, None]
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            wide = part.astype(np.float64)
            squares = np.vecdot(wide, wide)
            room = gamma * lengths * np.sqrt(squares)
            with np.errstate(over="ignore", invalid="ignore"):
                products = (columns.questions[:used] @ part.T).astype(np.float64)
            similarities = products
            if self._metric is Metric.EUCLIDEAN:
                similarities = 2 * products - lengths * lengths - squares
                room = 2 * room + 1e-12 * (lengths * lengths + squares)
            outside = (similarities + room <= beyond) & np.isfinite(products)
            for slot, row in np.argwhere(~outside).tolist():
                if self._entries[slot] is not None:
                    yield slot, start + row

    def add(self, entry: Entry, farthest: float, tick: int) -> int:
        """Put an entry into a free slot; its number."""
        if self._free:
            slot = self._free.pop()
        else:
            slot = len(self._entries)
            if slot == len(self._columns.keys):
                self._columns = self._columns.grown()
            self._sizes.append(0)
        number = self._numbers.get(entry.key)
        if number is None:
            number = self._numbers[entry.key] = self._next_number
            self._next_number += 1
        self._entries_of[entry.key] += 1
        columns = self._columns
        sketch = self._projection @ entry.indexed
        columns.sketches[slot] = sketch
        columns.sketch_squares[slot] = sketch @ sketch
        columns.farthest[slot] = farthest
        columns.touched[slot] = tick
        columns.questions[slot] = entry.indexed
        wide = entry.indexed.astype(np.float64)
        columns.lengths[slot] = np.sqrt(np.vecdot(wide, wide))
        columns.beyond[slot] = entry.beyond
        if slot == len(self._entries):
            self._entries.append(entry)
        self.replace(slot, entry)
        columns.keys[slot] = number
        return slot

    def replace(self, slot: int, entry: Entry) -> None:
        """Put an entry in the place of one with the same question."""
        self._entries[slot] = entry
        ids, row = entry.held.doc_ids, self._columns.ids[slot]
        row[:] = 0
        if len(ids) <= IDS:
            row[: len(ids)] = ids
            self._wide.pop(slot, None)
        else:
            self._wide[slot] = ids
        self.measure(slot, entry)

    def measure(self, slot: int, entry: Entry) -> None:
        """Count the bytes of an entry anew, if it is still in this slot: its documents may have been fetched."""
        if self._entries[slot] is entry:
            size = _ENTRY_BYTES + 12 * self._dimension + entry.held.estimated_bytes(self._dimension)
            self.size_bytes += size - self._sizes[slot]
            self._sizes[slot] = size

    def remove(self, slot: int) -> Entry:
        """Empty a slot; what was in it."""
        entry = self._entries[slot]
        assert entry is not None
        self._entries[slot] = None
        columns = self._columns
        columns.keys[slot] = -1
        columns.touched[slot] = np.iinfo(np.int64).max
        columns.beyond[slot] = np.inf
        columns.ids[slot] = 0
        self._wide.pop(slot, None)
        self.size_bytes -= self._sizes[slot]
        self._sizes[slot] = 0
        self._free.append(slot)
        self._entries_of[entry.key] -= 1
        if not self._entries_of[entry.key]:
            del self._entries_of[entry.key], self._numbers[entry.key]
        return entry


class _Columns:
    """Arrays of one number of slots; growth makes a new set, so a reader's set stays whole."""

    __slots__ = (
        "beyond",
        "farthest",
        "ids",
        "keys",
        "lengths",
        "questions",
        "sketch_squares",
        "sketches",
        "touched",
    )

    def __init__(self, slots: int, dimension: int, width: int) -> None:
        self.keys: npt.NDArray[np.int64] = np.full(slots, -1, np.int64)
        self.sketches: Matrix = np.zeros((slots, width), np.float32)
        self.sketch_squares = np.zeros(slots, np.float32)
        self.farthest = np.zeros(slots, np.float64)
        self.touched = np.zeros(slots, np.int64)
        self.questions: Matrix = np.zeros((slots, dimension), np.float32)
        self.lengths = np.zeros(slots, np.float64)
        self.beyond = np.full(slots, np.inf)
        self.ids = np.zeros((slots, IDS), np.uint64)

    def grown(self) -> _Columns:
        slots = len(self.keys)
        larger = _Columns(2 * slots, self.questions.shape[1], self.sketches.shape[1])
        for name in self.__slots__:
            column: npt.NDArray[Any] = getattr(self, name)
            getattr(larger, name)[:slots] = column
        return larger
