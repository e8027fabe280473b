"""One key of an immutable index: which of its values a condition admits."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isnan
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from pykyro.index.metadata.sections import utf8
from pykyro.index.metadata.typed_columns import Leaf, Scan, Span
from pykyro.index.metadata.value_sets import Runs, ValueSet, runs_of, union
from pykyro.model.filter import Exact, In, Range
from pykyro.model.number import COMPARE, ExactOrder, RangeOperator, exact_order, parse_number

_TIES_COMPARED_MAX: Final = 16
"""Numbers with one float64, up to which each is compared; of more the order is found out and remembered."""
_TIE_ORDERS_MAX: Final = 1024
_PAUSE_EVERY: Final = 256
"""Values looked up between two pauses, some microseconds each."""

TieOrders: TypeAlias = dict[tuple[int, int], npt.NDArray[np.uint32]]
"""By column and first place, the places of numbers with one float64 as the numbers themselves ascend."""


@dataclass(frozen=True, slots=True)
class FrozenColumn:
    """One key's part of the sections. A value's place is counted from the first value of the key."""

    text: Callable[[int], bytes]
    """The UTF-8 of the value at a place."""

    first: int
    size: int
    texts: int
    """Values that are no numbers; they come first."""
    num_values: npt.NDArray[np.float64]
    num_order: npt.NDArray[np.uint32]
    codes: npt.NDArray[Any] | None
    tie_orders: TieOrders
    pause: Callable[[], None]
    repeated: bool = False
    """Whether a row may have several values."""

    def admitted(self, leaf: Leaf) -> ValueSet:
        """The values that satisfy a condition."""
        self.pause()
        match leaf:
            case Exact(_, value):
                return runs_of(self._places((value,)))
            case In(_, values):
                return runs_of(self._places(values))
            case Span():
                return self._spanned(leaf)
            case Scan():
                return self._scanned(leaf)
            case Range(_, op, bound):
                return self._run(0, self.size) if op is None else self._range(op, bound)

    def _places(self, values: Iterable[str]) -> list[int]:
        """The places, ascending, of those `values` the column has."""
        places = []
        for looked_up, value in enumerate(set(values), 1):
            if not looked_up % _PAUSE_EVERY:
                self.pause()
            start, end = 0, self.texts
            number = parse_number(value)
            if number is not None:
                start = self.texts + int(np.searchsorted(self.num_values, number, side="left"))
                end = self.texts + int(np.searchsorted(self.num_values, number, side="right"))
            needle = utf8(value)
            place = bisect_left(range(self.size), needle, start, end, key=self.text)
            if place < end and self.text(place) == needle:
                places.append(place)
        return sorted(places)

    def _range(self, op: RangeOperator, bound: str) -> ValueSet:
        # The values kept are those behind or before a cut, which lies before the values equal to the bound or
        # behind them.
        equal_behind, keeps_behind = op in ("gte", "lt"), op in ("gte", "gt")
        cut_at = bisect_left if equal_behind else bisect_right

        def kept(cut: int, count: int) -> tuple[int, int]:
            return (cut, count) if keeps_behind else (0, cut)

        needle = utf8(bound)
        matched = self._run(*kept(cut_at(range(self.texts), needle, key=self.text), self.texts))
        number = parse_number(bound)
        if number is None:  # then numbers too are compared by their bytes
            order = self.num_order
            if not len(order):
                return matched
            cut = cut_at(order, needle, key=lambda place: self.text(self.texts + place))
            start, end = kept(cut, len(order))
            marks = np.zeros(self.size, dtype=np.bool_)
            marks[self.texts + order[start:end].astype(np.int64)] = True
            return union([matched, marks], self.size)
        if isnan(number):
            return matched
        real = self.num_values[: np.searchsorted(self.num_values, np.nan)]
        tied_from, tied_to = (int(np.searchsorted(real, number, side=side)) for side in ("left", "right"))
        start, end = (tied_to, len(real)) if keeps_behind else (0, tied_from)
        rest = self._run(self.texts + start, self.texts + end)
        tied = self._tied(tied_from, tied_to, op, bound) if tied_from < tied_to else []
        return union([matched, rest, runs_of(tied)], self.size)

    def _spanned(self, span: Span) -> ValueSet:
        """The values in a span: texts are a run, numbers are where their bytes lie in it."""
        first, end = _cuts(span, range(self.texts), self.text)
        matched = self._run(first, end)
        order = self.num_order
        if not len(order):
            return matched
        first, end = _cuts(span, order, lambda place: self.text(self.texts + int(place)))
        marks = np.zeros(self.size, dtype=np.bool_)
        marks[self.texts + order[first:end].astype(np.int64)] = True
        return union([matched, marks], self.size)

    def _scanned(self, scan: Scan) -> ValueSet:
        places = []
        for place in range(self.size):
            if not (place + 1) % _PAUSE_EVERY:
                self.pause()
            if scan.holds(self.text(place).decode("utf-8", "surrogatepass")):
                places.append(place)
        return runs_of(places)

    def _run(self, start: int, end: int) -> Runs:
        return [(start, end)] if start < end else []

    def _tied(self, start: int, end: int, op: RangeOperator, bound: str) -> list[int]:
        """The places, ascending, of those numbers from `start` to `end` that are in the range.

        They all have the float64 of the bound, so their digits decide.
        """

        def order_at(place: int) -> ExactOrder:
            return exact_order(self.text(self.texts + place).decode("ascii"))

        compare, order = COMPARE[op], exact_order(bound)
        if end - start <= _TIES_COMPARED_MAX:
            return [self.texts + place for place in range(start, end) if compare(order_at(place), order)]
        places = self.tie_orders.get((self.first, start))
        if places is None:
            places = np.array(sorted(range(start, end), key=order_at), dtype=np.uint32)
            if len(self.tie_orders) >= _TIE_ORDERS_MAX:
                self.tie_orders.clear()
            self.tie_orders[self.first, start] = places
        cut = (bisect_left if op in ("gte", "lt") else bisect_right)(places, order, key=order_at)
        kept = places[cut:] if op in ("gte", "gt") else places[:cut]
        return [self.texts + place for place in sorted(kept.tolist())]


def _cuts(span: Span, places: Any, text: Callable[[int], bytes]) -> tuple[int, int]:
    """Where a span begins and ends among places in the order of their texts."""
    first, end = 0, len(places)
    if span.low is not None:
        first = (bisect_right if span.low_open else bisect_left)(places, utf8(span.low), key=text)
    if span.high is not None:
        end = (bisect_left if span.high_open else bisect_right)(places, utf8(span.high), key=text)
    return first, max(first, end)
