"""The rows of a hot tier beside their metadata."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pykyro.engine.tiers.tier import Marks, count_owners
from pykyro.model.types import LSN, Matrix, Rows, Vector


class RowColumns:
    """Arrays of one capacity; growth makes a new set, so a reader's set stays whole."""

    __slots__ = ("alive", "doc_ids", "norms", "owners", "positions", "vectors")

    def __init__(self, capacity: int, dimension: int) -> None:
        self.vectors: Matrix = np.empty((capacity, dimension), dtype=np.float32)
        self.norms: npt.NDArray[np.float64] = np.empty(capacity, dtype=np.float64)
        self.doc_ids: npt.NDArray[np.uint64] = np.empty(capacity, dtype=np.uint64)
        self.owners: npt.NDArray[np.uint64] = np.zeros(capacity, dtype=np.uint64)
        self.positions: npt.NDArray[np.uint64] = np.zeros(capacity, dtype=np.uint64)
        self.alive: npt.NDArray[np.bool_] = np.zeros(capacity, dtype=np.bool_)

    def grown(self, rows: int) -> RowColumns:
        larger = RowColumns(2 * len(self.alive), self.vectors.shape[1])
        for name in self.__slots__:
            getattr(larger, name)[:rows] = getattr(self, name)[:rows]
        return larger


class RowsInColumns:
    """What can be read of rows that are in columns. Readers take no lock."""

    _columns: RowColumns

    @property
    def rows(self) -> int:
        raise NotImplementedError

    def vector(self, row: int) -> Vector:
        vector: Vector = self._columns.vectors[row]
        vector.flags.writeable = False
        return vector

    def position_of(self, row: int) -> LSN:
        return int(self._columns.positions[row])

    def positions_of(self, rows: Rows) -> npt.NDArray[np.uint64]:
        return self._columns.positions[rows]

    def live_rows(self) -> Rows:
        """Row numbers alive at this moment, ascending."""
        return np.flatnonzero(self._columns.alive)

    def live_marks(self, owner: int) -> Marks:
        """A mark for each row that is alive at this moment and of this owner. While nothing is written."""
        columns, rows = self._columns, self.rows
        marks: Marks = columns.alive[:rows] & (columns.owners[:rows] == np.uint64(owner))
        return marks

    def columns_of(self, rows: Rows) -> tuple[npt.NDArray[np.uint64], Matrix, npt.NDArray[np.float64]]:
        """Copies of doc_ids, vectors and norms of these rows."""
        columns = self._columns
        return columns.doc_ids[rows], columns.vectors[rows], columns.norms[rows]

    def owners_of(self, rows: Rows) -> npt.NDArray[np.uint64]:
        """A copy of the owners of these rows."""
        return self._columns.owners[rows]

    def live_by_owner(self) -> dict[int, int]:
        return count_owners(self._columns.owners[self.live_rows()])

    def vectors_of(self, rows: Rows) -> Matrix:
        """Copies of the vectors of these rows."""
        return self._columns.vectors[rows]

    def norms_of(self, rows: Rows) -> npt.NDArray[np.float64]:
        """Copies of their lengths."""
        return self._columns.norms[rows]

    def doc_ids_of(self, rows: Rows) -> npt.NDArray[np.uint64]:
        return self._columns.doc_ids[rows]
