"""What the read path sees of a tier, hot or cold: the same three queries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt
from pyroaring import FrozenBitMap

from pykyro.engine.tiers.stored_metadata import TierMetadata
from pykyro.index.metadata.bitmaps import rows_of
from pykyro.index.metadata.value_runs import KeyRuns, Positions, ValueRun
from pykyro.model.distance import Query, Similarities
from pykyro.model.filter import Filter
from pykyro.model.requests import Tier
from pykyro.model.types import LSN, NOBODY, Key, Matrix, Rows, Vector

Marks: TypeAlias = npt.NDArray[np.bool_]
"""One for each row of a tier."""


def no_pause() -> None:
    """Between two steps of work that gives way to nobody."""


@dataclass(slots=True)
class TierRequest:
    """One search, or several that differ only in their queries, as every tier gets it. `filter` includes the
    scope.

    `over_fetch` asks for so many rows after the k best, as far as they cost nothing: a cache can use them. None says
    that nobody keeps what is found, so `Candidates.unseen_bound` need not be known. `pause` is called between the
    steps of a long filter.
    """

    queries: Sequence[Query]
    k: int
    ef: int
    filter: Filter | None
    exact: bool
    over_fetch: int | None = None
    pause: Callable[[], None] = no_pause
    text_ids: bool = False
    """Equal rows are ranked by text, which no tier looks at: so none of them may be left out."""


@dataclass(slots=True)
class Candidates:
    """What a tier found: canonical similarities of its best rows, at least its true top k when `exact`.

    All are of one owner, so an id stands for one document. `matched` counts the live rows that satisfy the filter,
    `examined` those whose similarity was computed.
    `over_fetched` are further rows it met, unranked; no other row that it met is more similar than `unseen_bound`.
    That is minus infinity when `rows` and `over_fetched` are all that matched, and infinite when nothing is known.
    """

    rows: Rows
    doc_ids: npt.NDArray[np.uint64]
    similarities: Similarities
    matched: int
    examined: int
    exact: bool
    plan: str
    over_fetched: Rows
    unseen_bound: float
    rows_in: RowSource | None = None
    """Where the rows are, if not in the tier that found them."""


@dataclass(frozen=True, slots=True)
class TierRows:
    """The rows of a tier, `total` of them: which count, None being all, their ids, and a way through all of them by
    id, if there is a quick one, given an id to begin behind."""

    total: int
    marks: Marks | None
    ids_of: Callable[[Rows], npt.NDArray[np.uint64]]
    by_id: Callable[[int | None], Iterator[Rows]] | None = None

    def entries(self, run: ValueRun, first: int, last: int) -> tuple[Positions, Rows]:
        """Those of `run`, of rows that were there when the others were marked."""
        positions, rows = run.entries(first, last)
        known = rows < self.total
        return (positions, rows) if known.all() else (positions[known], rows[known])

    def among(self, positions: Positions, rows: Rows) -> tuple[Positions, Rows]:
        """Those that count."""
        if self.marks is None:
            return positions, rows
        counted = self.marks[rows]
        return positions[counted], rows[counted]

    def without(self, rows: FrozenBitMap) -> TierRows:
        """The same, but for these rows."""
        marks = np.ones(self.total, np.bool_) if self.marks is None else self.marks.copy()
        numbers = rows_of(rows)
        marks[numbers[numbers < self.total]] = False
        return TierRows(self.total, marks, self.ids_of, self.by_id)


class ValueIndex(Protocol):
    """What listings by value and facets ask of the metadata index of a tier of either kind."""

    def runs(self, key: str) -> KeyRuns: ...

    def rows_in_order(self, key: str) -> FrozenBitMap: ...

    def sizes_under(self, key: str) -> tuple[int, int]: ...


class RowSource(Protocol):
    """What has the rows that a search found."""

    kind: Tier

    def vector(self, row: int) -> Vector:
        """The client's own float32 values, shape (dimension,), read-only."""
        ...

    def position_of(self, row: int) -> LSN:
        """The position of the write that made this row."""
        ...

    def public_metadata(self, rows: Sequence[int]) -> list[bytes]:
        """`metadata(row).public` of each row: what a response carries."""
        ...

    def public_bytes(self, rows: Sequence[int]) -> int:
        """How long those are together, or a little more; nothing is read from disk for it."""
        ...

    def columns_of(self, rows: Rows) -> tuple[npt.NDArray[np.uint64], Matrix, npt.NDArray[np.float64]]:
        """Copies of doc_ids, vectors and norms of these rows."""
        ...

    def doc_ids_of(self, rows: Rows) -> npt.NDArray[np.uint64]: ...


