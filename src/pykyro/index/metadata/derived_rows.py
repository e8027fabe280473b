"""Rows of a growing index that have the entries of another row, but for some of their own.

A merge of a few entries makes such a row. It is in the columns with its own entries alone, and of every other key it
has what its origin has: a row of the same index, or one of a segment's index. An origin is never itself derived.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from sys import getsizeof
from typing import Final

import numpy as np
from pyroaring import BitMap, FrozenBitMap

from pykyro.index.metadata.bitmaps import from_rows, rows_of
from pykyro.index.metadata.frozen_index import FrozenMetadataIndex
from pykyro.index.metadata.typed_columns import Condition
from pykyro.model.filter import Filter

_DERIVATION_BYTES: Final = 150
_PAIR_BYTES: Final = 16
"""A row and its origin, in arrays that have room to grow, and the origin in a set."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A row of the index `frozen`; None: of the same index."""

    row: int
    frozen: FrozenMetadataIndex | None = None


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a row is derived: what was changed since its origin, all merges together."""

    origin: Origin
    changes: Mapping[str, str]

    def with_changes(self, changes: Mapping[str, str]) -> Derivation:
        """How the next row is derived."""
        return Derivation(self.origin, {**self.changes, **changes})

    @property
    def size_bytes(self) -> int:
        """Memory it takes beside keys and values, which the index holds."""
        return _DERIVATION_BYTES + getsizeof(self.changes)


class DerivedRows:
    """Which rows are derived, and from which. Rows are added in ascending order, under the lock of the index."""

    def __init__(self) -> None:
        self._families: dict[FrozenMetadataIndex | None, _Family] = {}
        self.count = 0

    @property
    def size_bytes(self) -> int:
        """Memory it takes."""
        return self.count * _PAIR_BYTES

    def add(self, row: int, origin: Origin) -> None:
        family = self._families.get(origin.frozen)
        if family is None:
            family = self._families[origin.frozen] = _Family()
        family.rows.append(row)
        family.origins.append(origin.row)
        family.all_origins.add(origin.row)
        self.count += 1

    def matching(self, condition: Condition, own: FrozenBitMap, first: int = 0) -> FrozenBitMap:
        """The rows from `first` on whose origin matches a condition on one key; `own` are those that match by entries
        of their own. Some of what is found may have another value of the key."""
        found = []
        for frozen, family in self._families.items():
            start = bisect_left(family.rows, first)
            if start == len(family.rows):
                continue
            matched = (own if frozen is None else frozen.match(condition)) & family.all_origins
            if matched:
                rows, origins = (
                    np.array(part[start:], dtype=np.uint32) for part in (family.rows, family.origins)
                )
                found.append(rows[np.isin(origins, rows_of(matched))])
        return from_rows(np.sort(np.concatenate(found))) if found else FrozenBitMap()

    def since(self, first: int, value_of: Callable[[int], str | None]) -> Iterator[tuple[int, str]]:
        """Rows from `first` on that are derived from rows of the same index, each with the value that its origin has,
        if it has one."""
        family = self._families.get(None)
        if family is not None:
            for at in range(bisect_left(family.rows, first), len(family.rows)):
                value = value_of(family.origins[at])
                if value is not None:
                    yield family.rows[at], value

    def texts(self, key: str, value_of: Callable[[int], str | None]) -> Iterator[tuple[int, str]]:
        """Every row whose origin has a value of `key`, with that value; `value_of` gives that of a row of the same
        index. None has a value that is not text."""
        yield from self.since(0, value_of)
        for frozen, family in self._families.items():
            if frozen is not None:
                texts = frozen.texts_of(key, family.all_origins)
                for row, origin in zip(family.rows, family.origins, strict=True):
                    if origin in texts:
                        yield row, texts[origin]

    def forget(self, count: int) -> int:
        """Let the indexes of segments, of which some may be known here alone, let go of so many bytes of what they
        remember; how many it was. From any thread."""
        gone = 0
        for frozen in list(self._families):
            if frozen is not None and gone < count:
                gone += frozen.forget(count - gone)
        return gone

    def cost_us(self, condition: Filter) -> int:
        """What asking the indexes of segments takes."""
        return sum(frozen.cost_us(condition) for frozen in self._families if frozen is not None)


class _Family:
    """Rows derived from rows of one index; `rows` and `origins` go together."""

    __slots__ = ("all_origins", "origins", "rows")

    def __init__(self) -> None:
        self.rows = array("I")
        self.origins = array("I")
        self.all_origins = BitMap()
