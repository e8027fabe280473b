"""The hot tier: documents not yet sealed, in arrays that grow, searched exactly.

One thread writes (under the write path's lock), any number read without a lock. What keeps readers right is
the order of things: a writer first adds the new row, then marks the old one dead; a reader first copies the
marks, then looks at the rows. So of a document that is being replaced a reader sees the old row or the new one,
never neither. The new one counts from the moment its mark is set, for searches and lookups alike: nobody who looks
after somebody else has seen it finds the old one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.engine.tiers.stored_metadata import StoredMetadata
from pykyro.engine.tiers.tier import Candidates, TierQuery, count_owners, no_candidates, scanned
from pykyro.index.metadata.bitmaps import rows_of
from pykyro.index.metadata.metadata_index import MutableMetadataIndex
from pykyro.index.vector import flat
from pykyro.model import distance
from pykyro.model.filter import Filter
from pykyro.model.limits import DOC_ID_MAX
from pykyro.model.requests import Tier
from pykyro.model.types import Key, Matrix, Metric, Rows, Vector, key_doc_id, key_owner

_FIRST_CAPACITY: Final = 1024
_ROW_BYTES: Final = 275
"""Of a row beside its vector: columns, its key and its place in lists and tables, the objects that hold its
metadata."""
_EMPTY: Final = no_candidates("hot: empty")
_NONE_MATCHES: Final = no_candidates("hot: no row matches")


class _Columns:
    """Arrays of one capacity; growth makes a new set, so a reader's set stays whole."""

    __slots__ = ("alive", "doc_ids", "norms", "owners", "vectors")

    def __init__(self, capacity: int, dimension: int) -> None:
        self.vectors: Matrix = np.empty((capacity, dimension), dtype=np.float32)
        self.norms: npt.NDArray[np.float64] = np.empty(capacity, dtype=np.float64)
        self.doc_ids: npt.NDArray[np.uint64] = np.empty(capacity, dtype=np.uint64)
        self.owners: npt.NDArray[np.uint64] = np.zeros(capacity, dtype=np.uint64)
        self.alive: npt.NDArray[np.bool_] = np.zeros(capacity, dtype=np.bool_)

    def grown(self, rows: int) -> _Columns:
        larger = _Columns(2 * len(self.alive), self.vectors.shape[1])
        for name in self.__slots__:
            getattr(larger, name)[:rows] = getattr(self, name)[:rows]
        return larger


