"""Rows that share a point of the graph.

A graph of many equal rows falls into islands: each row's nearest neighbours are its equals, and no link leads out. So
rows of equal codes are one point, with a list of them beside it. On the list the rows of equal vectors stand
together, by ascending id: of those a search for the k best looks at the first k that are alive and match.

    point_rows     u32  rows         every row, those of a point together
    class_starts   u32  classes + 1  where the rows of each vector start in point_rows
    point_classes  u32  points + 1   where the vectors of each point start in class_starts
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pykyro.model.types import Bits, Matrix, Rows

Ids = npt.NDArray[np.uint64]

_CHUNK_ROWS: Final = 1 << 14
_MIXING: Final = np.uint64(0xBF58476D1CE4E5B9)
_WINDOW: Final = 8
"""How many times as many equal rows are looked through as are wanted, and how many more where those are not
enough."""
LISTED_MAX: Final = 1 << 14
"""Rows that may be looked through for one query; with more, a scan is no slower."""


class EqualRows:
    """The rows of every point of one graph. Nothing changes it."""

    def __init__(self, sections: Mapping[str, npt.NDArray[Any]]) -> None:
        """Raises ValueError when the arrays do not fit together."""
        self.point_rows, self.class_starts, self.point_classes = (
            np.asarray(sections[name]).astype(np.int64)
            for name in ("point_rows", "class_starts", "point_classes")
        )
        rows, classes = len(self.point_rows), len(self.class_starts) - 1
        if not (
            _divides(self.class_starts, rows)
            and _divides(self.point_classes, classes)
            and np.array_equal(np.sort(self.point_rows), np.arange(rows))
        ):
            raise ValueError("the lists of equal rows do not fit together")
        starts = self.class_starts[self.point_classes]
        self.point_of = np.empty(rows, np.int64)
        """The point of each row."""
        self.point_of[self.point_rows] = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        self.first_row = self.point_rows[starts[:-1]]
        """A row of each point."""
        self.is_shared: npt.NDArray[np.bool_] = np.diff(starts) > 1
        """Which points have several."""

    @property
    def points(self) -> int:
        return len(self.point_classes) - 1

    @property
    def memory_bytes(self) -> int:
        arrays = (self.point_rows, self.class_starts, self.point_classes, self.point_of)
        return sum(array.nbytes for array in arrays)

    def sections(self) -> dict[str, npt.NDArray[np.uint32]]:
        """What the constructor takes."""
        return {
            name: getattr(self, name).astype(np.uint32)
            for name in ("point_rows", "class_starts", "point_classes")
        }

    def expanded(self, points: Rows, selected: Bits | None, most: int) -> tuple[Rows, Rows, bool] | None:
        """The rows of these points, shape (n,), in their order, and for each which of `points` it is of.

        Of equal vectors the first `most` by id whose bit is set; whether there were more is said last. None when
        more than LISTED_MAX rows would have to be looked through.
        """
        first, end = self.point_classes[points], self.point_classes[points + 1]
        classes, of_point = _ranges(first, end)
        starts, all_ends = self.class_starts[classes], self.class_starts[classes + 1]
        window = most if selected is None else _WINDOW * most
        while True:
            # Of a long list of equal rows the beginning nearly always has enough that count.
            ends = np.minimum(all_ends, starts + window)
            if int((ends - starts).sum()) > LISTED_MAX:
                return None
            places, of_class = _ranges(starts, ends)
            rows = self.point_rows[places]
            if selected is None:
                return rows, of_point[of_class], bool((ends < all_ends).any())
            kept = np.flatnonzero((selected[rows >> 3] >> (rows & 7).astype(np.uint8)) & 1)
            rows, of_class = rows[kept], of_class[kept]
            found = np.bincount(of_class, minlength=len(classes))
            if not ((found < most) & (ends < all_ends)).any():
                break
            window *= _WINDOW
        nth = np.arange(len(rows)) - (np.cumsum(found) - found)[of_class]
        few = nth < most
        cut = bool((found > most).any() or (ends < all_ends).any())
        return rows[few], of_point[of_class[few]], cut

    def points_of(self, selected: Bits) -> Bits:
        """The points any of whose rows has its bit set, as bits."""
        rows = np.flatnonzero(np.unpackbits(selected, count=len(self.point_of), bitorder="little"))
        mask = np.zeros(self.points, np.bool_)
        mask[self.point_of[rows]] = True
        return np.packbits(mask, bitorder="little")


def equal_rows(point_of: Rows, vectors: Matrix, ids: Ids) -> EqualRows:
    """The lists for rows of which `point_of` says which point they belong to; points are numbered without gaps."""
    # Only rows that share their point are compared; the others are vectors of their own.
    vector_of = np.zeros(len(point_of), np.int64)
    shared = np.flatnonzero(np.bincount(point_of)[point_of] > 1)
    vector_of[shared] = numbered(row_keys(vectors, shared))[1]
    order = np.lexsort((ids, vector_of, point_of))
    points, keys = point_of[order], vector_of[order]
    new_point = np.ones(len(order), np.bool_)
    new_point[1:] = points[1:] != points[:-1]
    new_class = new_point.copy()
    new_class[1:] |= keys[1:] != keys[:-1]
    class_starts = np.append(np.flatnonzero(new_class), len(order))
    point_classes = np.searchsorted(class_starts, np.append(np.flatnonzero(new_point), len(order)))
    return EqualRows({"point_rows": order, "class_starts": class_starts, "point_classes": point_classes})


def row_keys(vectors: Matrix, rows: Rows) -> npt.NDArray[np.uint64]:
    """Keys of these rows of float32 vectors."""
    keys = Keys(4 * vectors.shape[1])
    found = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        found[part] = keys.of(np.ascontiguousarray(vectors[rows[part]]).view(np.uint8))
    return found


class Keys:
    """Numbers for rows of so many bytes: equal for equal rows, and for others by a chance of one in 2**64 only,
    because nobody can know the factors beforehand."""

    def __init__(self, row_bytes: int) -> None:
        self._words = -(-row_bytes // 8)
        self._factors = np.random.default_rng().integers(0, 2**64, self._words, np.uint64) | np.uint64(1)

    def of(self, rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
        """The number of each row, shape (n, bytes)."""
        padded = np.zeros((len(rows), 8 * self._words), np.uint8)
        padded[:, : rows.shape[1]] = rows
        words = padded.view(np.uint64)
        # Mixed first: a factor moves what differs upwards only, and two high bits could cancel each other.
        words ^= words >> np.uint64(29)
        words *= _MIXING
        words ^= words >> np.uint64(32)
        keys: npt.NDArray[np.uint64] = (words * self._factors).sum(axis=1, dtype=np.uint64)
        return keys


def numbered(keys: npt.NDArray[np.uint64]) -> tuple[Rows, Rows]:
    """The place of the first row of each different key, ascending, and for each row the number of its key in that
    order."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse]


def _ranges(starts: Rows, ends: Rows) -> tuple[Rows, Rows]:
    """The numbers from each start to its end, one after the other, and which range each is of."""
    sizes = ends - starts
    of_range = np.repeat(np.arange(len(starts)), sizes)
    before = np.cumsum(sizes) - sizes
    return np.arange(len(of_range)) - before[of_range] + starts[of_range], of_range


def _divides(ends: Rows, size: int) -> bool:
    return len(ends) > 0 and ends[0] == 0 and ends[-1] == size and bool((ends[1:] > ends[:-1]).all())
