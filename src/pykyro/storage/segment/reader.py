"""The rows of a cold segment, and which of them are alive: the one reader of the .rows and .dead formats.

The engine, backups, exports and trial recoveries all read segments through here, so that they count the same
documents. Sections of a .rows file, one entry a row unless said otherwise:

    ids, owners, sorted_ids, sorted_rows   which document a row is, see row_keys.py
    vectors         f32   (rows, dimension), as the client sent them
    norms           f64   their Euclidean lengths
    public_offsets  u64   rows + 1 offsets into `public`: metadata for clients, see metadata_wire.py
    reserved_offsets, reserved   the same for the reserved keys

Other sections are for searches, see engine/tiers/cold_segment.py. A .dead file has one section, dead_rows (u32,
ascending): the rows that were dead at the sealed position.

A merge that extends a graph keeps dead rows, so an id may stand in a segment several times, and in several
segments; at most one of those rows is alive.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from pyroaring import BitMap

from pykyro.model.errors import DataDamaged
from pykyro.model.types import Key, Rows
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import FileEntry, SegmentEntry
from pykyro.storage.segment.row_keys import DocIds, Owners, read_row_keys
from pykyro.storage.segment.section_file import SectionFile, open_section_file, read_section_file

DEAD_SECTION: Final = "dead_rows"


class SegmentRows:
    """The rows of a segment, mapped, and the bitmap of the dead ones. `delete` edits the bitmap in place."""

    def __init__(self, file: SectionFile, row_count: int, dead: BitMap) -> None:
        """`dead` is kept, not copied. Raises DataDamaged when the file does not hold `row_count` rows."""
        self.mapping = file.data
        self.rows = row_count
        self.dead = dead
        self.keys = read_row_keys(file)
        self.ids: DocIds = self.keys.ids
        self.first_key, self.last_key = self.keys.first, self.keys.last
        self.vectors = file.section("vectors")
        self.norms = file.section("norms")
        self._public_offsets = file.section("public_offsets").data
        self._public = file.section("public").data
        self._reserved_offsets, self._reserved = file.section("reserved_offsets"), file.section("reserved")
        if not self._shapes_agree():
            raise DataDamaged("sections have different numbers of rows", path=file.path)

    def lookup(self, key: Key) -> int | None:
        """The live row that holds this document, or None."""
        if not self.first_key <= key <= self.last_key:
            return None
        for row in self.keys.rows_of(key):
            if row not in self.dead:
                return row
        return None

    def owners_of(self, rows: Rows) -> Owners:
        """The owners of these rows."""
        return self.keys.owners_of(rows)

    def delete(self, row: int) -> None:
        """Mark a row deleted."""
        self.dead.add(row)

    def live_rows(self) -> Rows:
        """The numbers of the live rows, ascending."""
        alive = np.ones(self.rows, dtype=np.bool_)
        alive[np.array(self.dead, dtype=np.int64)] = False
        return np.flatnonzero(alive)

    def public_of(self, row: int) -> bytes:
        """The row's metadata for clients, in the form of metadata_wire."""
        return self._public[self._public_offsets[row] : self._public_offsets[row + 1]].tobytes()

    def reserved_of(self, row: int) -> bytes:
        """The row's reserved metadata, in the same form."""
        start, end = self._reserved_offsets[row : row + 2].tolist()
        return self._reserved[start:end].tobytes()

    def _shapes_agree(self) -> bool:
        per_row = (self.ids, self.vectors, self.norms)
        offsets = (self._public_offsets, self._reserved_offsets)
        return (
            self.rows > 0
            and self.vectors.ndim == 2
            and all(len(array) == self.rows for array in per_row)
            and all(len(array) == self.rows + 1 for array in offsets)
        )


def read_segment_rows(
    directory: Path, entry: SegmentEntry, content: Callable[[FileEntry], memoryview]
) -> SegmentRows:
    """A segment as it was at the sealed position, from the bytes of its files; `content` gives those of one.

    Proved are the footers, as whoever reads all bytes proves them anyhow. Raises DataDamaged.
    """
    rows = read_section_file(content(entry.rows), directory / entry.rows.name, entry.rows.facts)
    dead = BitMap()
    if entry.dead is not None:
        path = directory / entry.dead.name
        dead = _dead_rows(read_section_file(content(entry.dead), path, entry.dead.facts), entry)
    return SegmentRows(rows, entry.row_count, dead)


def open_dead_rows(filesystem: FileSystem, directory: Path, entry: SegmentEntry) -> BitMap:
    """The rows of a segment that were dead at the sealed position, every byte proved. Raises DataDamaged, OSError."""
    if entry.dead is None:
        return BitMap()
    return _dead_rows(open_section_file(filesystem, directory / entry.dead.name, entry.dead.facts), entry)


def _dead_rows(file: SectionFile, entry: SegmentEntry) -> BitMap:
    rows = file.section(DEAD_SECTION)
    if len(rows) != entry.dead_count or (len(rows) and int(rows.max()) >= entry.row_count):
        raise DataDamaged("dead rows do not fit the segment", path=file.path)
    return BitMap(rows)
