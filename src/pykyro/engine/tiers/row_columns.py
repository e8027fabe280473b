"""What a hot tier keeps of each row beside its metadata, in arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pykyro.model.types import Matrix


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