class HotTier:
    """Rows in the order of their writes."""

    kind = Tier.HOT

    def __init__(self, dimension: int, metric: Metric) -> None:
        self._metric = metric
        self._columns = _Columns(_FIRST_CAPACITY, dimension)
        self._metadata: list[StoredMetadata] = []
        self._index = MutableMetadataIndex()
        self._row_of: dict[Key, int] = {}
        self._adding: tuple[int, int | None] | None = None
        """The row that a put under way adds, and the live row it replaces."""
        self._bytes_per_row = 4 * dimension + _ROW_BYTES
        self._metadata_bytes = 0
        self.live = 0

    @property
    def rows(self) -> int:
        """Rows ever added, dead ones included."""
        return len(self._metadata)

    @property
    def size_bytes(self) -> int:
        """Memory the tier takes: vectors, metadata as it was sent, and the metadata index."""
        # What the columns have room for beyond the rows is memory nobody has touched, so there is none behind it.
        return self.rows * self._bytes_per_row + self._metadata_bytes + self._index.size_bytes

    def put(self, key: Key, vector: Vector, metadata: Mapping[str, str], wire: bytes) -> None:
        """Add a document; an older row of the same key in this tier dies. `wire` is all its metadata encoded."""
        row = self.rows
        if row == len(self._columns.alive):
            self._columns = self._columns.grown(row)
        columns = self._columns
        columns.vectors[row] = vector
        columns.norms[row] = distance.norm(vector)
        if key <= DOC_ID_MAX:
            columns.doc_ids[row] = key  # and the owner is nobody, as in every fresh row
        else:
            columns.doc_ids[row], columns.owners[row] = key_doc_id(key), key_owner(key)
        stored = StoredMetadata.split(metadata, wire)
        self._index.add(row, metadata)
        self._metadata.append(stored)
        self._metadata_bytes += len(stored.public) + len(stored.reserved)
        older = self._row_of.get(key)
        if older is not None and not columns.alive[older]:
            older = None
        self._adding = row, older
        self._row_of[key] = row
        columns.alive[row] = True
        self.live += 1
        if older is not None:
            self.kill(older)
        self._adding = None

    def kill(self, row: int) -> None:
        if self._columns.alive[row]:
            self._columns.alive[row] = False
            self.live -= 1

    def lookup(self, key: Key) -> int | None:
        while True:
            row = self._row_of.get(key)
            if row is None or self._columns.alive[row]:
                return row
            adding = self._adding
            if adding is not None and adding[0] == row:
                # Not yet alive: until it is, the row it replaces counts. When that is dead, the new one is alive.
                older = adding[1]
                if older is None or self._columns.alive[older]:
                    return older
            elif self._row_of.get(key) == row and not self._columns.alive[row]:
                # Deleted. Otherwise it was replaced since the first line, or has come alive since the second.
                return None

    def vector(self, row: int) -> Vector:
        vector: Vector = self._columns.vectors[row]
        vector.flags.writeable = False
        return vector

    def metadata(self, row: int) -> StoredMetadata:
        return self._metadata[row]

    def public_metadata(self, rows: Sequence[int]) -> list[bytes]:
        return [self._metadata[row].public for row in rows]

    def live_rows(self) -> Rows:
        """Row numbers alive at this moment, ascending."""
        return np.flatnonzero(self._columns.alive)

    def columns_of(self, rows: Rows) -> tuple[npt.NDArray[np.uint64], Matrix, npt.NDArray[np.float64]]:
        """Copies of doc_ids, vectors and norms of these rows."""
        columns = self._columns
        return columns.doc_ids[rows], columns.vectors[rows], columns.norms[rows]

    def owners_of(self, rows: Rows) -> npt.NDArray[np.uint64]:
        """A copy of the owners of these rows."""
        return self._columns.owners[rows]

    def live_by_owner(self) -> dict[int, int]:
        return count_owners(self._columns.owners[self.live_rows()])

    def search_many(self, query: TierQuery) -> list[Candidates]:
        if not self._metadata:
            return [_EMPTY] * len(query.questions)
        return [self._scan(query, question) for question in query.questions]

    def _scan(self, query: TierQuery, question: distance.Question) -> Candidates:
        columns = self._columns
        rows = self._live_among(columns, query.filter)
        if not len(rows):
            return _NONE_MATCHES
        dense = len(rows) == rows[-1] + 1
        found = flat.scan(
            columns.vectors[: len(rows)] if dense else columns.vectors,
            question.vector,
            self._metric,
            query.wanted,
            norms=columns.norms[: len(rows)] if dense else columns.norms,
            selected=None if dense else rows,
        )
        similarities = question.similarities(columns.vectors[found], columns.norms[found])
        plan = f"hot: scan {len(rows)} rows"
        return scanned(query, found, columns.doc_ids[found], similarities, len(rows), plan)

    def count(self, condition: Filter | None) -> int:
        return self.live if condition is None else len(self._live_among(self._columns, condition))

    def _live_among(self, columns: _Columns, condition: Filter | None) -> Rows:
        """Rows that satisfy `condition` and were alive when this was called, ascending."""
        alive = columns.alive.copy()
        if condition is None:
            return np.flatnonzero(alive)
        rows = rows_of(self._index.match(condition)).astype(np.int64)
        rows = rows[rows < len(alive)]
        return rows[alive[rows]]

    def doc_ids_of(self, rows: Rows) -> npt.NDArray[np.uint64]:
        return self._columns.doc_ids[rows]

    def doc_ids_matching(self, condition: Filter | None) -> npt.NDArray[np.uint64]:
        rows = self.live_rows()
        if condition is not None:
            matching = rows_of(self._index.match(condition))
            rows = matching[self._columns.alive[matching]].astype(np.int64)
        return self._columns.doc_ids[rows]
