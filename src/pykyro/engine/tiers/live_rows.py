"""Which rows of a segment are alive."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap, FrozenBitMap

from pykyro.index.metadata.bitmaps import rows_of, to_bits
from pykyro.model.types import Bits


class LiveRows:
    """Which rows of a segment are alive. Edited in place while searches read it."""

    __slots__ = ("bits", "count", "deleted")

    def __init__(self, count: int, deleted: BitMap) -> None:
        self.count = count
        self.deleted: BitMap = BitMap()
        self.bits: Bits = np.packbits(np.ones(count, dtype=np.bool_), bitorder="little")
        for row in deleted:
            self.delete(row)

    def delete(self, row: int) -> None:
        # Searches in flight read the bits; one byte changes at once or not at all.
        self.bits[row >> 3] &= np.uint8(0xFF ^ (1 << (row & 7)))
        self.deleted.add(row)

    def among(self, matching: FrozenBitMap | None) -> int:
        """How many of these rows, None being all, are alive."""
        if matching is None:
            return self.count - len(self.deleted)
        return len(matching) - (matching.intersection_cardinality(self.deleted) if self.deleted else 0)

    def bits_of(self, matching: FrozenBitMap | None) -> Bits | None:
        """These rows, None being all, without the deleted ones; None when every row is among them."""
        if matching is None:
            return self.bits if self.deleted else None
        selected = to_bits(matching, self.count)
        return np.bitwise_and(selected, self.bits, out=selected)

    def rows_of(self, matching: FrozenBitMap | None) -> npt.NDArray[np.integer] | None:
        """As `bits_of`, their numbers."""
        if matching is not None:
            return rows_of(matching - self.deleted if self.deleted else matching)
        if not self.deleted:
            return None
        return np.flatnonzero(np.unpackbits(self.bits, count=self.count, bitorder="little"))
