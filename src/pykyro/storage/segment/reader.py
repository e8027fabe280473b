"""The files of a cold segment, read: the one reader of their format, which is described in layout.py.

The engine, backups, exports and trial recoveries all read segments through here, so that they count the same
documents.

A merge that extends a graph keeps deleted rows, so an id may stand in a segment several times, and in several
segments; at most one of those rows is alive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from pykyro.model.errors import DataDamaged
from pykyro.model.types import LSN, Key, Rows
from pykyro.storage.files.checksum import digest
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import FileEntry, SegmentEntry
from pykyro.storage.segment import layout
from pykyro.storage.segment.blobs import Blobs, blobs_at
from pykyro.storage.segment.row_keys import DocIds, Owners, read_row_keys
from pykyro.storage.segment.section_file import (
    AnyArray,
    FileFacts,
    SectionFile,
    open_section_file,
    read_section_file,
)


class SegmentRows:
    """The rows of a segment, mapped, and the bitmap of the deleted ones. `delete` edits the bitmap in place."""

    def __init__(self, file: SectionFile, row_count: int, deleted: BitMap, covers: LSN = 0) -> None:
        """`deleted` is kept, not copied. `covers` is a position at or behind every write in here: that of the rows,
        where the file has none for each. Raises DataDamaged when the file does not hold `row_count` rows."""
        self.file = file
        self.mapping = file.data
        self.rows = row_count
        self.deleted = deleted
        self.keys = read_row_keys(file)
        self.ids: DocIds = self.keys.ids
        self.first_key, self.last_key = self.keys.first, self.keys.last
        self.vectors = file.section(layout.VECTORS)
        self.norms = file.section(layout.NORMS)
        self.covers = covers
        self._positions: npt.NDArray[np.uint64] | None = None
        if layout.POSITIONS in file.section_names:
            self._positions = file.section(layout.POSITIONS)
        self._public_offsets = file.section(layout.PUBLIC_OFFSETS).data
        self._public = file.section(layout.PUBLIC).data
        self._reserved_offsets, self._reserved = (
            file.section(layout.RESERVED_OFFSETS),
            file.section(layout.RESERVED),
        )
        if not self._shapes_agree():
            raise DataDamaged("sections have different numbers of rows", path=file.path)

    def lookup(self, key: Key) -> int | None:
        """The live row that holds this document, or None."""
        if not self.first_key <= key <= self.last_key:
            return None
        for row in self.keys.rows_of(key):
            if row not in self.deleted:
                return row
        return None

    def owners_of(self, rows: Rows) -> Owners:
        """The owners of these rows."""
        return self.keys.owners_of(rows)

    def position_of(self, row: int) -> LSN:
        """The position of the write that made this row, or `covers` in files of earlier versions."""
        return self.covers if self._positions is None else int(self._positions[row])

    def positions_of(self, rows: Rows) -> npt.NDArray[np.uint64]:
        """`position_of` each of these rows."""
        if self._positions is None:
            return np.full(len(rows), self.covers, np.uint64)
        return self._positions[rows]

    def delete(self, row: int) -> None:
        """Mark a row deleted."""
        self.deleted.add(row)

    def live_rows(self) -> Rows:
        """The numbers of the live rows, ascending."""
        alive = np.ones(self.rows, dtype=np.bool_)
        alive[np.array(self.deleted, dtype=np.int64)] = False
        return np.flatnonzero(alive)

    def public_of(self, row: int) -> bytes:
        """The row's metadata for clients, in the form of metadata_wire."""
        return self._public[self._public_offsets[row] : self._public_offsets[row + 1]].tobytes()

    def reserved_of(self, row: int) -> bytes:
        """The row's reserved metadata, in the same form."""
        start, end = self._reserved_offsets[row : row + 2].tolist()
        return self._reserved[start:end].tobytes()

    def public_blobs(self, rows: Rows) -> Blobs:
        """The metadata for clients of these rows, ascending."""
        return blobs_at(np.asarray(self._public_offsets), np.asarray(self._public), rows)

    def reserved_blobs(self, rows: Rows) -> Blobs:
        """The reserved metadata of these rows, ascending."""
        return blobs_at(self._reserved_offsets, self._reserved, rows)

    def _shapes_agree(self) -> bool:
        positions = self.ids if self._positions is None else self._positions
        per_row = (self.ids, self.vectors, self.norms, positions)
        offsets = (self._public_offsets, self._reserved_offsets)
        return (
            self.rows > 0
            and self.vectors.ndim == 2
            and all(len(array) == self.rows for array in per_row)
            and all(len(array) == self.rows + 1 for array in offsets)
        )


