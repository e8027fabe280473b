"""The values under a key in the order of their tokens, with the rows that have each: what listings by value and
facets go through.

The typed column of a key is in that order. Of the other column those values that are no numbers are, and those that
are have an order by text beside them. So the values of a key are some runs, each in order; nothing is sorted that an
index does not keep sorted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from pyroaring import FrozenBitMap

from pykyro.index.metadata.bitmaps import EMPTY
from pykyro.index.metadata.frozen_column import FrozenColumn
from pykyro.index.metadata.typed_columns import TYPED, Leaf, Span
from pykyro.model.filter import Range

Positions: TypeAlias = npt.NDArray[np.int64]
RowNumbers: TypeAlias = npt.NDArray[np.int64]
_KINDS: Final = ("b", "j"), ("n", "o"), ("t", "u")
"""Where tokens begin that have an order and are no texts, null, and texts; and the first text behind them."""


class ValueRun(Protocol):
    """Values in the order of their tokens, each at its place, from 0 to `size` - 1."""

    @property
    def size(self) -> int: ...

    def token(self, place: int) -> str: ...

    def counts(self, first: int, end: int) -> Positions:
        """How many rows have each of these values."""
        ...

    def entries(self, first: int, end: int) -> tuple[Positions, RowNumbers]:
        """The rows that have one of these values, each with the place of the value, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class KeyRuns:
    """All values of a key. A row may be several times in the typed runs, and else is once in a plain one."""

    ordered: Sequence[ValueRun] = ()
    """Typed values that have an order, those of a run before those of the next."""
    nulls: Sequence[ValueRun] = ()
    plain: Sequence[ValueRun] = ()
    """Of texts; rows of `typed_rows` do not count there. None when no others are left."""
    typed_rows: FrozenBitMap = field(default=EMPTY)
    repeated: bool = False
    """Whether a row may be several times in `ordered`."""


def typed_runs(size: int, token: Callable[[int], str], run: Callable[[int, int], ValueRun]) -> list[ValueRun]:
    """The runs of a typed column in order, given its tokens in order and what makes a run of those from one place to
    another: what has an order and is no text, null, texts."""
    found = []
    for low, high in _KINDS:
        first, end = (bisect_left(range(size), bound, key=token) for bound in (low, high))
        found.append(run(first, max(first, end)))
    return found


def rows_with_order(key: str, rows_of: Callable[[Leaf], FrozenBitMap]) -> FrozenBitMap:
    """The rows that have a value of `key` with an order, given those that match a condition on one column."""
    typed = TYPED + key
    numbers, _, texts = (Span(typed, low, high, high_open=True) for low, high in _KINDS)
    plain = rows_of(Range(key, None)) - rows_of(Range(typed, None))
    return plain | rows_of(numbers) | rows_of(texts)


@dataclass(frozen=True, slots=True)
class FrozenRun:
    """Values of a column of a segment."""

    column: FrozenColumn
    prefix: str
    """What a text lacks to be a token."""
    places: npt.NDArray[np.uint32] | range
    """Of the values, in the column from `offset` on."""
    offset: int
    val_rows: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.uint32]

    @property
    def size(self) -> int:
        return len(self.places)

    def token(self, place: int) -> str:
        return self.prefix + self.column.text(self.offset + int(self.places[place])).decode(
            "utf-8", "surrogatepass"
        )

    def counts(self, first: int, end: int) -> Positions:
        starts, ends = self._bounds(first, end)
        return ends - starts

    def entries(self, first: int, end: int) -> tuple[Positions, RowNumbers]:
        starts, ends = self._bounds(first, end)
        counts = ends - starts
        positions = np.repeat(np.arange(first, end, dtype=np.int64), counts)
        if not len(positions):
            return positions, positions
        if isinstance(self.places, range):
            return positions, self.rows[starts[0] : ends[-1]].astype(np.int64)
        before = np.repeat(starts - (np.cumsum(counts) - counts), counts)
        return positions, self.rows[before + np.arange(len(positions))].astype(np.int64)

    def _bounds(self, first: int, end: int) -> tuple[Positions, Positions]:
        """Where the rows of each value begin and end."""
        first_value, places = self.column.first + self.offset, self.places[first:end]
        if isinstance(places, range):
            start, stop = first_value + places.start, first_value + places.stop
            bounds: Positions = self.val_rows[start : stop + 1].astype(np.int64)
            return bounds[:-1], bounds[1:]
        at = places.astype(np.int64) + first_value
        return self.val_rows[at].astype(np.int64), self.val_rows[at + 1].astype(np.int64)


class GrownRun:
    """Values of a column that grows, as they were when this was made."""

    __slots__ = ("_counts", "_places", "_rows", "_token", "size")

    def __init__(
        self, size: int, token: Callable[[int], str], places: npt.NDArray[Any], rows: npt.NDArray[Any]
    ) -> None:
        """`places` and `rows` go together: which value a row has."""
        self.size = size
        self._token = token
        self._places = places.astype(np.int64)
        self._rows = rows.astype(np.int64)
        self._counts = np.bincount(self._places, minlength=size)

    def token(self, place: int) -> str:
        return self._token(place)

    def counts(self, first: int, end: int) -> Positions:
        return self._counts[first:end]

    def entries(self, first: int, end: int) -> tuple[Positions, RowNumbers]:
        if (first, end) == (0, self.size):
            return self._places, self._rows
        chosen = (self._places >= first) & (self._places < end)
        return self._places[chosen], self._rows[chosen]


def run_of_codes(
    order: Sequence[int], texts: Sequence[str], prefix: str, codes: npt.NDArray[Any], rows: npt.NDArray[Any]
) -> GrownRun:
    """The run of the values with these codes, in this order; `codes` and `rows` are those of the whole column."""
    place_of = np.full(len(texts), -1, dtype=np.int64)
    place_of[np.array(order, dtype=np.int64)] = np.arange(len(order))
    places = place_of[codes]
    return GrownRun(
        len(order), lambda place: prefix + texts[order[place]], places[places >= 0], rows[places >= 0]
    )


def run_of_pairs(pairs: Iterable[tuple[int, str]], prefix: str) -> GrownRun:
    """The run of these rows and values."""
    rows, texts = zip(*held, strict=True) if (held := list(pairs)) else ((), ())
    distinct = sorted(set(texts))
    codes = {text: code for code, text in enumerate(distinct)}
    places = np.array([codes[text] for text in texts], dtype=np.int64)
    return run_of_codes(range(len(distinct)), distinct, prefix, places, np.array(rows, dtype=np.int64))
