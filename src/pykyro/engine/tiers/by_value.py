"""The rows of a tier in the order of their values under a key (pykyro.model.value_order), and how often each value is
there.

What is read at once is some thousand rows, however many have a value or values a key has; a mark for each row of the
tier says whether it counts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.engine.tiers.tier import (
    NO_ROWS,
    Entry,
    Found,
    Marks,
    OrdersByValue,
    SearchTier,
    TierRows,
    Tokens,
    ValueOrder,
    first_by_id,
)
from pykyro.index.metadata.value_runs import KeyRuns, Positions, ValueRun
from pykyro.model.filter import Filter
from pykyro.model.limits import ORDER_BYTES_MAX
from pykyro.model.types import Rows

_ENTRIES_TOGETHER: Final = 1 << 15
_VALUES_TOGETHER: Final = 256
"""At first, of a page that wants no more; then ever twice as many."""


def first_by_value(tier: SearchTier, condition: Filter | None, order: ValueOrder) -> Found:
    """The first rows that satisfy `condition` and have a value with an order."""
    if isinstance(tier, OrdersByValue):
        return tier.first_by_value(condition, order)
    rows = tier.counting(condition, descending=order.descending)
    runs, found = tier.index.runs(order.key), list[Found]()
    seen = np.zeros(rows.total, np.bool_) if runs.repeated else None
    texts = _with_text(runs, rows)
    # Texts are the last of all kinds, and rows that have nothing but a text are of this one alone.
    plain: list[tuple[ValueRun, TierRows, Marks | None]] = [(run, texts, None) for run in runs.plain]
    typed: list[tuple[ValueRun, TierRows, Marks | None]] = [(run, rows, seen) for run in runs.ordered]
    kinds = [typed[:-1], typed[-1:] + plain] if typed else [plain]
    for kind in kinds[:: -1 if order.descending else 1]:
        found += [_Walk(run, among, order, marks).first() for run, among, marks in kind]
        if not all(part.complete for part in found):
            break
    return merged(found, order)


def first_without_value(
    tier: SearchTier, condition: Filter | None, key: str, after: int | None, count: int, *, descending: bool
) -> tuple[npt.NDArray[np.uint64], Rows]:
    """Ids and rows of up to `count` rows that satisfy `condition` and have no value with an order, by id."""
    if isinstance(tier, OrdersByValue):
        return tier.first_without_value(condition, key, after, count, descending=descending)
    rows = tier.counting(condition, descending=descending).without(tier.index.rows_in_order(key))
    marks = rows.marks
    assert marks is not None
    if rows.by_id is None:
        left = np.flatnonzero(marks)
        return first_by_id(rows.ids_of(left), left, after, count, descending=descending)
    found, wanted = [NO_ROWS], count
    for some in rows.by_id(after):
        found.append(some[marks[some]][:wanted])
        wanted -= len(found[-1])
        if not wanted:
            break
    first = np.concatenate(found)
    return rows.ids_of(first), first


def _with_text(runs: KeyRuns, rows: TierRows) -> TierRows:
    """Those of the rows whose value may be in the plain runs."""
    return rows.without(runs.typed_rows) if runs.typed_rows and runs.plain else rows


def merged(parts: list[Found], order: ValueOrder) -> Found:
    """The first entries of all parts. Where a part has others behind its last, none is taken from behind that."""
    entries = sorted((entry for part in parts for entry in part.entries), reverse=order.descending)
    ends = [part.entries[-1][:2] for part in parts if not part.complete]
    if ends:
        end = max(ends) if order.descending else min(ends)
        entries = [entry for entry in entries if (entry[:2] >= end if order.descending else entry[:2] <= end)]
    return Found(entries[: order.count], not ends and len(entries) < order.count)


class _Walk:
    """Through one run, from where the order begins."""

    def __init__(self, run: ValueRun, rows: TierRows, order: ValueOrder, seen: Marks | None) -> None:
        """`seen` has a mark for each row that stands before this run; those of the run are added to it."""
        self._run = run
        self._rows = rows
        self._order = order
        self._seen = seen
        self._entries: list[Entry] = []
        self._bytes = 0

    def first(self) -> Found:
        run, order = self._run, self._order
        begin, end = self._bounds()
        if self._seen is not None:
            before = (end, run.size) if order.descending else (0, begin)
            for first, last in _pieces(run, *before, descending=False):
                self._seen[self._rows.entries(run, first, last)[1]] = True
        for first, last in _pieces(run, begin, end, descending=order.descending):
            if self._is_full():
                break
            by_id = self._rows.by_id
            if by_id is not None and last - first == 1 and run.counts(first, last)[0] > _ENTRIES_TOGETHER:
                self._take_by_id(first, by_id)
            else:
                self._take(first, last)
        return Found(self._entries, complete=not self._is_full())

    def _is_full(self) -> bool:
        return len(self._entries) >= self._order.count or self._bytes > ORDER_BYTES_MAX

    def _bounds(self) -> tuple[int, int]:
        """The places that may come behind `after`."""
        run, after = self._run, self._order.after
        if after is None:
            return 0, run.size
        if self._order.descending:
            return 0, bisect_right(range(run.size), after[0], key=run.token)
        return bisect_left(range(run.size), after[0], key=run.token), run.size

    def _take(self, first: int, last: int) -> None:
        """Note the rows of these values, in order."""
        positions, rows = self._rows.entries(self._run, first, last)
        if self._seen is not None:
            positions, rows = self._unseen(positions, rows)
        positions, rows = self._rows.among(positions, rows)
        if not len(rows):
            return
        descending, wanted = self._order.descending, self._order.count - len(self._entries)
        ids = self._rows.ids_of(rows)
        if last - first == 1:
            ids, rows = first_by_id(ids, rows, self._after_in(first), wanted, descending=descending)
            self._note([first] * len(ids), ids, rows)
            return
        for edge in {first, last - 1}:
            after = self._after_in(edge)
            if after is not None:
                behind = ids < np.uint64(after) if descending else ids > np.uint64(after)
                kept = (positions != edge) | behind
                positions, ids, rows = positions[kept], ids[kept], rows[kept]
        in_order = np.lexsort((ids, positions))[:: -1 if descending else 1][:wanted]
        self._note(positions[in_order].tolist(), ids[in_order], rows[in_order])

    def _take_by_id(self, place: int, by_id: Callable[[int | None], Iterator[Rows]]) -> None:
        """Note the rows of one value that many have."""
        positions, carriers = self._rows.entries(self._run, place, place + 1)
        if self._seen is not None:
            positions, carriers = self._unseen(positions, carriers)
        _, carriers = self._rows.among(positions, carriers)
        if not len(carriers):
            return
        counted = np.zeros(int(carriers.max()) + 1, np.bool_)
        counted[carriers] = True
        for rows in by_id(self._after_in(place)):
            rows = rows[rows < len(counted)]
            rows = rows[counted[rows]][: self._order.count - len(self._entries)]
            self._note([place] * len(rows), self._rows.ids_of(rows), rows)
            if len(self._entries) >= self._order.count:
                return

    def _unseen(self, positions: Positions, rows: Rows) -> tuple[Positions, Rows]:
        """Of each row that stands at none of the values before the first place in order."""
        assert self._seen is not None
        fresh = ~self._seen[rows]
        positions, rows = positions[fresh], rows[fresh]
        self._seen[rows] = True
        in_order = np.argsort(positions, kind="stable")[:: -1 if self._order.descending else 1]
        positions, rows = positions[in_order], rows[in_order]
        _, firsts = np.unique(rows, return_index=True)
        return positions[firsts], rows[firsts]

    def _after_in(self, place: int) -> int | None:
        """The id behind which the rows of a value begin, None for all of them."""
        after = self._order.after
        return after[1] if after is not None and self._run.token(place) == after[0] else None

    def _note(self, places: list[int], ids: npt.NDArray[np.uint64], rows: Rows) -> None:
        known, token = -1, ""
        for place, doc_id, row in zip(places, ids.tolist(), rows.tolist(), strict=True):
            if place != known:
                if self._bytes > ORDER_BYTES_MAX:
                    return
                known, token = place, self._run.token(place)
                self._bytes += len(token)
            self._entries.append(Entry(token, doc_id, row))


def _pieces(run: ValueRun, begin: int, end: int, *, descending: bool) -> Iterator[tuple[int, int]]:
    """Values from `begin` to `end` in pieces that have not too many rows, unless it is one value, in order."""
    width = _VALUES_TOGETHER
    while begin < end:
        first, last = (max(begin, end - width), end) if descending else (begin, min(end, begin + width))
        counts = run.counts(first, last)
        sums = np.cumsum(counts[::-1] if descending else counts)
        taken = max(1, int(np.searchsorted(sums, _ENTRIES_TOGETHER, side="right")))
        if descending:
            first = max(first, last - taken)
            end = first
        else:
            last = min(last, first + taken)
            begin = last
        yield first, last
        width = min(2 * width, _ENTRIES_TOGETHER)


def value_counts(tier: SearchTier, condition: Filter | None, key: str) -> Sequence[tuple[Tokens, Positions]]:
    """Of each run of values, how many of the rows that satisfy `condition` have each."""
    if isinstance(tier, OrdersByValue):
        return tier.value_counts(condition, key)
    rows, runs = tier.counting(condition), tier.index.runs(key)
    texts = _with_text(runs, rows)
    return [(run, _counted(run, rows)) for run in (*runs.ordered, *runs.nulls)] + [
        (run, _counted(run, texts)) for run in runs.plain
    ]


def _counted(run: ValueRun, rows: TierRows) -> Positions:
    if rows.marks is None:
        return run.counts(0, run.size)
    counts = np.zeros(run.size, np.int64)
    for first, last in _pieces(run, 0, run.size, descending=False):
        positions, _ = rows.among(*rows.entries(run, first, last))
        counts[first:last] += np.bincount(positions - first, minlength=last - first)
    return counts