@dataclass(frozen=True, slots=True)
class SegmentFiles:
    """The open files of a segment. `graph` is where its graph is, None when it has none; `shape` belongs to the
    graph, and those of earlier versions have none. `deleted` are the rows deleted at the sealed position."""

    rows: SectionFile
    graph: Path | None
    shape: SectionFile | None
    deleted: BitMap

    @property
    def dimension(self) -> int:
        return int(self.rows.section(layout.VECTORS).shape[1])


def open_segment_files(
    filesystem: FileSystem, directory: Path, entry: SegmentEntry, *, verify: bool
) -> SegmentFiles:
    """Map the files of a segment that the MANIFEST names, every byte proved first; `verify=False` is for files this
    process has just written and synced. Raises DataDamaged, OSError."""
    rows = open_section_file(filesystem, directory / entry.rows.name, entry.rows.facts, verify=verify)
    graph = shape = None
    if entry.graph is not None:
        graph = directory / entry.graph.name
        if verify:
            # The library believes whatever it reads, so it is given nothing that was not proved.
            verify_graph(filesystem, graph, entry.graph.facts)
        if entry.shape is not None:
            path = directory / entry.shape.name
            shape = open_section_file(filesystem, path, entry.shape.facts, verify=verify)
    return SegmentFiles(rows, graph, shape, open_deleted_rows(filesystem, directory, entry))


def verify_graph(filesystem: FileSystem, path: Path, facts: FileFacts) -> None:
    """Prove an HNSW graph file, which the library that loads it does not. Raises DataDamaged."""
    data = filesystem.map(path)
    if data.nbytes != facts.size_bytes or digest(data) != facts.digest:
        raise DataDamaged("graph does not match its digest", path=path, hint="Restore from a backup")


def index_sections(file: SectionFile) -> dict[str, AnyArray]:
    """The arrays of the metadata index in a .rows file, by the names the index gave them."""
    return _sections(file, layout.INDEX_PREFIX)


def word_sections(file: SectionFile) -> dict[str, AnyArray]:
    """The same of the index of words; empty where the collection has none."""
    return _sections(file, layout.WORDS_PREFIX)


def _sections(file: SectionFile, prefix: str) -> dict[str, AnyArray]:
    return {
        name.removeprefix(prefix): file.section(name)
        for name in file.section_names
        if name.startswith(prefix)
    }


def read_segment_rows(
    directory: Path, entry: SegmentEntry, content: Callable[[FileEntry], memoryview]
) -> SegmentRows:
    """A segment as it was at the sealed position, from the bytes of its files; `content` gives those of one.

    Proved are the footers, as whoever reads all bytes proves them anyhow. Raises DataDamaged.
    """
    rows = read_section_file(content(entry.rows), directory / entry.rows.name, entry.rows.facts)
    deleted = BitMap()
    if entry.dead is not None:
        path = directory / entry.dead.name
        deleted = _deleted_rows(read_section_file(content(entry.dead), path, entry.dead.facts), entry)
    return SegmentRows(rows, entry.row_count, deleted)


def open_deleted_rows(filesystem: FileSystem, directory: Path, entry: SegmentEntry) -> BitMap:
    """The rows of a segment deleted at the sealed position, every byte proved. Raises DataDamaged, OSError."""
    if entry.dead is None:
        return BitMap()
    return _deleted_rows(open_section_file(filesystem, directory / entry.dead.name, entry.dead.facts), entry)


def _deleted_rows(file: SectionFile, entry: SegmentEntry) -> BitMap:
    rows = file.section(layout.DELETED_ROWS)
    if len(rows) != entry.dead_count or (len(rows) and int(rows.max()) >= entry.row_count):
        raise DataDamaged("dead rows do not fit the segment", path=file.path)
    return BitMap(rows)
