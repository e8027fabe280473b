"""The keys of a segment's rows: the sections of a .rows file that say which document a row is.

    ids           u64   doc_id of each row, as its client knows it
    owners        u64   its owner (types.Key); the section is absent when no row belongs to a tenant
    sorted_ids    u64   the ids again, ascending; rows of one id by ascending owner
    sorted_rows   u32   the row of each sorted id

Earlier versions had no owners: the id of a tenant's row was packed (see records.py), and only its reserved metadata
said whose it was. Such a file is translated when it is opened, and written anew when the segment is merged.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from kyrodb.errors import DataDamaged
from kyrodb.metadata_wire import decode_metadata
from kyrodb.storage.records import unpacked_key
from kyrodb.storage.section_file import SectionFile, SectionWriter
from kyrodb.types import NOBODY, TENANT_INDEX_KEY, Key, key_doc_id, key_owner

OWNERS: Final = "owners"

DocIds = npt.NDArray[np.uint64]
Owners = npt.NDArray[np.uint64]


class RowKeys:
    """Of each row its id and its owner; `owners` None says that no row belongs to a tenant."""

    __slots__ = ("_first_id", "_last_id", "_sorted_ids", "_sorted_rows", "ids", "owners")

    def __init__(
        self, ids: DocIds, owners: Owners | None, sorted_ids: DocIds, sorted_rows: npt.NDArray[np.uint32]
    ) -> None:
        """The arrays are as in the file. Raises ValueError when they are not of one length, or empty."""
        lengths = {
            len(column) for column in (ids, ids if owners is None else owners, sorted_ids, sorted_rows)
        }
        if len(lengths) > 1 or not len(ids):
            raise ValueError("sections have different numbers of rows")
        self.ids = ids
        self.owners = owners
        self._sorted_ids = sorted_ids
        self._sorted_rows = sorted_rows
        self._first_id, self._last_id = int(sorted_ids[0]), int(sorted_ids[-1])

    def rows_of(self, key: Key) -> Iterator[int]:
        """The rows that hold this document: a merge that extends a graph keeps dead rows, so there may be several, of
        which one at most lives."""
        owner, doc_id = key_owner(key), key_doc_id(key)
        if not self._first_id <= doc_id <= self._last_id or (owner and self.owners is None):
            return
        ids, rows, owners = self._sorted_ids, self._sorted_rows, self.owners
        at = int(np.searchsorted(ids, np.uint64(doc_id)))
        if owners is not None:
            end = int(np.searchsorted(ids, np.uint64(doc_id), side="right"))
            at = bisect_left(range(end), owner, at, key=lambda place: int(owners[rows[place]]))
        while at < len(ids) and ids[at] == doc_id:
            row = int(rows[at])
            if owners is not None and owners[row] != owner:
                return
            yield row
            at += 1

    def owners_of(self, rows: npt.NDArray[np.integer]) -> Owners:
        """The owners of these rows."""
        if self.owners is None:
            return np.full(len(rows), NOBODY, np.uint64)
        owners: Owners = self.owners[rows]
        return owners


def write_row_keys(writer: SectionWriter, ids: DocIds, owners: Owners) -> None:
    """Add the sections to a .rows file."""
    tenanted = bool(owners.any())
    order = np.lexsort((owners, ids)) if tenanted else np.argsort(ids, kind="stable")
    writer.add("ids", ids)
    writer.add("sorted_ids", ids[order])
    writer.add("sorted_rows", order.astype(np.uint32))
    if tenanted:
        writer.add(OWNERS, owners)


def read_row_keys(file: SectionFile) -> RowKeys:
    """The keys in a .rows file. Raises DataDamaged."""
    ids = file.section("ids")
    try:
        if OWNERS in file.section_names:
            owners = file.section(OWNERS)
        elif _names_tenants(file):
            return _translated(file, ids)
        else:
            owners = None
        return RowKeys(ids, owners, file.section("sorted_ids"), file.section("sorted_rows"))
    except ValueError as error:
        raise DataDamaged(str(error), path=file.path) from None


def _names_tenants(file: SectionFile) -> bool:
    return TENANT_INDEX_KEY.encode() in bytes(file.section("reserved").data)


def _translated(file: SectionFile, packed: DocIds) -> RowKeys:
    """The keys of rows whose ids are packed. Raises ValueError."""
    offsets, reserved = file.section("reserved_offsets").tolist(), bytes(file.section("reserved").data)
    if len(offsets) != len(packed) + 1:
        raise ValueError("sections have different numbers of rows")
    ids = packed.copy()
    owners = np.zeros(len(ids), np.uint64)
    # Rows by the thousand have the same few entries: a tenant's, in a namespace.
    entries: dict[bytes, dict[str, str]] = {}
    for row, doc_id in enumerate(packed.tolist()):
        wire = reserved[offsets[row] : offsets[row + 1]]
        if not wire:
            continue
        metadata = entries.get(wire)
        if metadata is None:
            metadata = entries[wire] = decode_metadata(wire)
        key = unpacked_key(doc_id, metadata)
        ids[row], owners[row] = key_doc_id(key), key_owner(key)
    order = np.lexsort((owners, ids))
    return RowKeys(ids, owners, ids[order], order.astype(np.uint32))
