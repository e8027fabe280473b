"""A map of ids: in which rows of a remote table documents are. A section file that MANIFEST names.

.ids     ids            u64   of each entry the id, ascending among those of an owner
         rows           u32   of each entry the number of the row
         owners         u64   the owners (types.Key), ascending
         starts         u64   owners + 1: where the entries of each begin
         expiring_us    u64   the instants at which documents go by themselves, ascending
         expiring       u32   the entry of each of those documents
         dead           u32   rows deleted at the sealed position that this map or an older one still has, ascending

That is 12 bytes for a document. Several maps are one, as segments are: a document that is in two is alive in one row
at most, because the others are among the dead of the newest map.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from pykyro.model.errors import DataDamaged
from pykyro.model.types import DOC_ID_BITS, OWNER_SHIFT, Key
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import FileEntry
from pykyro.storage.segment.section_file import SectionFile, SectionWriter, open_section_file

_IDS: Final = "ids"
_ROWS: Final = "rows"
_OWNERS: Final = "owners"
_STARTS: Final = "starts"
_EXPIRING_US: Final = "expiring_us"
_EXPIRING: Final = "expiring"
_DEAD: Final = "dead"

UInt64s = npt.NDArray[np.uint64]
UInt32s = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class MapColumns:
    """Documents and their rows, in any order; `expires_us` is 0 for those that stay."""

    owners: UInt64s
    ids: UInt64s
    rows: UInt32s
    expires_us: UInt64s

    def __len__(self) -> int:
        return len(self.ids)


class IdMap:
    """An open map. Thread-safe: nothing in it changes."""

    def __init__(self, entry: FileEntry, file: SectionFile) -> None:
        """Raises DataDamaged when the sections do not fit each other."""
        self.entry = entry
        self.ids: UInt64s = np.asarray(file.section(_IDS))
        self.rows: UInt32s = np.asarray(file.section(_ROWS))
        self.owners: UInt64s = np.asarray(file.section(_OWNERS))
        starts = np.asarray(file.section(_STARTS)).astype(np.int64)
        self.expiring_us: UInt64s = np.asarray(file.section(_EXPIRING_US))
        self.expiring: UInt32s = np.asarray(file.section(_EXPIRING))
        self.dead = BitMap(file.section(_DEAD))
        if (
            len(self.ids) != len(self.rows)
            or len(starts) != len(self.owners) + 1
            or starts[-1] != len(self.ids)
            or len(self.expiring) != len(self.expiring_us)
        ):
            raise DataDamaged("sections of a map of ids have different lengths", path=file.path)
        self.counts = np.diff(starts)
        self._span_of = {
            owner: (first, last)
            for owner, first, last in zip(
                self.owners.tolist(), starts[:-1].tolist(), starts[1:].tolist(), strict=True
            )
        }

    def __len__(self) -> int:
        return len(self.ids)

    def row_of(self, key: Key) -> int | None:
        """The row that this map has for a document, dead or alive."""
        span = self._span_of.get(key >> OWNER_SHIFT)
        if span is None:
            return None
        first, last = span
        ids, doc_id = self.ids[first:last], np.uint64(key & DOC_ID_BITS)
        at = int(ids.searchsorted(doc_id))
        return int(self.rows[first + at]) if at < len(ids) and ids[at] == doc_id else None

    def entry_owners(self) -> UInt64s:
        """The owner of each entry."""
        return np.repeat(self.owners, self.counts)

    def columns(self) -> MapColumns:
        """All entries."""
        expires_us = np.zeros(len(self.ids), np.uint64)
        expires_us[self.expiring] = self.expiring_us
        return MapColumns(self.entry_owners(), self.ids, self.rows, expires_us)


def write_id_map(
    filesystem: FileSystem, directory: Path, number: int, columns: MapColumns, dead: BitMap
) -> FileEntry:
    """Write the map of this number; `dead` as above. The directory is the caller's to sync. Raises OSError."""
    order = np.lexsort((columns.ids, columns.owners))
    owners, starts = np.unique(columns.owners[order], return_index=True)
    expires_us = columns.expires_us[order]
    expiring = np.flatnonzero(expires_us)
    expiring = expiring[np.argsort(expires_us[expiring], kind="stable")]
    path = directory / filename.id_map(number)
    writer = SectionWriter(filesystem, path)
    try:
        writer.add(_IDS, columns.ids[order])
        writer.add(_ROWS, columns.rows[order])
        writer.add(_OWNERS, owners.astype(np.uint64))
        writer.add(_STARTS, np.append(starts, len(order)).astype(np.uint64))
        writer.add(_EXPIRING_US, expires_us[expiring])
        writer.add(_EXPIRING, expiring.astype(np.uint32))
        writer.add(_DEAD, np.array(dead, np.uint32))
        facts = writer.finish({"documents": len(columns)})
    except BaseException:
        writer.abandon()
        raise
    return FileEntry(name=path.name, size_bytes=facts.size_bytes, digest=facts.digest)


def open_id_map(filesystem: FileSystem, directory: Path, entry: FileEntry, *, verify: bool = True) -> IdMap:
    """Raises DataDamaged, FileNotFoundError, OSError."""
    return IdMap(entry, open_section_file(filesystem, directory / entry.name, entry.facts, verify=verify))