class SearchTier(RowSource, Protocol):
    """A hot tier, a cold segment, or a table elsewhere."""

    first_key: Key
    last_key: Key
    """No document in the tier has a smaller or a larger key."""

    def search_many(self, request: TierRequest) -> list[Candidates]:
        """What is found for each of its queries."""
        ...

    def count(self, condition: Filter | None) -> int:
        """How many live rows satisfy `condition`."""
        ...

    def cost_us(self, condition: Filter) -> int:
        """About how many microseconds of a processor it takes to find the rows that satisfy `condition`."""
        ...

    def lookup(self, key: Key) -> int | None:
        """The live row that holds this document, or None."""
        ...

    def metadata(self, row: int) -> TierMetadata: ...

    def positions_of(self, rows: Rows) -> npt.NDArray[np.uint64]:
        """`position_of` each of these rows."""
        ...

    def live_by_owner(self) -> dict[int, int]:
        """How many live rows each owner has, NOBODY left out."""
        ...

    def delete(self, row: int) -> None:
        """Mark a row deleted; searches that start now do not see it."""
        ...

    def due(self, first_us: int, last_us: int) -> Iterator[tuple[int, Key]]:
        """Live rows whose documents go from `first_us` to `last_us`, and their keys. Those it gave may be deleted."""
        ...

    def next_expiry_us(self, after_us: int) -> int:
        """No live row goes between `after_us` and this instant, NEVER_US if none goes at all."""
        ...

    def forget(self, count: int) -> int:
        """Let go of so many bytes of what is remembered of filters; how many it was."""
        ...

    def next_rows(
        self, condition: Filter | None, after: int | None, count: int, *, descending: bool
    ) -> tuple[npt.NDArray[np.uint64], Rows]:
        """Ids and rows of up to `count` live documents that satisfy `condition`, all of one owner: those with the
        smallest ids above `after`, or the largest below it, in order."""
        ...

    @property
    def index(self) -> ValueIndex: ...

    def counting(self, condition: Filter | None, *, descending: bool = False) -> TierRows:
        """Its live rows that satisfy `condition`, and the way through them by rising or falling id."""
        ...

    def live_rows_at(self, condition: Filter | None, ranks: npt.NDArray[np.int64]) -> Rows:
        """Of the live rows that satisfy `condition`, ascending, those at these places."""
        ...

    def doc_ids_matching(self, condition: Filter | None) -> npt.NDArray[np.uint64]:
        """Ids of live documents that satisfy `condition`, ascending by row."""
        ...


@runtime_checkable
class OrdersByValue(Protocol):
    """A tier that lists its rows by their values itself, and counts these; by_value.py says how."""

    def first_by_value(self, condition: Filter | None, order: ValueOrder) -> Found: ...

    def first_without_value(
        self, condition: Filter | None, key: str, after: int | None, count: int, *, descending: bool
    ) -> tuple[npt.NDArray[np.uint64], Rows]: ...

    def value_counts(self, condition: Filter | None, key: str) -> list[tuple[Tokens, Positions]]: ...


class Tokens(Protocol):
    """Tokens in order, each at its place."""

    def token(self, place: int) -> str: ...


class Entry(NamedTuple):
    """A row and where it stands: by token, then by id."""

    token: str
    doc_id: int
    row: int


@dataclass(frozen=True, slots=True)
class ValueOrder:
    """What is asked of a tier: up to `count` rows by their values under `key`, behind `after` if it is there."""

    key: str
    after: tuple[str, int] | None
    count: int
    descending: bool


class Found(NamedTuple):
    """The first entries in order. Unless `complete` there are others that come behind the last of them."""

    entries: list[Entry]
    complete: bool


def count_owners(owners: npt.NDArray[np.uint64]) -> dict[int, int]:
    """How often each owner is named, NOBODY left out."""
    numbers, counts = np.unique(owners[owners != NOBODY], return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def first_by_id(
    doc_ids: npt.NDArray[np.uint64], rows: Rows, after: int | None, count: int, *, descending: bool
) -> tuple[npt.NDArray[np.uint64], Rows]:
    """What `SearchTier.next_rows` returns, of rows in any order and their ids."""
    if after is not None:
        wanted = doc_ids < np.uint64(after) if descending else doc_ids > np.uint64(after)
        doc_ids, rows = doc_ids[wanted], rows[wanted]
    if len(doc_ids) > 2 * count:
        kth = len(doc_ids) - count if descending else count - 1
        near = np.argpartition(doc_ids, kth)
        near = near[kth:] if descending else near[: kth + 1]
        doc_ids, rows = doc_ids[near], rows[near]
    order = np.argsort(doc_ids)
    order = order[::-1][:count] if descending else order[:count]
    return doc_ids[order], rows[order]


NO_ROWS: Rows = np.empty(0, dtype=np.int64)
_NO_IDS: Final = np.empty(0, np.uint64)
_NO_SIMILARITIES: Final = np.empty(0, np.float64)


def no_candidates(plan: str) -> Candidates:
    return Candidates(
        NO_ROWS,
        _NO_IDS,
        _NO_SIMILARITIES,
        matched=0,
        examined=0,
        exact=True,
        plan=plan,
        over_fetched=NO_ROWS,
        unseen_bound=-math.inf,
    )
