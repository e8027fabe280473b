"""The sealed documents of a collection whose cold tier is a table: one state of it, between two seals.

Rows are those of the table, by their numbers. Which document is in which row is known here (id_maps.py), and so is
which rows are hidden: their documents were deleted or replaced since the seal. So a write asks nothing of the other
side, unless it wants to know what is in a document.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from pykyro.engine.memory import EngineMemory
from pykyro.engine.remote import table_listing
from pykyro.engine.remote.errors import RowGone
from pykyro.engine.remote.fetched import ReadRow
from pykyro.engine.remote.id_maps import IdMaps
from pykyro.engine.remote.table import RemoteTable, Which
from pykyro.engine.remote.table_search import TableSearch
from pykyro.engine.tiers.stored_metadata import StoredMetadata
from pykyro.engine.tiers.tier import Candidates, Found, TierRequest, TierRows, Tokens, ValueIndex, ValueOrder
from pykyro.index.metadata.value_runs import Positions
from pykyro.model.distance import norms
from pykyro.model.filter import Filter, Not, Range
from pykyro.model.requests import Tier
from pykyro.model.types import KEY_MAX, LSN, NOBODY, TENANT_INDEX_KEY, Key, Matrix, Rows, Vector
from pykyro.storage.manifest import RemoteEntry

_COUNTS_MAX: Final = 256
OF_NO_TENANT: Final = Not(Range(TENANT_INDEX_KEY, None))
"""What a search is asked for that names nothing, where there are tenants."""


class RemoteTier:
    """Implements SearchTier. `delete` edits `hidden` in place; everything else only reads."""

    kind = Tier.COLD
    first_key: Key = 0
    last_key: Key = KEY_MAX

    def __init__(self, table: RemoteTable, maps: IdMaps, entry: RemoteEntry, memory: EngineMemory) -> None:
        self.table = table
        self.maps = maps
        self.entry = entry
        self.rows = entry.documents
        """Live at the sealed position."""
        self.hidden = BitMap()
        """Deleted since. Edited in place while searches read it."""
        self._hidden_lock = threading.Lock()
        self._recent = table.recent(memory)
        self._nobody: tuple[int, int] | None = None
        self._counts: dict[Filter, tuple[int, LSN]] = {}
        """Rows that satisfy a filter, hidden ones too, and the position of the table that was counted."""

    @property
    def live(self) -> int:
        """How many documents there are."""
        return self.rows - len(self.hidden)

    def lookup(self, key: Key) -> int | None:
        row = self.maps.row_of(key)
        return None if row is None or row in self.hidden else row

    def delete(self, row: int) -> None:
        with self._hidden_lock:
            self.hidden.add(row)

    def _hidden_now(self) -> BitMap:
        with self._hidden_lock:
            return self.hidden.copy()

    def _which(self, condition: Filter | None) -> Which:
        return Which(self.entry.rows_end, self._hidden_now(), condition)

    # --- searching --------------------------------------------------------------------------------

    def search_many(self, request: TierRequest) -> list[Candidates]:
        """Raises RemoteAway, Unavailable, FailedPrecondition."""
        which = self._which(request.filter)
        matched = self.rows - len(which.hidden)
        if request.filter is not None:
            matched = self._of_nobody() if request.filter == OF_NO_TENANT else self._count(which)
        search = TableSearch(self.table, self.entry, request, which, matched)
        return [search.search(query) for query in request.queries]

    def count(self, condition: Filter | None) -> int:
        if condition is None:
            return self.live
        if condition == OF_NO_TENANT:
            return self._of_nobody()
        return self._count(self._which(condition))

    def _of_nobody(self) -> int:
        """Documents of no tenant, which are counted here: the event loop may ask for it."""
        counted = self._nobody
        if counted is None or counted[0] != len(self.hidden):
            hidden = self._hidden_now()
            counted = self._nobody = len(hidden), self.maps.owners(hidden).get(NOBODY, 0)
        return counted[1]

    def _count(self, which: Which) -> int:
        """How many rows these are. What a table of one position holds is counted once; of hidden rows it is asked
        which of them were counted."""
        condition = which.condition
        assert condition is not None
        known = self._counts.get(condition)
        if known is None:
            known = self.table.count(Which(which.end, BitMap(), condition))
            if len(self._counts) >= _COUNTS_MAX:
                self._counts.clear()
            self._counts[condition] = known
        if not which.hidden:
            return known[0]
        among, position = self.table.count_among(which)
        if position == known[1]:
            return known[0] - among
        self._counts.pop(condition, None)
        return self.table.count(which)[0]

    def cost_us(self, condition: Filter) -> int:
        """The processor is not one of ours."""
        return 1

    def forget(self, count: int) -> int:
        return 0

    # --- documents --------------------------------------------------------------------------------

    def fetch(self, rows: Sequence[int]) -> list[ReadRow]:
        """These rows, in order. Raises RowGone when one is not there any more, and what reading raises."""
        known = {row: self._recent.get(row) for row in rows}
        unknown = [row for row, one in known.items() if one is None]
        if unknown:
            known |= self._recent.keep(self.table.read(unknown))
        found = []
        for row in rows:
            one = known[row]
            if one is None:
                raise RowGone("a document was moved while it was read; try again")
            found.append(one)
        return found

    def vector(self, row: int) -> Vector:
        return self.fetch((row,))[0].vector

    def metadata(self, row: int) -> StoredMetadata:
        return self.fetch((row,))[0].metadata

    def position_of(self, row: int) -> LSN:
        return self.fetch((row,))[0].position

    def positions_of(self, rows: Rows) -> npt.NDArray[np.uint64]:
        return np.array([one.position for one in self.fetch(rows.tolist())], np.uint64)

    def public_metadata(self, rows: Sequence[int]) -> list[bytes]:
        return [one.metadata.public for one in self.fetch(rows)]

    def public_bytes(self, rows: Sequence[int]) -> int:
        return sum(len(one.metadata.public) for one in self.fetch(rows))

    def columns_of(self, rows: Rows) -> tuple[npt.NDArray[np.uint64], Matrix, npt.NDArray[np.float64]]:
        read = self.fetch(rows.tolist())
        vectors = np.array([one.vector for one in read], np.float32).reshape(len(read), self.table.dimension)
        return np.array([one.doc_id for one in read], np.uint64), vectors, norms(vectors)

    def doc_ids_of(self, rows: Rows) -> npt.NDArray[np.uint64]:
        return np.array([one.doc_id for one in self.fetch(rows.tolist())], np.uint64)

    # --- what is known here -----------------------------------------------------------------------

    def live_by_owner(self) -> dict[int, int]:
        found = self.maps.owners(self._hidden_now())
        found.pop(0, None)
        return found

    def due(self, first_us: int, last_us: int) -> Iterator[tuple[int, Key]]:
        return self.maps.due(first_us, last_us, self.hidden)

    def next_expiry_us(self, after_us: int) -> int:
        return self.maps.next_expiry_us(after_us)

    # --- listing ----------------------------------------------------------------------------------

    def next_rows(
        self, condition: Filter | None, after: int | None, count: int, *, descending: bool
    ) -> tuple[npt.NDArray[np.uint64], Rows]:
        return table_listing.by_id(self.table, self._which(condition), after, count, descending=descending)

    def live_rows_at(self, condition: Filter | None, ranks: npt.NDArray[np.int64]) -> Rows:
        if condition is None:
            return self.maps.live_rows(self._hidden_now())[ranks]
        return self.table.row_numbers(self._which(condition))[ranks]

    def doc_ids_matching(self, condition: Filter | None) -> npt.NDArray[np.uint64]:
        return self.table.doc_ids(self._which(condition))

    def first_by_value(self, condition: Filter | None, order: ValueOrder) -> Found:
        entries = table_listing.by_value(self.table, self._which(condition), order)
        return Found(entries[: order.count], len(entries) <= order.count)

    def first_without_value(
        self, condition: Filter | None, key: str, after: int | None, count: int, *, descending: bool
    ) -> tuple[npt.NDArray[np.uint64], Rows]:
        return table_listing.without_value(
            self.table, self._which(condition), key, after, count, descending=descending
        )

    def value_counts(self, condition: Filter | None, key: str) -> list[tuple[Tokens, Positions]]:
        return [table_listing.value_counts(self.table, self._which(condition), key)]

    @property
    def index(self) -> ValueIndex:
        raise TypeError("rows in a table have no index here")

    def counting(self, condition: Filter | None, *, descending: bool = False) -> TierRows:
        raise TypeError("rows in a table have no marks here")
