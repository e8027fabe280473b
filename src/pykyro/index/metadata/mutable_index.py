"""The metadata index of the hot tier: rows are added while it is asked."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from sys import getsizeof
from threading import Lock
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from pyroaring import FrozenBitMap

from pykyro.index.metadata import cost
from pykyro.index.metadata.bitmaps import EMPTY, evaluate, everything, from_mask, from_rows
from pykyro.index.metadata.column import Column, UniqueColumn, allocated, new_column
from pykyro.index.metadata.derived_rows import DerivedRows, Origin
from pykyro.index.metadata.result_cache import ResultCache
from pykyro.index.metadata.simplify import simplified
from pykyro.index.metadata.typed_columns import (
    TYPED,
    Condition,
    is_typed_column,
    leaf_holds,
    typed_entries,
    without_types,
)
from pykyro.index.metadata.value_runs import (
    KeyRuns,
    ValueRun,
    rows_with_order,
    run_of_codes,
    run_of_pairs,
    typed_runs,
)
from pykyro.index.metadata.value_sets import chosen, marks_of
from pykyro.memory.account import Account
from pykyro.model.filter import Exact, Filter, In, Range
from pykyro.model.number import parse_number
from pykyro.model.types import TEXT_ID_KEY

CACHE_BYTES: Final = 4 << 20
_CATCH_UP_ROWS: Final = 64
"""A remembered set that lacks no more than this many rows is completed from those alone."""
_DENSE: Final = 16
"""A set of more than one in so many rows is made from a mask, a smaller one from a list: measured to be even."""
_FEW: Final = 4
"""A key on no more rows has them in a tuple, which takes a tenth of the memory of a column."""
_ROW_BYTES: Final = 32
"""The number of a row as the tuples of its keys share it."""

_FIRST_BYTES: Final = allocated((0, ""))
"""The tuple of a key that one row has."""

Few: TypeAlias = tuple[int | str, ...]
"""Row and value, row and value, ... of a key that few rows have."""


class MutableMetadataIndex:
    """Which rows match a filter, for rows that keep coming. One thread adds, any number ask.

    Each question is a vector operation over the column of its key, and what was answered is remembered and
    brought up to date when asked again, so that a few new rows do not cost a new evaluation.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES, cache_account: Account | None = None) -> None:
        self.pending: deque[tuple[int, Mapping[str, str]]] = deque()
        """Rows that are added but not taken in yet, each with its metadata, ascending; whoever adds appends here.
        Until then a mapping must not change; of what was taken in, keys and values are kept, the mapping is not."""
        self._lock = Lock()
        self._keys: dict[str, Column | Few] = {}
        self._rows = array("I")
        self._derived = DerivedRows()
        self._held = 0
        """Bytes of keys and of what they have."""
        self._results = ResultCache(cache_bytes, cache_account)

    @property
    def size_bytes(self) -> int:
        """Memory the index takes for keys, values and rows, right within 15 %; what is remembered comes on top."""
        return self._held + getsizeof(self._keys) + getsizeof(self._rows) + self._derived.size_bytes

    def add(self, row: int, metadata: Mapping[str, str]) -> None:
        """Add a row and take it in. Raises ValueError unless `row` is larger than every row before."""
        self.pending.append((row, metadata))
        self.take_in()

    def derive(self, row: int, changes: Mapping[str, str], origin: Origin) -> None:
        """Add a row that has `changes`, and for every other key what its origin has. Raises ValueError unless `row`
        is larger than every row before."""
        with self._lock:
            self.pending.append((row, changes))
            self._take_in()
            self._derived.add(row, origin)

    def take_in(self) -> None:
        """Bring the columns up to date with `pending`, from any thread. A question does so by itself; a writer does
        now and then, so that no question has to do much."""
        with self._lock:
            self._take_in()

    def _take_in(self) -> None:
        pending, known = self.pending, self._keys
        while pending:
            row, metadata = pending.popleft()
            if self._rows and row <= self._rows[-1]:
                raise ValueError(f"row {row} comes after row {self._rows[-1]}")
            grown, among_few = 0, False
            entries: Collection[tuple[str, str]] = metadata.items()
            while entries:
                typed = False
                for key, value in entries:
                    if type(value) is not str:
                        typed, value = True, str.__str__(value)
                    held = known.get(key)
                    if held is None:  # as simple as can be: a document may bring a thousand keys of its own
                        known[key] = (row, value)
                        grown += allocated(key) + _FIRST_BYTES + allocated(value)
                        among_few = True
                    elif isinstance(held, Column):
                        grown += held.add(row, value)
                    else:
                        grown += self._add_to_few(key, held, row, value)
                        among_few = True
                # Once more for the tokens of what is not text, which are texts themselves.
                entries = typed_entries(metadata) if typed else ()
            self._held += grown + (_ROW_BYTES if among_few else 0)
            self._rows.append(row)

    def _add_to_few(self, key: str, held: Few, row: int, value: str) -> int:
        """How many bytes it grew by."""
        if len(held) < 2 * _FEW:
            self._keys[key] = few = (*held, row, value)
            return allocated(few) - allocated(held) + allocated(value)
        column = UniqueColumn() if key == TEXT_ID_KEY else new_column(key)
        self._keys[key] = column
        for earlier, text in (*_pairs(held), (row, value)):
            column.add(earlier, text)
        return column.size_bytes - allocated(held) - sum(map(allocated, held[1::2]))

    def match(self, condition: Filter) -> FrozenBitMap:
        """The rows added before the call that match `condition`."""
        with self._lock:
            self._take_in()
            return self._remembered(condition, self._simplified)

    def numbers_of(self, key: str) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64]]:
        """The rows that were added with a value of `key`, ascending, and these values as numbers, NaN where one is
        none."""
        with self._lock:
            self._take_in()
            held = self._keys.get(key, ())
            if isinstance(held, Column):
                codes = np.array(held.codes, dtype=np.uint32)
                return np.array(held.rows, dtype=np.uint32), np.array(held.numbers)[codes]
            numbers = [parse_number(value) for _, value in _pairs(held)]
            rows = [row for row, _ in _pairs(held)]
        return np.array(rows, np.uint32), np.array(numbers, np.float64)

    def runs(self, key: str) -> KeyRuns:
        """The values of `key` in order, with the rows that had them before the call."""
        with self._lock:
            self._take_in()
            held, typed = self._asked(key) or None, self._keys.get(TYPED + key)
            plain: list[ValueRun] = []
            if isinstance(held, Column):
                codes, rows = np.array(held.codes), np.array(held.rows)
                plain = [run_of_codes(order, held.texts, "t", codes, rows) for order in held.codes_in_order()]
            pairs = [] if held is None or isinstance(held, Column) else list(_pairs(held))
            if self._derived.count:
                of_origins = self._derived.texts(key, lambda origin: self._own_value(key, origin))
                pairs += [pair for pair in of_origins if self._own_value(key, pair[0]) is None]
            if pairs:
                plain.append(run_of_pairs(pairs, "t"))
            if typed is None:
                return KeyRuns(plain=plain)
            ordered, nulls, texts = self._typed_runs(typed)
            typed_rows = self._carriers(TYPED + key)
            if not self._derived.count and not self._carriers(key) - typed_rows:
                plain = []
            return KeyRuns((ordered, texts), (nulls,), plain, typed_rows, repeated=True)

    def rows_in_order(self, key: str) -> FrozenBitMap:
        """The rows added before the call that have a value of `key` with an order."""
        with self._lock:
            self._take_in()
            return rows_with_order(key, lambda condition: self._on_key(condition.key, condition))

    def sizes_under(self, key: str) -> tuple[int, int]:
        """How many values `runs` has, and how many rows for them, about."""
        with self._lock:
            self._take_in()
            sizes = [self._size_of(column) for column in (key, TYPED + key)]
        return sum(values for values, _, _ in sizes), sum(rows for _, _, rows in sizes)

    def _typed_runs(self, held: Column | Few) -> list[ValueRun]:
        if not isinstance(held, Column):
            pairs = list(_pairs(held))
            tokens = sorted({token for _, token in pairs})
            return typed_runs(
                len(tokens),
                tokens.__getitem__,
                lambda first, end: run_of_pairs([pair for pair in pairs if pair[1] in tokens[first:end]], ""),
            )
        codes, rows, (order, _) = np.array(held.codes), np.array(held.rows), held.codes_in_order()
        return typed_runs(
            len(order),
            lambda place: held.texts[order[place]],
            lambda first, end: run_of_codes(order[first:end], held.texts, "", codes, rows),
        )

    def cost_us(self, condition: Filter) -> int:
        """About how many microseconds of one processor a `match` takes, when nothing is remembered."""
        with self._lock:
            self._take_in()
            simple = self._simplified(condition)
            own = cost.cost_us(simple, len(self._rows), self._size_of)
            return own + self._derived.cost_us(simple)

    def forget(self, count: int) -> int:
        """Let go of so many bytes of what is remembered, here and in the indexes that rows are derived from; how many
        it was."""
        gone = self._results.forget(count)
        return gone if gone >= count else gone + self._derived.forget(count - gone)

    def _simplified(self, condition: Filter) -> Filter:
        return simplified(without_types(condition, lambda key: TYPED + key in self._keys))

    def _asked(self, key: str) -> Column | Few:
        """What there is of a key, ready to be asked."""
        held = self._keys.get(key, ())
        if isinstance(held, UniqueColumn):
            self._held += held.catch_up()
        return held

    def _size_of(self, key: str) -> tuple[int, int, int]:
        """Values, those of them that may be numbers, and rows of a key. Numbers are in order, whatever the bound."""
        held, derived = self._asked(key), self._derived.count
        if isinstance(held, Column):
            return len(held.texts), 0, len(held.rows) + derived
        return _FEW, 0, _FEW + derived

    def _rows_of(self, key: str) -> tuple[int, bool]:
        """Entries of a column, and whether they are known to be of as many rows. A row that is derived may have any
        key, as a text."""
        held, derived = self._asked(key), 0 if is_typed_column(key) else self._derived.count
        if isinstance(held, Column):
            return len(held.rows) + derived, not held.repeated
        return len(held) // 2 + derived, False

    def _remembered(
        self, condition: Filter, simpler: Callable[[Filter], Filter] = lambda same: same
    ) -> FrozenBitMap:
        count = len(self._rows)
        known = self._results.get(condition)
        if known is not None and known[1] == count:
            return known[0]
        if known is not None and count - known[1] <= _CATCH_UP_ROWS:
            found, seen = known
            fresh = self._among(simpler(condition), self._rows[seen])
            found = found | fresh if fresh else found
        else:
            found = evaluate(
                simpler(condition), self._on_key, self._remembered, self._everything, self._rows_of
            )
        self._results.put(condition, found, count)
        return found

    def _everything(self) -> FrozenBitMap:
        rows = self._rows
        if rows and rows[-1] == len(rows) - 1:
            return everything(len(rows))
        return from_rows(np.array(rows, dtype=np.uint32))

    def _among(self, condition: Filter, first: int) -> FrozenBitMap:
        """Those of the rows from `first` on that match."""
        rows = self._rows[bisect_left(self._rows, first) :]
        return evaluate(
            condition,
            lambda key, part: FrozenBitMap(self._fresh(key, part, first)),
            lambda part: self._among(part, first),
            lambda: FrozenBitMap(rows),
            self._rows_of,
        )

    def _fresh(self, key: str, condition: Condition, first: int) -> Iterator[int]:
        held = self._asked(key)
        if isinstance(held, Column):
            start = bisect_left(held.rows, first)
            pairs = ((held.rows[at], held.texts[held.codes[at]]) for at in range(start, len(held.rows)))
        else:
            pairs = (pair for pair in _pairs(held) if pair[0] >= first)
        yield from (row for row, value in pairs if leaf_holds(condition, key, value))
        if not self._derived.count:
            return
        for row, value in self._derived.since(first, lambda origin: self._own_value(key, origin)):
            if self._own_value(key, row) is None and leaf_holds(condition, key, value):
                yield row
        for row in self._derived.matching(condition, EMPTY, first):
            if self._own_value(key, row) is None:
                yield row

    def _own_value(self, key: str, row: int) -> str | None:
        """The value that the row was added with."""
        held = self._asked(key)
        if not isinstance(held, Column):
            return next((value for other, value in _pairs(held) if other == row), None)
        at = bisect_left(held.rows, row)
        return held.texts[held.codes[at]] if at < len(held.rows) and held.rows[at] == row else None

    def _on_key(self, key: str, condition: Condition) -> FrozenBitMap:
        """The rows whose value of `key` satisfies a condition on that key alone."""
        own = self._own_on_key(key, condition)
        derived = self._derived.matching(condition, own) if self._derived.count else EMPTY
        return own | (derived - self._carriers(key)) if derived else own

    def _carriers(self, key: str) -> FrozenBitMap:
        """The rows that were added with a value of `key`."""
        held = self._asked(key)
        if isinstance(held, Column):
            return from_rows(np.array(held.rows, dtype=np.uint32))
        return FrozenBitMap([row for row, _ in _pairs(held)])

    def _own_on_key(self, key: str, condition: Condition) -> FrozenBitMap:
        """Of the values that rows were added with."""
        held = self._asked(key)
        if isinstance(held, tuple) and not held:
            return EMPTY
        if not isinstance(held, Column):
            return FrozenBitMap([row for row, value in _pairs(held) if leaf_holds(condition, key, value)])
        # A copy: an array that lends its memory out cannot grow, should an exception keep the borrower alive.
        codes = np.array(held.codes, dtype=np.uint32)
        match condition:
            case Exact(_, value) | In(_, (value,)):
                code = held.values.get(value)
                return EMPTY if code is None else _rows_where(held, codes == code)
            case Range(_, None):
                return from_rows(np.array(held.rows, dtype=np.uint32))
        marks = marks_of(chosen(condition, held.admitted, len(held.texts)), len(held.texts))
        return _rows_where(held, marks[codes])


def _pairs(few: Few) -> Iterator[tuple[int, str]]:
    """Rows and their values."""
    values = iter(few)
    return zip(values, values, strict=True)  # type: ignore[arg-type]


def _rows_where(column: Column, chosen: npt.NDArray[np.bool_]) -> FrozenBitMap:
    count, carriers = int(np.count_nonzero(chosen)), len(column.rows)
    without_gaps = not column.repeated and column.rows[-1] == carriers - 1
    if without_gaps and count > carriers // _DENSE:  # then the mask is one of rows
        return everything(carriers) if count == carriers else from_mask(chosen)
    return from_rows(np.array(column.rows, dtype=np.uint32)[chosen])
