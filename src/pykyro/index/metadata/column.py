"""One metadata key as a column that grows: which row has which value."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import partial
from math import isnan
from sys import getsizeof
from typing import Any, Final

import numpy as np

from pykyro.index.metadata.typed_columns import Leaf, Scan, Span, is_typed_column
from pykyro.index.metadata.value_sets import Marks
from pykyro.model.filter import Exact, In, Range
from pykyro.model.number import RangeOperator, exact_order, parse_number

_TALL: Final = 64
"""Rows or values added between two looks at how much memory a column takes, once it has as many."""
_FEW_NEW: Final = 8
"""One in so many values may be new for an order to be kept up value by value; of more it is made again."""
_CODE_BYTES: Final = 32
"""An integer; a small one, which the interpreter has anyway, is not worth telling apart."""
_GATHERED_BYTES: Final = 14
"""What refers to a value that is only gathered, and its row."""
_TEXT_BYTES: Final = 57
"""A text beside its letters, in the units in which memory is given out."""


class Column:
    """The values of one key, in order of first appearance, and the rows that carry it, ascending.

    `values` maps a value to its code. `texts`, `numbers` and `is_number` are indexed by code; a number is NaN where
    the value is none. `rows` and `codes` go together, one entry for each row with the key. In a TypedColumn, whose
    rows may be `repeated`, it is one for each value of a row.
    """

    __slots__ = (
        "_orders",
        "_table_bytes",
        "_text_bytes",
        "codes",
        "is_number",
        "numbers",
        "repeated",
        "rows",
        "texts",
        "values",
    )

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.texts: list[str] = []
        self.numbers = array("d")
        self.is_number = bytearray()
        self.rows = array("I")
        self.codes = array("I")
        self.repeated = False
        self._orders: ValueOrders | None = None
        self._text_bytes = self._table_bytes = 0
        self._measure()

    def add(self, row: int, value: str) -> int:
        """Note that `row`, larger than any before, has `value`; how many bytes `size_bytes` grew by."""
        code = self.values.setdefault(value, len(self.values))
        self.rows.append(row)
        self.codes.append(code)
        if code != len(self.numbers):
            return 0 if len(self.rows) % _TALL else self._measure()
        self.texts.append(value)
        number = parse_number(value)
        self.is_number.append(number is not None)
        self.numbers.append(float("nan") if number is None else number)
        grown = (len(value) + _TEXT_BYTES if value.isascii() else getsizeof(value)) + _CODE_BYTES
        self._text_bytes += grown
        # What holds many grows by a sixteenth at least when it grows, what holds few by a few.
        return grown if code % _TALL and code > _TALL else grown + self._measure()

    @property
    def size_bytes(self) -> int:
        """Memory the column takes, its texts included; tables as of the last look."""
        return self._text_bytes + self._table_bytes

    def admitted(self, leaf: Leaf) -> Marks:
        """Whether each value, by code, satisfies a condition."""
        size = len(self.texts)
        match leaf:
            case Range(_, None):
                return np.ones(size, dtype=np.bool_)
            case Range(_, op, bound) if op is not None:
                return self._ordered().admitted(op, bound)
            case Span():
                return self._ordered().spanned(leaf)
            case Scan():
                return np.array([leaf.holds(text) for text in self.texts], dtype=np.bool_)
            case Exact(_, value):
                codes = [self.values[value]] if value in self.values else []
            case In(_, values):
                codes = [self.values[value] for value in values if value in self.values]
        marks = np.zeros(size, dtype=np.bool_)
        marks[codes] = True
        return marks

    def codes_in_order(self) -> tuple[array[int], array[int]]:
        """The codes of all values by text: of those that are no numbers, and of those that are."""
        return self._ordered().by_text()

    def _ordered(self) -> ValueOrders:
        if self._orders is None:
            self._orders = ValueOrders(self)
        return self._orders

    def _measure(self) -> int:
        before = self._table_bytes
        parts = (self, self.values, self.texts, self.numbers, self.is_number, self.rows, self.codes)
        self._table_bytes = sum(map(allocated, parts))
        if self._orders is not None:
            self._table_bytes += self._orders.size_bytes
        return self._table_bytes - before


class TypedColumn(Column):
    """A typed column (pykyro.index.metadata.typed_columns): a row that has several values comes once with each."""

    __slots__ = ()

    def add(self, row: int, value: str) -> int:
        """Note that `row`, no smaller than any before, has `value`; how many bytes `size_bytes` grew by."""
        if self.rows and self.rows[-1] == row:
            self.repeated = True
        return super().add(row, value)


class UniqueColumn(Column):
    """A column that has another value in every row, and is seldom asked: values are only gathered, until `catch_up`
    takes them in."""

    __slots__ = ("_gathered", "_gathered_bytes", "_gathered_rows")

    def __init__(self) -> None:
        super().__init__()
        self._gathered: list[str] = []
        self._gathered_rows = array("I")
        self._gathered_bytes = 0

    def add(self, row: int, value: str) -> int:
        """Gather the value of `row`, larger than any before; how many bytes `size_bytes` grew by."""
        self._gathered.append(value)
        self._gathered_rows.append(row)
        grown = _TEXT_BYTES + _GATHERED_BYTES + (len(value) if value.isascii() else 4 * len(value))
        self._gathered_bytes += grown
        self._text_bytes += grown
        return grown

    def catch_up(self) -> int:
        """Take in what was gathered, before the column is asked; how many bytes `size_bytes` grew by."""
        if not self._gathered:
            return 0
        before = self.size_bytes
        self._text_bytes -= self._gathered_bytes
        values, rows, self._gathered_bytes = self._gathered, self._gathered_rows, 0
        self._gathered, self._gathered_rows = [], array("I")
        for row, value in zip(rows, values, strict=True):
            super().add(row, value)
        self._measure()
        return self.size_bytes - before


def new_column(name: str) -> Column:
    """A column of this name without values."""
    return TypedColumn() if is_typed_column(name) else Column()


def allocated(thing: object) -> int:
    """What a thing takes: its own size, in the units in which the allocator gives memory out."""
    return (getsizeof(thing) + 15) & ~15


class ValueOrders:
    """The values of a column in order, so that a range is found by bisection: by text those that are no numbers, by
    text those that are, and these by number, without NaN. Values that came since the last question are put in when
    the next is asked."""

    __slots__ = ("_column", "_numbers", "_numbers_by_text", "_seen", "_texts")

    def __init__(self, column: Column) -> None:
        self._column = column
        self._texts = array("I")
        self._numbers_by_text = array("I")
        self._numbers = array("I")
        self._seen = 0

    @property
    def size_bytes(self) -> int:
        """Memory the orders take."""
        return sum(map(allocated, (self, self._texts, self._numbers_by_text, self._numbers)))

    def admitted(self, op: RangeOperator, bound: str) -> Marks:
        """Whether each value, by code, lies in the range."""
        self._catch_up()
        marks = np.zeros(self._seen, dtype=np.bool_)
        number = parse_number(bound)
        _mark(marks, self._texts, op, bound, self._text)
        if number is None:
            _mark(marks, self._numbers_by_text, op, bound, self._text)
        elif not isnan(number):
            _mark(marks, self._numbers, op, _Number(number, bound), self._number)
        return marks

    def spanned(self, span: Span) -> Marks:
        """Whether each value, by code, lies in the span."""
        self._catch_up()
        marks = np.zeros(self._seen, dtype=np.bool_)
        for order in (self._texts, self._numbers_by_text):
            start, end = 0, len(order)
            if span.low is not None:
                cut_at = bisect_right if span.low_open else bisect_left
                start = cut_at(order, span.low, key=self._text)
            if span.high is not None:
                cut_at = bisect_left if span.high_open else bisect_right
                end = cut_at(order, span.high, key=self._text)
            marks[np.frombuffer(order[start:end], dtype=np.uint32)] = True
        return marks

    def by_text(self) -> tuple[array[int], array[int]]:
        """The codes of the values that are no numbers, and of those that are, by text."""
        self._catch_up()
        return self._texts[:], self._numbers_by_text[:]

    def _text(self, code: int) -> str:
        return self._column.texts[code]

    def _number(self, code: int) -> _Number:
        return _Number(self._column.numbers[code], self._column.texts[code])

    def _catch_up(self) -> None:
        column, seen = self._column, self._seen
        if seen == len(column.texts):
            return
        fresh = range(seen, len(column.texts))
        numbers = [code for code in fresh if column.is_number[code]]
        self._texts = _merged(self._texts, [code for code in fresh if not column.is_number[code]], self._text)
        self._numbers_by_text = _merged(self._numbers_by_text, numbers, self._text)
        real = [code for code in numbers if not isnan(column.numbers[code])]
        self._numbers = _merged(self._numbers, real, self._number)
        self._seen = len(column.texts)


class _Number:
    """A number that compares by its float64, and by its digits with others that have the same."""

    __slots__ = ("number", "text")

    def __init__(self, number: float, text: str) -> None:
        self.number = number
        self.text = text

    def __lt__(self, other: _Number) -> bool:
        if self.number != other.number:
            return self.number < other.number
        return exact_order(self.text) < exact_order(other.text)


def _merged(order: array[int], fresh: list[int], key: Callable[[int], Any]) -> array[int]:
    """The codes in order with the fresh ones among them."""
    if len(fresh) > len(order) // _FEW_NEW:
        return array("I", sorted([*order, *fresh], key=key))
    for code in fresh:
        order.insert(bisect_right(order, key(code), key=key), code)
    return order


def _mark(marks: Marks, order: array[int], op: RangeOperator, bound: Any, key: Callable[[int], Any]) -> None:
    """Mark the codes on the right side of a bound."""
    cut_at = partial(bisect_left if op in ("gte", "lt") else bisect_right, order, bound, key=key)
    cut = cut_at()
    kept = order[cut:] if op in ("gte", "gt") else order[:cut]
    marks[np.frombuffer(kept, dtype=np.uint32)] = True
