"""Which entries a commit touches: columns over the slots of an EntryTable, brought up to date when a commit comes.

    entries    what was in the slot when its row was written
    queries  the query in index form, and lengths, its length
    unseen_bound     what similarity a document must exceed to join; infinite in an empty slot

and a list of the documents the entries hold. While nothing is written nothing is spent on the columns, and while only
new documents are written, which no entry can hold, nothing on the list.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.cache.documents import DocIds, Source
from pykyro.cache.entry_table import FIRST_SLOTS, Entry, EntryTable
from pykyro.model import distance
from pykyro.model.types import Matrix, Metric, Vector

_FIRST_IDS: Final = 4096
_CHUNK: Final = 256
"""Documents compared with all queries at once."""
_FEW: Final = 16
"""Ids that are looked for one by one, which for so few is quicker than by bisection."""

_UNDERFLOW: Final = 1e-33
"""More than products too small for float32 can add up to, even twice."""

Flags = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]


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
        self._unlisted: dict[int, Entry] = {}
        """Entries whose documents are not in `_holders` yet, by slot."""

    def catch_up(self, slots: Iterable[int], entries: Sequence[Entry | None]) -> None:
        """Take over what these slots hold now; `entries` is by slot."""
        known = self._entries
        arrived: list[int] = []
        asked: list[bytes] = []
        unseen_bound: list[float] = []
        for slot in slots:
            while slot >= len(known):
                known.append(None)
                if len(known) > len(self._unseen_bound):
                    self._grow()
            entry, before = entries[slot], known[slot]
            if before is entry:
                continue
            if before is not None:
                self._unseen_bound[slot] = np.inf
                if self._unlisted.pop(slot, None) is None:
                    self._holders.remove(slot)
            known[slot] = entry
            if entry is not None:
                self._unlisted[slot] = entry
                arrived.append(slot)
                asked.append(entry.asked)
                unseen_bound.append(entry.unseen_bound)
        if arrived:
            queries = np.frombuffer(b"".join(asked), np.float32).reshape(len(asked), -1)
            indexed = distance.index_form(queries, self._metric)
            self._queries[arrived] = indexed
            self._lengths[arrived] = distance.norms(indexed)
            self._unseen_bound[arrived] = unseen_bound

    def holding(self, doc_ids: DocIds) -> set[int]:
        """Slots whose entries hold any of these documents, and maybe some more slots."""
        for slot, entry in self._unlisted.items():
            self._holders.add(slot, entry.held.doc_ids())
        self._unlisted.clear()
        return self._holders.of(doc_ids)

    def is_joinable(self, rows: Matrix, waiting: Sequence[tuple[Vector, float]]) -> bool:
        """Whether any of these rows may exceed the `unseen_bound` of any slot, or of one of those that are `waiting`
        to become entries, each a query in index form and its `unseen_bound`. Rows are documents' vectors, shape
        (n, d)."""
        rows = distance.index_form(rows, self._metric)
        used = len(self._entries)
        queries, lengths, unseen_bound = self._queries[:used], self._lengths[:used], self._unseen_bound[:used]
        if waiting:
            more, bounds_more = [], []
            for query, of_query in waiting:
                more.append(query)
                bounds_more.append(of_query)
            waiting_queries = np.array(more)
            queries = np.concatenate([queries, waiting_queries])
            lengths = np.concatenate([lengths, distance.norms(waiting_queries)])
            unseen_bound = np.concatenate([unseen_bound, bounds_more])
        filled = unseen_bound < np.inf
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            with np.errstate(over="ignore", invalid="ignore"):
                candidates = self._may_exceed(queries @ part.T, part, lengths, unseen_bound)
            if candidates[filled].any():
                return True
        return False

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
                candidates = self._may_exceed(products, part, self._lengths[:used], self._unseen_bound[:used])
            candidates[empty] = False
            for slot, row in np.argwhere(candidates).tolist():
                yield slot, start + row

    def _may_exceed(self, products: Matrix, rows: Matrix, lengths: Doubles, unseen_bound: Doubles) -> Flags:
        """Where the similarity may be above `unseen_bound`, from float32 products; also where those overflowed.
        `lengths` and `unseen_bound` are those of the queries."""
        unseen_bound, lengths = unseen_bound[:, np.newaxis], lengths[:, np.newaxis]
        if self._metric is Metric.COSINE:
            # A float32 on one side keeps the comparison in float32; the room covers its rounding too.
            surely_not: Flags = products <= (unseen_bound - 2 * self._gamma).astype(np.float32)
            return ~surely_not
        wide = rows.astype(np.float64)
        squares = np.vecdot(wide, wide)
        room = self._gamma * lengths * np.sqrt(squares) + _UNDERFLOW
        similarities = products.astype(np.float64)
        if self._metric is Metric.EUCLIDEAN:
            similarities = 2 * similarities - lengths * lengths - squares
            room = 2 * room + 1e-12 * (lengths * lengths + squares)
        surely_not = (similarities + room <= unseen_bound) & np.isfinite(products)
        return ~surely_not

    def _grow(self) -> None:
        slots = len(self._unseen_bound)
        self._queries = np.concatenate([self._queries, np.zeros_like(self._queries)])
        self._lengths = np.concatenate([self._lengths, np.zeros(slots)])
        self._unseen_bound = np.concatenate([self._unseen_bound, np.full(slots, np.inf)])


class CommitCheck:
    """Tells apart the commits that touch an entry, which are few, from those that do not."""

    def __init__(
        self,
        lock: threading.Lock,
        table: EntryTable,
        columns: WriteColumns,
        changed: set[int],
        waiting: Collection[tuple[Vector, Source]],
    ) -> None:
        """Those of a QueryCache: `changed` are slots the columns have to catch up with, `waiting` what is to become
        entries."""
        self._lock = lock
        self._table = table
        self._columns = columns
        self._changed = changed
        self._waiting = waiting

    def is_unaffected(self, vectors: Matrix) -> bool:
        """Whether a commit that adds documents with these vectors, shape (n, d), none of whose ids was in use,
        changes no answer. For the writer, between `begin` and `end` of the CommitSequence.

        No entry holds a document that was not there, so only those more similar than `unseen_bound` matter.
        """
        # Not before the lock is held: an answer may be on its way in that was found to be new enough just now.
        with self._lock:
            if not self._waiting and not self._table.count:
                return True
            if self._changed:
                self._columns.catch_up(self._changed, self._table.entries)
                self._changed.clear()
            waiting = []
            for indexed, source in self._waiting:
                waiting.append((indexed, source.unseen_bound))
            return not self._columns.is_joinable(vectors, waiting)


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
