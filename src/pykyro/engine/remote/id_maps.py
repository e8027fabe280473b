"""All maps of ids of a collection as one: in which live row of the remote table each sealed document is.

Each seal writes a map of what it moved, and takes in those before it that are not much larger: so there are few, and
an entry is written again O(log n) times, as in merging.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from pyroaring import BitMap

from pykyro.model.expiry import NEVER_US
from pykyro.model.types import Key, key_of_owner
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.id_map import IdMap, MapColumns, open_id_map, write_id_map
from pykyro.storage.manifest import FileEntry

_SIZE_RATIO: Final = 4


class IdMaps:
    """The maps of one state of the table; never changed."""

    def __init__(self, maps: tuple[IdMap, ...]) -> None:
        """`maps`, the oldest first."""
        self.maps = maps
        self._newest_first = maps[::-1]
        self._dead: BitMap = maps[-1].dead if maps else BitMap()

    def row_of(self, key: Key) -> int | None:
        """The live row of a document."""
        for one in self._newest_first:
            row = one.row_of(key)
            if row is not None and row not in self._dead:
                return row
        return None

    def owners(self, hidden: BitMap) -> dict[int, int]:
        """How many live rows each owner has, those of `hidden` left out."""
        gone, found = self._dead | hidden, dict[int, int]()
        for one in self.maps:
            owners, rows = one.entry_owners(), one.rows
            numbers, counts = np.unique(owners[_alive(rows, gone)], return_counts=True)
            for owner, count in zip(numbers.tolist(), counts.tolist(), strict=True):
                found[owner] = found.get(owner, 0) + count
        return found

    def live_rows(self, hidden: BitMap) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The numbers of the live rows that are not `hidden`, ascending."""
        gone = self._dead | hidden
        parts = [one.rows[_alive(one.rows, gone)] for one in self.maps]
        return np.sort(np.concatenate([np.empty(0, np.uint32), *parts])).astype(np.int64)

    def due(self, first_us: int, last_us: int, hidden: BitMap) -> Iterator[tuple[int, Key]]:
        """Live rows whose documents go from `first_us` to `last_us`, and their keys."""
        for one in self.maps:
            first = int(one.expiring_us.searchsorted(np.uint64(max(0, first_us))))
            last = int(one.expiring_us.searchsorted(np.uint64(max(0, last_us)), side="right"))
            for entry in one.expiring[first:last].tolist():
                row = int(one.rows[entry])
                if row not in self._dead and row not in hidden:
                    owner = int(one.owners[np.searchsorted(np.cumsum(one.counts), entry, side="right")])
                    yield row, key_of_owner(owner, int(one.ids[entry]))

    def next_expiry_us(self, after_us: int) -> int:
        """No live row goes between `after_us` and this instant."""
        least = NEVER_US
        for one in self.maps:
            at = int(one.expiring_us.searchsorted(np.uint64(after_us), side="right"))
            if at < len(one.expiring_us):
                least = min(least, int(one.expiring_us[at]))
        return least

    def followed_by(
        self, filesystem: FileSystem, directory: Path, number: int, added: MapColumns, hidden: BitMap
    ) -> tuple[FileEntry, ...]:
        """Write the map of a seal that added documents and found `hidden` rows deleted; the maps there are then.
        Raises OSError."""
        kept, taken, size = list(self.maps), [added], len(added)
        while kept and len(kept[-1]) <= _SIZE_RATIO * max(1, size):
            last = kept.pop()
            taken.append(last.columns())
            size += len(last)
        gone = self._dead | hidden
        merged = [_without(columns, gone) for columns in taken]
        columns = MapColumns(
            np.concatenate([part.owners for part in merged]),
            np.concatenate([part.ids for part in merged]),
            np.concatenate([part.rows for part in merged]),
            np.concatenate([part.expires_us for part in merged]),
        )
        dead = BitMap()
        for one in kept:
            dead |= gone & BitMap(one.rows)
        entry = write_id_map(filesystem, directory, number, columns, dead)
        return (*(one.entry for one in kept), entry)


def open_id_maps(
    filesystem: FileSystem, directory: Path, entries: tuple[FileEntry, ...], known: IdMaps | None = None
) -> IdMaps:
    """The maps that MANIFEST names; those of `known` are open already. Raises DataDamaged, OSError."""
    by_name = {one.entry.name: one for one in known.maps} if known is not None else {}
    return IdMaps(
        tuple(
            by_name.get(entry.name) or open_id_map(filesystem, directory, entry, verify=known is None)
            for entry in entries
        )
    )


def _alive(
    rows: np.ndarray[tuple[int], np.dtype[np.uint32]], gone: BitMap
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    if not gone:
        return np.ones(len(rows), np.bool_)
    return ~np.isin(rows, np.array(gone, np.uint32))


def _without(columns: MapColumns, gone: BitMap) -> MapColumns:
    alive = _alive(columns.rows, gone)
    return MapColumns(
        columns.owners[alive], columns.ids[alive], columns.rows[alive], columns.expires_us[alive]
    )
