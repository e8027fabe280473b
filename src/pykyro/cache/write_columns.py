"""Which entries a commit touches: columns over the slots of an EntryTable, brought up to date when a commit comes.

    entries    what was in the slot when its row was written
    queries  the query in index form, and lengths, its length
    unseen_bound     what similarity a document must exceed to join; infinite in an empty slot

and a list of the documents the entries hold. While nothing is written nothing is spent on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.cache.documents import DocIds
from pykyro.cache.entry_table import FIRST_SLOTS, Entry
from pykyro.model import distance
from pykyro.model.types import Matrix, Metric

_FIRST_IDS: Final = 4096
_CHUNK: Final = 256
"""Documents compared with all queries at once."""
_FEW: Final = 16
"""Ids that are looked for one by one, which for so few is quicker than by bisection."""

_UNDERFLOW: Final = 1e-33
"""More than products too small for float32 can add up to, even twice."""

Flags = npt.NDArray[np.bool_]


class WriteColumns:
    """Used by one thread at a time."""

    def __init__(self, dimension: int, metric: Metric) -> None:
        self._metric = metric
        self._gamma = 2.0**-23 * (dimension + 8)  # twice the bound of a float32 dot product (Higham, 3.1)
        self._entries: list[Entry | None] = []
        self._queries: Matrix = np.zeros((FIRST_SLOTS, dimension), np.float32)
        self._lengths: npt.NDArray[np.float64] = np.zeros(FIRST_SLOTS)
        self._unseen_bound: npt.NDArray[np.float64] = np.full(FIRST_SLOTS, np.inf)
        self._holders = _Holders()

    def follow(self, changed: Iterable[tuple[int, Entry | None]]) -> None:
        """Take over what these slots hold now."""
        arrived: list[tuple[int, Entry]] = []
        for slot, entry in changed:
            while slot >= len(self._entries):
                self._entries.append(None)
            if self._entries[slot] is not entry:
                self._clear(slot)
                if entry is not None:
                    arrived.append((slot, entry))
        if arrived:
            self._write(arrived)

    def holding(self, doc_ids: DocIds) -> set[int]:
        """Slots whose entries hold any of these documents, and maybe some more slots."""
        return self._holders.of(doc_ids)

    def joinable(self, rows: Matrix) -> Iterator[tuple[int, int]]:
        """Pairs of a slot and the number of a row, shape (n, d) in index form, that may exceed its `unseen_bound`.

        Computed in float32 with room for its error, so some pairs may turn out not to, but none is left out.
        """
        used = len(self._entries)
        empty = np.isinf(self._unseen_bound[:used]) & (self._unseen_bound[:used] > 0)
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            with np.errstate(over="ignore", invalid="ignore"):
                products = self._queries[:used] @ part.T
                candidates = self._may_exceed(products, part)
            candidates[empty] = False
            for slot, row in np.argwhere(candidates).tolist():
                yield slot, start + row

    def _may_exceed(self, products: Matrix, rows: Matrix) -> Flags:
        """Where the similarity may be above `unseen_bound`, from float32 products; also where those overflowed."""
        unseen_bound = self._unseen_bound[: len(products), np.newaxis]
        if self._metric is Metric.COSINE:
            # A float32 on one side keeps the comparison in float32; the room covers its rounding too.
            surely_not: Flags = products <= (unseen_bound - 2 * self._gamma).astype(np.float32)
            return ~surely_not
        lengths = self._lengths[: len(products), np.newaxis]
        wide = rows.astype(np.float64)
        squares = np.vecdot(wide, wide)
        room = self._gamma * lengths * np.sqrt(squares) + _UNDERFLOW
        similarities = products.astype(np.float64)
        if self._metric is Metric.EUCLIDEAN:
            similarities = 2 * similarities - lengths * lengths - squares
            room = 2 * room + 1e-12 * (lengths * lengths + squares)
        surely_not = (similarities + room <= unseen_bound) & np.isfinite(products)
        return ~surely_not

    def _write(self, arrived: list[tuple[int, Entry]]) -> None:
        while len(self._entries) > len(self._unseen_bound):
            self._grow()
        slots = [slot for slot, _ in arrived]
        queries = np.array([entry.vector for _, entry in arrived])
        indexed = distance.index_form(queries, self._metric)
        self._queries[slots] = indexed
        self._lengths[slots] = distance.norms(indexed)
        self._unseen_bound[slots] = [entry.unseen_bound for _, entry in arrived]
        for slot, entry in arrived:
            self._entries[slot] = entry
            self._holders.add(slot, entry.held.doc_ids())

    def _clear(self, slot: int) -> None:
        if self._entries[slot] is not None:
            self._entries[slot] = None
            self._unseen_bound[slot] = np.inf
            self._holders.remove(slot)

    def _grow(self) -> None:
        slots = len(self._unseen_bound)
        self._queries = np.concatenate([self._queries, np.zeros_like(self._queries)])
        self._lengths = np.concatenate([self._lengths, np.zeros(slots)])
        self._unseen_bound = np.concatenate([self._unseen_bound, np.full(slots, np.inf)])


class _Holders:
    """Which slots hold a document: all ids in one array, beside the slot each belongs to.

    Ids of a slot are appended and, when it is emptied, overwritten with 0; now and then those are squeezed out.
    """

    def __init__(self) -> None:
        self._ids: DocIds = np.zeros(_FIRST_IDS, np.uint64)
        self._slots: npt.NDArray[np.int64] = np.zeros(_FIRST_IDS, np.int64)
        self._used = 0
        self._live = 0
        self._spans: dict[int, tuple[int, int]] = {}

    def add(self, slot: int, doc_ids: DocIds) -> None:
        end = self._used + len(doc_ids)
        if end > len(self._ids):
            self._make_room(len(doc_ids))
            end = self._used + len(doc_ids)
        self._ids[self._used : end] = doc_ids
        self._slots[self._used : end] = slot
        self._spans[slot] = (self._used, end)
        self._used = end
        self._live += len(doc_ids)

    def remove(self, slot: int) -> None:
        start, end = self._spans.pop(slot)
        self._ids[start:end] = 0
        self._live -= end - start

    def of(self, doc_ids: DocIds) -> set[int]:
        """Slots that hold any of these."""
        found = np.flatnonzero(_among(self._ids[: self._used], doc_ids))
        return set(self._slots[found].tolist())

    def _make_room(self, count: int) -> None:
        kept = [(slot, self._ids[start:end]) for slot, (start, end) in self._spans.items()]
        size = max(_FIRST_IDS, 2 * (self._live + count))
        self._ids, self._slots = np.zeros(size, np.uint64), np.zeros(size, np.int64)
        self._used = self._live = 0
        self._spans = {}
        for slot, doc_ids in kept:
            self.add(slot, doc_ids)


def _among(ids: DocIds, wanted: DocIds) -> Flags:
    """Which of `ids` are among those wanted."""
    if len(wanted) <= _FEW:
        found = np.zeros(len(ids), np.bool_)
        for one in wanted:
            found |= ids == one
        return found
    ordered = np.sort(wanted)
    places = np.minimum(np.searchsorted(ordered, ids), len(ordered) - 1)
    return np.asarray(ordered[places] == ids)
