"""The metadata index of a segment: opened from arrays that never change, answered with vector operations."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from math import inf, isnan
from sys import getsizeof
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pyroaring import AbstractBitMap, FrozenBitMap

from pykyro.index.metadata import cost
from pykyro.index.metadata.bitmaps import EMPTY, evaluate, everything, from_mask, from_rows, rows_of
from pykyro.index.metadata.frozen_column import FrozenColumn, TieOrders
from pykyro.index.metadata.result_cache import ResultCache
from pykyro.index.metadata.section_checks import checked_sections
from pykyro.index.metadata.sections import CODE_DTYPES, dense_from, utf8
from pykyro.index.metadata.simplify import simplified
from pykyro.index.metadata.typed_columns import TYPED, Condition, Scan, Span, without_types
from pykyro.index.metadata.value_runs import FrozenRun, KeyRuns, ValueRun, rows_with_order, typed_runs
from pykyro.index.metadata.value_sets import Marks, ValueSet, chosen, marks_of
from pykyro.memory.account import Account
from pykyro.model.filter import Exact, Filter, In, Range
from pykyro.model.typed_filter import Among, Between, Present, TextMatch

CACHE_BYTES: Final = 4 << 20
_SEPARATE_RUNS_MAX: Final = 16
"""Up to this many runs of values are looked up one by one and united, more in one pass over the column."""
_KEYS_IN_MEMORY_MAX: Final = 4096
"""Of so many keys the numbers are kept, some 200 bytes a key; more are found by bisection of what is mapped."""
_KEY_BYTES: Final = 75
_TYPED: Final = utf8(TYPED)
_INDEX_BYTES: Final = 4 << 10


def _no_pause() -> None:
    pass


class FrozenMetadataIndex:
    """Which rows of a segment match a filter. Nothing changes it, so any thread may ask at any time.

    What filters and their parts matched is remembered in up to `cache_bytes`, charged to `cache_account`.
    """

    def __init__(
        self,
        sections: Mapping[str, npt.NDArray[Any]],
        rows: int,
        cache_bytes: int = CACHE_BYTES,
        cache_account: Account | None = None,
    ) -> None:
        """`sections` is what build_sections made for `rows`; the arrays may be mapped read-only.

        Raises ValueError when an array is missing, of another type, or at odds with the others.
        """
        self._rows = rows
        self._sections = checked_sections(sections, rows)
        # A memoryview gives a number at a place in a third of the time of an array.
        self._ends = {name: section.data for name, section in self._sections.items()}
        self._keys = len(self._sections["code_width"])
        self._key_numbers: dict[bytes, int] | None = None
        if self._keys <= _KEYS_IN_MEMORY_MAX:
            self._key_numbers = {self._key_text(number): number for number in range(self._keys)}
        self._results = ResultCache(cache_bytes, cache_account)
        self._tie_orders: TieOrders = {}

    def match(self, condition: Condition, pause: Callable[[], None] = _no_pause) -> FrozenBitMap:
        """The rows that match `condition`.

        `pause` is called between any two steps, of which none takes much more than a millisecond for each million
        rows, so that others may have the thread.
        """
        known = self._results.get(condition)
        if known is not None:
            return known[0]
        found = self._match(self._simplified(condition), pause)
        self._results.put(condition, found)
        return found

    def runs(self, key: str) -> KeyRuns:
        """The values of `key` in order, with their rows."""
        number, typed = self._number_of(utf8(key)), self._number_of(utf8(TYPED + key))
        plain: Sequence[ValueRun] = ()
        if number is not None:
            column = self._column(number, _no_pause)
            plain = (
                self._run_of(column, "t", range(column.texts)),
                self._run_of(column, "t", column.num_order, column.texts),
            )
        if typed is None:
            return KeyRuns(plain=plain)
        tokens = self._column(typed, _no_pause)
        ordered, nulls, texts = typed_runs(
            tokens.size,
            lambda place: tokens.text(place).decode("utf-8", "surrogatepass"),
            lambda first, end: self._run_of(tokens, "", range(first, end)),
        )
        typed_rows = self.match(Range(TYPED + key, None))
        if plain and not self.match(Range(key, None)) - typed_rows:
            plain = ()
        return KeyRuns((ordered, texts), (nulls,), plain, typed_rows, tokens.repeated)

    def _run_of(
        self, column: FrozenColumn, prefix: str, places: npt.NDArray[np.uint32] | range, offset: int = 0
    ) -> FrozenRun:
        sections = self._sections
        return FrozenRun(column, prefix, places, offset, sections["val_rows"], sections["rows"])

    def rows_in_order(self, key: str) -> FrozenBitMap:
        """The rows that have a value of `key` with an order."""
        return rows_with_order(key, self.match)

    def sizes_under(self, key: str) -> tuple[int, int]:
        """How many values `runs` has, and how many rows for them, about."""
        sizes = [self._size_of(column) for column in (key, TYPED + key)]
        return sum(values for values, _, _ in sizes), sum(rows for _, _, rows in sizes)

    def texts_of(self, key: str, rows: AbstractBitMap) -> dict[int, str]:
        """The text forms that those of `rows` have under `key` which have any."""
        number = self._number_of(utf8(key))
        if number is None:
            return {}
        column, wanted = self._column(number, _no_pause), rows_of(rows).astype(np.int64)
        if column.codes is not None:
            places, found = column.codes[wanted].astype(np.int64) - 1, wanted
            places, found = places[places >= 0], found[places >= 0]
        else:
            places, carriers = self._run_of(column, "", range(column.size)).entries(0, column.size)
            among = np.isin(carriers, wanted)
            places, found = places[among], carriers[among]
        return {
            row: column.text(place).decode("utf-8", "surrogatepass")
            for row, place in zip(found.tolist(), places.tolist(), strict=True)
        }

    @property
    def size_bytes(self) -> int:
        """Memory the index takes beside the arrays, which may be mapped; what is remembered comes on top."""
        keys = self._key_numbers
        return _INDEX_BYTES + (0 if keys is None else getsizeof(keys) + _KEY_BYTES * len(keys))

    def numbers_between(self, key: str, first: float, last: float) -> npt.NDArray[np.uint32]:
        """The rows whose value of `key` is a number from `first` to `last`, in any order. Not remembered."""
        number = self._number_of(utf8(key))
        if number is None:
            return np.empty(0, np.uint32)
        column = self._column(number, _no_pause)
        start = column.texts + int(np.searchsorted(column.num_values, first, side="left"))
        end = column.texts + int(np.searchsorted(column.num_values, last, side="right"))
        val_rows = self._ends["val_rows"]
        rows: npt.NDArray[np.uint32] = self._sections["rows"][
            val_rows[column.first + start] : val_rows[column.first + end]
        ]
        return rows

    def least_number(self, key: str, above: float) -> float:
        """The smallest number above this one that is a value of `key`; infinity when there is none."""
        number = self._number_of(utf8(key))
        if number is None:
            return inf
        numbers = self._column(number, _no_pause).num_values
        at = int(np.searchsorted(numbers, above, side="right"))
        return float(numbers[at]) if at < len(numbers) and not isnan(numbers[at]) else inf

    def cost_us(self, condition: Condition) -> int:
        """About how many microseconds of one processor a `match` takes, when nothing is remembered."""
        return cost.cost_us(self._simplified(condition), self._rows, self._size_of)

    def forget(self, count: int) -> int:
        """Let go of so many bytes of what is remembered; how many it was."""
        return self._results.forget(count)

    def _simplified(self, condition: Condition) -> Condition:
        if isinstance(condition, Span | Scan):
            return condition
        return simplified(
            without_types(condition, lambda key: self._number_of(utf8(TYPED + key)) is not None)
        )

    def _match(self, condition: Condition, pause: Callable[[], None]) -> FrozenBitMap:
        """`match` of what is simplified already, parts of filters too, which are remembered when they are small."""
        known = self._results.get(condition)
        if known is not None:
            return known[0]
        pause()
        if isinstance(condition, Among | Between | TextMatch | Present):
            found = self._evaluated(condition, pause)
            self._results.put(condition, found)
            return found
        if isinstance(condition, Exact | In | Range | Span | Scan):
            found = self._on_key(condition.key, condition, pause)
            self._results.put(condition, found)
            return found
        return self._evaluated(condition, pause)

    def _evaluated(self, condition: Filter, pause: Callable[[], None]) -> FrozenBitMap:
        return evaluate(
            condition,
            lambda key, part: self._on_key(key, part, pause),
            lambda part: self._match(part, pause),
            lambda: everything(self._rows),
            self._rows_of,
            lambda part: self.match(part, pause),
        )

    def _on_key(self, key: str, condition: Condition, pause: Callable[[], None]) -> FrozenBitMap:
        """The rows whose value of `key` satisfies a condition on that key alone."""
        number = self._number_of(utf8(key))
        if number is None:
            return EMPTY
        column = self._column(number, pause)
        return self._rows_with(column, chosen(condition, column.admitted, column.size))

    def _rows_of(self, key: str) -> tuple[int, bool]:
        """Entries of a column, and whether they are known to be of as many rows: those of a row's code are."""
        number = self._number_of(utf8(key))
        return (0, False) if number is None else (self._size_of(key)[2], self._ends["code_width"][number] > 0)

    def _size_of(self, key: str) -> tuple[int, int, int]:
        """Values, those of them that are numbers, and rows of a key."""
        number = self._number_of(utf8(key))
        if number is None:
            return 0, 0, 0
        ends = self._ends
        first, end = ends["key_values"][number], ends["key_values"][number + 1]
        numbers = ends["key_numbers"][number + 1] - ends["key_numbers"][number]
        return end - first, numbers, ends["val_rows"][end] - ends["val_rows"][first]

    def _number_of(self, key: bytes) -> int | None:
        if self._key_numbers is not None:
            return self._key_numbers.get(key)
        number = bisect_left(range(self._keys), key, key=self._key_text)
        return number if number < self._keys and self._key_text(number) == key else None

    def _key_text(self, number: int) -> bytes:
        ends = self._ends["key_ends"]
        return bytes(self._ends["key_text"][ends[number] : ends[number + 1]])

    def _column(self, number: int, pause: Callable[[], None]) -> FrozenColumn:
        """The column of a key by its number; made for each question, so that keys nobody asks for cost
        nothing."""
        sections, ends = self._sections, self._ends
        first, end = ends["key_values"][number], ends["key_values"][number + 1]
        num_first, num_end = ends["key_numbers"][number], ends["key_numbers"][number + 1]
        codes, width = None, ends["code_width"][number]
        if width:
            start = ends["code_starts"][number]
            codes = sections["codes"][start : start + self._rows * width].view(CODE_DTYPES[width])
        val_ends, val_text = ends["val_ends"], ends["val_text"]

        def text(place: int) -> bytes:
            return bytes(val_text[val_ends[first + place] : val_ends[first + place + 1]])

        return FrozenColumn(
            text=text,
            first=first,
            size=end - first,
            texts=end - first - (num_end - num_first),
            num_values=sections["num_values"][num_first:num_end],
            num_order=sections["num_order"][num_first:num_end],
            codes=codes,
            tie_orders=self._tie_orders,
            pause=pause,
            repeated=codes is None and self._key_text(number).startswith(_TYPED),
        )

    def _rows_with(self, column: FrozenColumn, values: ValueSet) -> FrozenBitMap:
        """The rows whose value's place is in a set."""
        if isinstance(values, np.ndarray) or len(values) > _SEPARATE_RUNS_MAX:
            return self._marked(column, marks_of(values, column.size))
        runs = [self._run(column, start, end) for start, end in values]
        return runs[0] if len(runs) == 1 else EMPTY.union(*runs)

    def _run(self, column: FrozenColumn, start: int, end: int) -> FrozenBitMap:
        """The rows whose value's place is in a run."""
        val_rows = self._ends["val_rows"]
        first_row, end_row = val_rows[column.first + start], val_rows[column.first + end]
        count = end_row - first_row
        if column.repeated and (end - start > 1 or count > dense_from(self._rows)):
            return self._deduplicated(self._sections["rows"][first_row:end_row])
        if count == self._rows:
            return everything(self._rows)
        if column.codes is None or count <= dense_from(self._rows):
            rows = self._sections["rows"][first_row:end_row]
            return from_rows(rows if end - start == 1 else np.sort(rows))
        if end - start == 1:
            return from_mask(column.codes == start + 1)
        # Unsigned numbers wrap: rows with a smaller code, or none, become too large.
        return from_mask((column.codes - (start + 1)) < end - start)

    def _marked(self, column: FrozenColumn, marks: Marks) -> FrozenBitMap:
        """The rows whose value's place is marked."""
        if column.codes is not None:
            return from_mask(np.concatenate([[False], marks]).take(column.codes))
        bounds = self._sections["val_rows"][column.first : column.first + column.size + 1].astype(np.int64)
        rows = self._sections["rows"][bounds[0] : bounds[-1]]
        if column.repeated:
            return self._deduplicated(rows[np.repeat(marks, np.diff(bounds))])
        return from_rows(np.sort(rows[np.repeat(marks, np.diff(bounds))]))

    def _deduplicated(self, rows: npt.NDArray[np.uint32]) -> FrozenBitMap:
        """These rows, of which some may be there more than once."""
        if len(rows) <= dense_from(self._rows):
            return from_rows(np.sort(rows))
        mask = np.zeros(self._rows, dtype=np.bool_)
        mask[rows] = True
        return from_mask(mask)
