"""The metadata index of the hot tier: rows are added while it is asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap, FrozenBitMap

from pykyro.index.metadata.bitmaps import EMPTY, Leaf, evaluate, everything, from_mask, from_rows
from pykyro.index.metadata.column import Column
from pykyro.index.metadata.result_cache import ResultCache
from pykyro.model.filter import COMPARE, Anything, Exact, Filter, In, Range, matches
from pykyro.model.number import exact_order, parse_number

CACHE_BYTES: Final = 4 << 20
_CATCH_UP_ROWS: Final = 64
"""A remembered set that lacks no more than this many rows is completed row by row, about 1 us each."""
_DENSE: Final = 16
"""A set of more than one in so many rows is made from a mask, a smaller one from a list: measured to be even."""


class MutableMetadataIndex:
    """Which rows match a filter, for rows that keep coming. One thread adds, any number ask.

    Each question is a vector operation over the column of its key, and what was answered is remembered and
    brought up to date when asked again, so that a few new rows do not cost a new evaluation.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self.pending: deque[tuple[int, Mapping[str, str]]] = deque()
        """Rows that are added but not taken in yet, each with its metadata, ascending; whoever adds appends here.
        The metadata is kept, not copied, and must not change any more."""
        self._lock = Lock()
        self._columns: dict[str, Column] = {}
        self._rows: list[int] = []
        self._metadata: list[Mapping[str, str]] = []
        self._all = BitMap()
        self._results = ResultCache(cache_bytes)

    def add(self, row: int, metadata: Mapping[str, str]) -> None:
        """Add a row and take it in. Raises ValueError unless `row` is larger than every row before."""
        self.pending.append((row, metadata))
        self.take_in()

    def take_in(self) -> None:
        """Bring the columns up to date with `pending`, from any thread. A question does so by itself; a writer does
        now and then, so that no question has to do much."""
        with self._lock:
            self._take_in()

    def match(self, condition: Filter) -> FrozenBitMap:
        """The rows added before the call that match `condition`."""
        with self._lock:
            self._take_in()
            return self._remembered(condition)

    def _take_in(self) -> None:
        pending, columns = self.pending, self._columns
        while pending:
            row, metadata = pending.popleft()
            if self._rows and row <= self._rows[-1]:
                raise ValueError(f"row {row} comes after row {self._rows[-1]}")
            for key, value in metadata.items():
                column = columns.get(key)
                if column is None:
                    column = columns[key] = Column()
                column.add(row, value)
            self._all.add(row)
            self._rows.append(row)
            self._metadata.append(metadata)

    def _remembered(self, condition: Filter) -> FrozenBitMap:
        count = len(self._rows)
        known = self._results.get(condition)
        if known is not None and known[1] == count:
            return known[0]
        if known is not None and count - known[1] <= _CATCH_UP_ROWS:
            found, seen = known
            fresh = [self._rows[i] for i in range(seen, count) if matches(condition, self._metadata[i])]
            found = found.union(BitMap(fresh)) if fresh else found
        elif isinstance(condition, Exact | In | Range):
            found = self._leaf(condition)
        elif isinstance(condition, Anything):
            found = FrozenBitMap(self._all)
        else:
            found = evaluate(condition, self._remembered, lambda: self._remembered(Anything()))
        self._results.put(condition, found, count)
        return found

    def _leaf(self, leaf: Leaf) -> FrozenBitMap:
        column = self._columns.get(leaf.key)
        if column is None:
            return EMPTY
        # A copy: an array that lends its memory out cannot grow, should an exception keep the borrower alive.
        codes = np.array(column.codes, dtype=np.uint32)
        match leaf:
            case Exact(_, value) | In(_, (value,)):
                code = column.values.get(value)
                return EMPTY if code is None else _rows_where(column, codes == code)
            case In(_, values):
                admitted = np.zeros(len(column.values), dtype=np.bool_)
                admitted[[column.values[value] for value in values if value in column.values]] = True
            case Range():
                admitted = _in_range(column, leaf)
        return _rows_where(column, admitted[codes])


def _in_range(column: Column, condition: Range) -> npt.NDArray[np.bool_]:
    """Whether each value, by code, lies in the range."""
    if condition.op is None:
        return np.ones(len(column.values), dtype=np.bool_)
    compare, bound = COMPARE[condition.op], condition.bound
    number = parse_number(bound)
    if number is None:
        return np.fromiter((compare(value, bound) for value in column.values), dtype=np.bool_)
    # Values that are no numbers count as NaN here, for which every comparison is false.
    numbers = np.array(column.numbers)
    admitted = np.asarray(compare(numbers, number), dtype=np.bool_)
    tied = np.flatnonzero(numbers == number).tolist()
    if tied:
        order = exact_order(bound)
        admitted[tied] = [compare(column.order_of(code), order) for code in tied]
    if not all(column.is_number):
        texts = zip(column.values, column.is_number, strict=True)
        admitted |= np.fromiter((not known and compare(text, bound) for text, known in texts), dtype=np.bool_)
    return admitted


def _rows_where(column: Column, chosen: npt.NDArray[np.bool_]) -> FrozenBitMap:
    count, carriers = int(np.count_nonzero(chosen)), len(column.rows)
    if column.rows[-1] == carriers - 1 and count > carriers // _DENSE:  # rows without gaps: a mask of rows
        return everything(carriers) if count == carriers else from_mask(chosen)
    return from_rows(np.array(column.rows, dtype=np.uint32)[chosen])
