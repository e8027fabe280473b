"""The metadata index of a segment: opened from arrays that never change, answered with vector operations."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pyroaring import FrozenBitMap

from pykyro.index.metadata.bitmaps import EMPTY, Leaf, evaluate, everything, from_mask, from_rows
from pykyro.index.metadata.result_cache import ResultCache
from pykyro.index.metadata.section_checks import checked_sections
from pykyro.index.metadata.sections import CODE_DTYPES, dense_from, utf8
from pykyro.model.filter import COMPARE, Exact, Filter, In, Range, RangeOperator
from pykyro.model.number import ExactOrder, exact_order, parse_number

CACHE_BYTES: Final = 4 << 20
_SEPARATE_VALUES_MAX: Final = 16
"""Up to this many values are looked up one by one and united, more in one pass over the column."""
_TIES_COMPARED_MAX: Final = 16
"""Numbers with one float64, up to which each is compared; of more the order is found out and remembered."""
_TIE_ORDERS_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class _Column:
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


class FrozenMetadataIndex:
    """Which rows of a segment match a filter. Nothing changes it, so any thread may ask at any time.

    What filters and their parts matched is remembered in up to `cache_bytes`.
    """

    def __init__(
        self, sections: Mapping[str, npt.NDArray[Any]], rows: int, cache_bytes: int = CACHE_BYTES
    ) -> None:
        """`sections` is what build_sections made for `rows`; the arrays may be mapped read-only.

        Raises ValueError when an array is missing, of another type, or at odds with the others.
        """
        self._rows = rows
        self._sections = checked_sections(sections, rows)
        self._val_ends = self._sections["val_ends"].data
        self._val_text = self._sections["val_text"].data
        self._val_rows = self._sections["val_rows"].data
        self._listed = self._sections["rows"]
        key_ends, key_text = self._sections["key_ends"].tolist(), self._sections["key_text"].tobytes()
        self._keys = {key_text[key_ends[i] : key_ends[i + 1]]: i for i in range(len(key_ends) - 1)}
        self._key_parts = {
            name: self._sections[name].tolist()
            for name in ("key_values", "key_numbers", "code_width", "code_starts")
        }
        self._results = ResultCache(cache_bytes)
        self._tie_orders: dict[tuple[int, int], npt.NDArray[np.uint32]] = {}
        """By column and first place, the places of numbers with one float64 as the numbers themselves ascend."""

    def match(self, condition: Filter) -> FrozenBitMap:
        """The rows that match `condition`."""
        known = self._results.get(condition)
        if known is not None:
            return known[0]
        if isinstance(condition, Exact | In | Range):
            found = self._leaf(condition)
        else:
            found = evaluate(condition, self.match, lambda: everything(self._rows))
        self._results.put(condition, found)
        return found

    def _leaf(self, leaf: Leaf) -> FrozenBitMap:
        number = self._keys.get(utf8(leaf.key))
        if number is None:
            return EMPTY
        column = self._column(number)
        match leaf:
            case Exact(_, value):
                return self._some(column, self._places(column, (value,)))
            case In(_, values):
                return self._some(column, self._places(column, values))
            case Range(_, op, bound):
                return self._run(column, 0, column.size) if op is None else self._range(column, op, bound)

    def _column(self, number: int) -> _Column:
        """The column of a key by its number; made for each question, so that keys nobody asks for cost
        little."""
        sections, key = self._sections, self._key_parts
        first, end = key["key_values"][number], key["key_values"][number + 1]
        num_first, num_end = key["key_numbers"][number], key["key_numbers"][number + 1]
        codes, width = None, key["code_width"][number]
        if width:
            start = key["code_starts"][number]
            codes = sections["codes"][start : start + self._rows * width].view(CODE_DTYPES[width])

        def text(place: int) -> bytes:
            start, end = self._val_ends[first + place], self._val_ends[first + place + 1]
            return bytes(self._val_text[start:end])

        return _Column(
            text=text,
            first=first,
            size=end - first,
            texts=end - first - (num_end - num_first),
            num_values=sections["num_values"][num_first:num_end],
            num_order=sections["num_order"][num_first:num_end],
            codes=codes,
        )

    def _places(self, column: _Column, values: Iterable[str]) -> list[int]:
        """The places, ascending, of those `values` the column has."""
        places = []
        for value in set(values):
            start, end = 0, column.texts
            number = parse_number(value)
            if number is not None:
                start = column.texts + int(np.searchsorted(column.num_values, number, side="left"))
                end = column.texts + int(np.searchsorted(column.num_values, number, side="right"))
            needle = utf8(value)
            place = bisect_left(range(column.size), needle, start, end, key=column.text)
            if place < end and column.text(place) == needle:
                places.append(place)
        return sorted(places)

    def _range(self, column: _Column, op: RangeOperator, bound: str) -> FrozenBitMap:
        # The values kept are those behind or before a cut, which lies before the values equal to the bound or
        # behind them.
        equal_behind, keeps_behind = op in ("gte", "lt"), op in ("gte", "gt")
        cut_at = bisect_left if equal_behind else bisect_right

        def kept(cut: int, count: int) -> tuple[int, int]:
            return (cut, count) if keeps_behind else (0, cut)

        needle = utf8(bound)
        start, end = kept(cut_at(range(column.texts), needle, key=column.text), column.texts)
        matched = self._run(column, start, end)
        number = parse_number(bound)
        if number is None:  # then numbers too are compared by their bytes
            order = column.num_order
            cut = cut_at(order, needle, key=lambda place: column.text(column.texts + place))
            start, end = kept(cut, len(order))
            return matched | self._some(column, (column.texts + np.sort(order[start:end])).tolist())
        if isnan(number):
            return matched
        real = column.num_values[: np.searchsorted(column.num_values, np.nan)]
        tied_from, tied_to = (int(np.searchsorted(real, number, side=side)) for side in ("left", "right"))
        tied = self._tied(column, tied_from, tied_to, op, bound) if tied_from < tied_to else []
        if len(tied) == tied_to - tied_from:
            start, end = (tied_from, len(real)) if keeps_behind else (0, tied_to)
            return matched | self._run(column, column.texts + start, column.texts + end)
        start, end = (tied_to, len(real)) if keeps_behind else (0, tied_from)
        rest = self._run(column, column.texts + start, column.texts + end)
        return matched | rest | self._some(column, tied)

    def _tied(self, column: _Column, start: int, end: int, op: RangeOperator, bound: str) -> list[int]:
        """The places, ascending, of those numbers from `start` to `end` that are in the range.

        They all have the float64 of the bound, so their digits decide.
        """

        def order_at(place: int) -> ExactOrder:
            return exact_order(column.text(column.texts + place).decode("ascii"))

        compare, order = COMPARE[op], exact_order(bound)
        if end - start <= _TIES_COMPARED_MAX:
            return [column.texts + place for place in range(start, end) if compare(order_at(place), order)]
        places = self._tie_orders.get((column.first, start))
        if places is None:
            places = np.array(sorted(range(start, end), key=order_at), dtype=np.uint32)
            if len(self._tie_orders) >= _TIE_ORDERS_MAX:
                self._tie_orders.clear()
            self._tie_orders[column.first, start] = places
        cut = (bisect_left if op in ("gte", "lt") else bisect_right)(places, order, key=order_at)
        kept = places[cut:] if op in ("gte", "gt") else places[:cut]
        return [column.texts + place for place in sorted(kept.tolist())]

    def _run(self, column: _Column, start: int, end: int) -> FrozenBitMap:
        """The rows whose value's place is in a range."""
        if start == end:
            return EMPTY
        first_row, end_row = self._val_rows[column.first + start], self._val_rows[column.first + end]
        count = end_row - first_row
        if count == self._rows:
            return everything(self._rows)
        if column.codes is None or count <= dense_from(self._rows):
            rows = self._listed[first_row:end_row]
            return from_rows(rows if end - start == 1 else np.sort(rows))
        if end - start == 1:
            return from_mask(column.codes == start + 1)
        # Unsigned numbers wrap: rows with a smaller code, or none, become too large.
        return from_mask((column.codes - (start + 1)) < end - start)

    def _some(self, column: _Column, places: list[int]) -> FrozenBitMap:
        """The rows whose value's place is among `places`."""
        if len(places) == 1:
            return self._run(column, places[0], places[0] + 1)
        if len(places) <= _SEPARATE_VALUES_MAX:
            return EMPTY.union(*(self._run(column, place, place + 1) for place in places))
        admitted = np.zeros(column.size + 1, dtype=np.bool_)
        admitted[1:][places] = True
        if column.codes is not None:
            return from_mask(admitted.take(column.codes))
        bounds = self._sections["val_rows"][column.first : column.first + column.size + 1].astype(np.int64)
        rows = self._listed[bounds[0] : bounds[-1]]
        return from_rows(np.sort(rows[np.repeat(admitted[1:], np.diff(bounds))]))
