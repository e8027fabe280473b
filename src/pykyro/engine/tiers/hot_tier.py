"""The hot tier: documents not yet sealed, in arrays that grow, searched exactly.

One thread writes (under the write path's lock), any number read without a lock. What keeps readers right is
the order of things: a writer first adds the new row, then marks the old one deleted; a reader first copies the
marks, then looks at the rows. So of a document that is being replaced a reader sees the old row or the new one,
never neither. The new one counts from the moment its mark is set, for searches and lookups alike: nobody who looks
after somebody else has seen it finds the old one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.engine.tiers.expiring_rows import as_instant_us, due_of
from pykyro.engine.tiers.merged_metadata import (
    MergedMetadata,
    added_bytes,
    has_types,
    held_bytes,
    merged,
    public_bytes_max,
    whole_bytes,
)
from pykyro.engine.tiers.row_columns import RowColumns, RowsInColumns
from pykyro.engine.tiers.stored_metadata import StoredMetadata, TierMetadata
from pykyro.engine.tiers.tier import (
    Candidates,
    SearchTier,
    TierRequest,
    TierRows,
    first_by_id,
    no_candidates,
)
from pykyro.engine.words.collection_words import CollectionWords, HotWords
from pykyro.index.metadata.bitmaps import rows_of
from pykyro.index.metadata.derived_rows import Derivation, Origin
from pykyro.index.metadata.metadata_index import MutableMetadataIndex
from pykyro.index.vector import flat
from pykyro.memory.account import Account
from pykyro.model import distance
from pykyro.model.expiry import NEVER_US, instant_us_in
from pykyro.model.filter import Filter
from pykyro.model.limits import DOC_ID_MAX
from pykyro.model.requests import Tier
from pykyro.model.typed_text import is_typed
from pykyro.model.types import (
    DOC_ID_BITS,
    EXPIRES_AT_KEY,
    KEPT_APART,
    KEY_MAX,
    LSN,
    OWNER_SHIFT,
    Key,
    Metric,
    Rows,
    Vector,
)

_FIRST_CAPACITY: Final = 1024
_INDEXED_TOGETHER: Final = 64
_INDEXED_BYTES: Final = 1 << 16
"""So many rows, or bytes of metadata, are indexed at once, which takes less time than one by one. A query waits for
no more, and no more is missing in `size_bytes`."""
_CHARGED_TOGETHER: Final = 128 << 10
"""So many bytes may be held that are not charged yet."""
_ROW_BYTES: Final = 283
"""Of a row beside its vector: columns, its key and its place in lists and tables, the objects that hold its
metadata."""
_DERIVED_CHANGES_MAX: Final = 64
"""Of a row with more changes since its origin all entries are indexed: its changes are, with each that is made to
them."""
_COMPACT_BYTES: Final = 16 << 20
_COMPACT_FACTOR: Final = 4
"""A tier of so many bytes is made anew when this many times what its live rows take would do for it."""
_EMPTY: Final = no_candidates("hot: empty")
_NONE_MATCHES: Final = no_candidates("hot: no row matches")


class HotTier(RowsInColumns):
    """Rows in the order of their writes."""

    kind = Tier.HOT
    first_key: Key = 0
    last_key: Key = KEY_MAX
    """Any key may be in here."""

    def __init__(
        self,
        dimension: int,
        metric: Metric,
        account: Account | None = None,
        cache_account: Account | None = None,
        words: CollectionWords | None = None,
    ) -> None:
        """What it holds is charged to `account`, what it remembers of filters to `cache_account`. `words` says which
        words are kept, None that none are."""
        self._charge = account.charge() if account is not None else None
        self.charge_from = 0
        """The size from which `charge` is to be called: not after each put."""
        self._metric = metric
        self._columns = RowColumns(_FIRST_CAPACITY, dimension)
        self._metadata: list[TierMetadata] = []
        self.index = self._index = MutableMetadataIndex(cache_account=cache_account)
        self.words = None if words is None else HotWords(words)
        self._row_of: dict[Key, int] = {}
        self._derivations: dict[int, Derivation] = {}
        """Of the live rows that are derived."""
        self.compact_from = _COMPACT_BYTES
        """The size from which it is to be looked whether the tier is wasteful."""
        self._adding: tuple[int, int | None] | None = None
        """The row that a put under way adds, and the live row it replaces."""
        self._bytes_per_row = 4 * dimension + _ROW_BYTES
        self._metadata_bytes = self._pending_bytes = 0
        self.size_bytes = 0
        """Memory the tier takes: vectors, metadata as it was sent, and the metadata index. What the columns have room
        for beyond the rows is memory nobody has touched, so there is none behind it."""
        self.live = 0

    def __del__(self) -> None:
        if self._charge is not None:
            self._charge.give_back()

    def charge(self) -> None:
        """Charge what is held to the account. For the writer."""
        self.charge_from = self.size_bytes + _CHARGED_TOGETHER
        if self._charge is not None:
            self._charge.set(self.size_bytes)

    def forget(self, count: int) -> int:
        """Let go of so many bytes of what is remembered of filters; how many it was."""
        return self._index.forget(count)

    @property
    def rows(self) -> int:
        """Rows ever added, deleted ones included."""
        return len(self._metadata)

    def put(
        self, key: Key, vector: Vector, metadata: Mapping[str, str], wire: bytes, position: LSN = 0
    ) -> None:
        """Add a document, written at `position`; an older row of the same key in this tier is deleted. `wire` is its
        metadata encoded."""
        is_scoped = not KEPT_APART.isdisjoint(metadata)
        stored = StoredMetadata.split(metadata) if is_scoped else StoredMetadata(wire, b"")
        stored_bytes = len(stored.public) + len(stored.reserved)
        row, index = self._add(key, vector, stored, stored_bytes, position), self._index
        if self.words is not None:
            self._take_words(row, metadata)
        index.pending.append((row, metadata))
        self._pending_bytes += stored_bytes
        if len(index.pending) >= _INDEXED_TOGETHER or self._pending_bytes > _INDEXED_BYTES:
            index.take_in()
            self._count_index()
        self._show(key, row)

    def merge(
        self,
        key: Key,
        tier: SearchTier,
        before: int,
        changes: Mapping[str, str],
        wire: bytes,
        position: LSN = 0,
    ) -> None:
        """Add the document that row `before` of `tier` holds, with `changes` made to its metadata; `wire` is them
        encoded. What a large document has in common with that row is shared, and is not indexed again, unless it has
        values that are not text: which of their paths a change takes away is known of the whole alone."""
        known = None
        if isinstance(tier, ColdSegment):
            found: TierMetadata = tier.mapped_metadata(before)
            origin = Origin(before, tier.index)
        else:
            found, origin = tier.metadata(before), Origin(before)
            known = self._derivations.get(before) if tier is self else None
        stored = merged(found, changes, wire)
        derivation = None
        # A row that is derived has none. Of any other row it is to be asked, also when the merge takes the last of
        # them away: the new row would be found by the columns of its origin.
        whole = is_typed(changes) or (known is None and has_types(found))
        # The column of instants must have all of them, also when the segment of the origin is merged with others.
        whole = whole or instant_us_in(stored.reserved) < NEVER_US
        if isinstance(stored, MergedMetadata) and not whole and (tier is self or origin.frozen is not None):
            derivation = Derivation(origin, changes) if known is None else known.with_changes(changes)
        own_bytes = added_bytes(found, stored)
        self._add_stored(key, tier.vector(before), stored, own_bytes, derivation, position)

    def compacted(self, fresh: HotTier) -> HotTier:
        """`fresh`, with the live rows of this tier. For the writer; this tier is not to be changed any more."""
        columns = self._columns
        for row in self.live_rows().tolist():
            key = int(columns.owners[row]) << OWNER_SHIFT | int(columns.doc_ids[row])
            stored, derivation = self._metadata[row], self._derivations.get(row)
            if derivation is not None and derivation.origin.frozen is None:
                derivation = None
            position = int(columns.positions[row])
            fresh._add_stored(key, columns.vectors[row], stored, held_bytes(stored), derivation, position)
        fresh.compact_from = max(_COMPACT_BYTES, 2 * fresh.size_bytes)
        return fresh

    def is_wasteful(self) -> bool:
        """Whether little of what the tier holds is of live rows; to be asked when `size_bytes` reaches
        `compact_from`. For the writer."""
        self.compact_from = self.size_bytes + self.size_bytes // 2
        if self.rows < _COMPACT_FACTOR * self.live:
            return False
        live = self.live_rows().tolist()
        live_bytes = sum(self._bytes_per_row + whole_bytes(self._metadata[row]) for row in live)
        return _COMPACT_FACTOR * live_bytes <= self.size_bytes

    def _add_stored(
        self,
        key: Key,
        vector: Vector,
        stored: TierMetadata,
        own_bytes: int,
        derivation: Derivation | None,
        position: LSN,
    ) -> None:
        """Add a document whose metadata is stored already, in `own_bytes` that no other row is counted for."""
        row, index = self._add(key, vector, stored, own_bytes, position), self._index
        if self.words is not None:
            self._take_words(row, stored.whole())
        if derivation is None or len(derivation.changes) > _DERIVED_CHANGES_MAX:
            index.add(row, stored.whole())
        else:
            self._derivations[row] = derivation
            self._metadata_bytes += derivation.size_bytes
            index.derive(row, derivation.changes, derivation.origin)
        self._count_index()
        self._show(key, row)

    def _add(self, key: Key, vector: Vector, stored: TierMetadata, own_bytes: int, position: LSN) -> int:
        """The row of a document, which nobody sees yet."""
        row, columns = len(self._metadata), self._columns
        if row == len(columns.alive):
            columns = self._columns = columns.grown(row)
        columns.vectors[row] = vector
        columns.norms[row] = distance.norm(vector)
        columns.positions[row] = position
        if key <= DOC_ID_MAX:
            columns.doc_ids[row] = key  # and the owner is nobody, as in every fresh row
        else:
            columns.doc_ids[row], columns.owners[row] = key & DOC_ID_BITS, key >> OWNER_SHIFT
        self._metadata.append(stored)
        self._metadata_bytes += own_bytes
        self.size_bytes += self._bytes_per_row + own_bytes
        return row

    def _take_words(self, row: int, metadata: Mapping[str, str]) -> None:
        assert self.words is not None
        added = self.words.add(row, metadata)
        self._metadata_bytes += added
        self.size_bytes += added

    def _count_index(self) -> None:
        """Count what the index holds, which has taken in every row."""
        self._pending_bytes = 0
        self.size_bytes = self.rows * self._bytes_per_row + self._metadata_bytes + self._index.size_bytes

    def _show(self, key: Key, row: int) -> None:
        """Let the row be seen, in the place of an older one."""
        columns = self._columns
        older = self._row_of.get(key)
        if older is not None and not columns.alive[older]:
            older = None
        self._adding = row, older
        self._row_of[key] = row
        columns.alive[row] = True
        if self.words is not None:
            self.words.shown(row, key >> OWNER_SHIFT)
        self.live += 1
        if older is not None:
            self.delete(older)
        self._adding = None

    def delete(self, row: int) -> None:
        """Mark a row deleted; searches that start now do not see it."""
        if self._columns.alive[row]:
            self._columns.alive[row] = False
            if self.words is not None:
                self.words.deleted(row, int(self._columns.owners[row]))
            self.live -= 1
            if row in self._derivations:
                self._metadata_bytes -= self._derivations.pop(row).size_bytes

    def lookup(self, key: Key) -> int | None:
        while True:
            row = self._row_of.get(key)
            if row is None or self._columns.alive[row]:
                return row
            adding = self._adding
            if adding is not None and adding[0] == row:
                # Not yet alive: until it is, the row it replaces counts. When that is deleted, the new one is alive.
                older = adding[1]
                if older is None or self._columns.alive[older]:
                    return older
            elif self._row_of.get(key) == row and not self._columns.alive[row]:
                # Deleted. Otherwise it was replaced since the first line, or has come alive since the second.
                return None

    def metadata(self, row: int) -> TierMetadata:
        return self._metadata[row]

    def public_metadata(self, rows: Sequence[int]) -> list[bytes]:
        return [self._metadata[row].public for row in rows]

    def public_bytes(self, rows: Sequence[int]) -> int:
        total, metadata = 0, self._metadata
        for row in rows:
            stored = metadata[row]
            total += len(stored.public) if isinstance(stored, StoredMetadata) else public_bytes_max(stored)
        return total

    def search_many(self, request: TierRequest) -> list[Candidates]:
        if not self._metadata:
            return [_EMPTY] * len(request.queries)
        return [self._scan(request, query) for query in request.queries]

    def _scan(self, request: TierRequest, query: distance.Query) -> Candidates:
        columns = self._columns
        rows = self._live_among(columns, request.filter)
        if not len(rows):
            return _NONE_MATCHES
        dense = len(rows) == rows[-1] + 1
        found = flat.scan(
            columns.vectors[: len(rows)] if dense else columns.vectors,
            query,
            request.k + (request.over_fetch or 0),
            norms=columns.norms[: len(rows)] if dense else columns.norms,
            selected=None if dense else rows,
        )
        similarities = query.similarities(columns.vectors[found], columns.norms[found])
        best = flat.keep_best(found, similarities, request.k, request.over_fetch, len(rows), query.metric)
        return Candidates(
            best.rows,
            columns.doc_ids[best.rows],
            best.similarities,
            len(rows),
            len(rows),
            True,
            f"hot: scan {len(rows)} rows",
            best.over_fetched,
            best.unseen_bound,
        )

    def due(self, first_us: int, last_us: int) -> Iterator[tuple[int, Key]]:
        rows, instants = self._index.numbers_of(EXPIRES_AT_KEY)
        rows, columns = rows[(instants >= first_us) & (instants <= last_us)], self._columns
        return due_of(
            rows[columns.alive[rows]],
            lambda part: (columns.doc_ids[part], columns.owners[part]),
            lambda row: self._metadata[row].reserved,
            last_us,
        )

    def next_expiry_us(self, after_us: int) -> int:
        _, instants = self._index.numbers_of(EXPIRES_AT_KEY)
        return as_instant_us(float(np.min(instants[instants > after_us], initial=np.inf)))

    def count(self, condition: Filter | None) -> int:
        return self.live if condition is None else len(self._live_among(self._columns, condition))

    def cost_us(self, condition: Filter) -> int:
        return self._index.cost_us(condition)

    def _live_among(self, columns: RowColumns, condition: Filter | None) -> Rows:
        """Rows that satisfy `condition` and were alive when this was called, ascending."""
        alive = columns.alive.copy()
        if condition is None:
            return np.flatnonzero(alive)
        rows = rows_of(self._index.match(condition)).astype(np.int64)
        rows = rows[rows < len(alive)]
        return rows[alive[rows]]

    def next_rows(
        self, condition: Filter | None, after: int | None, count: int, *, descending: bool
    ) -> tuple[npt.NDArray[np.uint64], Rows]:
        columns = self._columns
        rows = self._live_among(columns, condition)
        return first_by_id(columns.doc_ids[rows], rows, after, count, descending=descending)

    def counting(self, condition: Filter | None, *, descending: bool = False) -> TierRows:
        columns, marks = self._columns, np.zeros(self.rows, np.bool_)
        rows = self._live_among(columns, condition)
        marks[rows[rows < len(marks)]] = True
        return TierRows(len(marks), marks, lambda rows: columns.doc_ids[rows])

    def live_rows_at(self, condition: Filter | None, ranks: npt.NDArray[np.int64]) -> Rows:
        return self._live_among(self._columns, condition)[ranks]

    def doc_ids_matching(self, condition: Filter | None) -> npt.NDArray[np.uint64]:
        columns = self._columns
        return columns.doc_ids[self._live_among(columns, condition)]
