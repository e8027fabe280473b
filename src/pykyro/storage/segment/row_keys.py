"""The keys of a segment's rows: the sections of a .rows file that say which document a row is, see layout.py.

Earlier versions had no owners: the id of a tenant's row was packed (see records.py), and only its reserved metadata
said whose it was. Such a file is translated when it is opened, and written anew when the segment is merged.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.model.errors import DataDamaged
from pykyro.model.metadata_wire import decode_metadata
from pykyro.model.types import (
    NOBODY,
    TENANT_INDEX_KEY,
    Key,
    Rows,
    key_doc_id,
    key_of_owner,
    key_owner,
    owner_of,
)
from pykyro.storage.segment import layout
from pykyro.storage.segment.section_file import SectionFile
from pykyro.storage.wal.records import PACKED_ID_BITS, PACKED_SHIFT, named_tenant

DocIds = npt.NDArray[np.uint64]
Owners = npt.NDArray[np.uint64]
_ROWS_AT_ONCE: Final = 4096


class RowKeys:
    """Of each row its id and its owner; `owners` None says that no row belongs to a tenant."""

    __slots__ = ("_sorted_ids", "_sorted_rows", "first", "ids", "last", "owners")

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
        # Sheds np.memmap, with which a search takes microseconds more.
        self._sorted_ids: DocIds = np.asarray(sorted_ids)
        self._sorted_rows = sorted_rows
        lowest, highest = (NOBODY, NOBODY) if owners is None else (int(owners.min()), int(owners.max()))
        self.first: Key = key_of_owner(lowest, int(sorted_ids[0]))
        self.last: Key = key_of_owner(highest, int(sorted_ids[-1]))
        """No key in the file is smaller than `first` or larger than `last`: most lookups need to know no more."""

    def rows_of(self, key: Key) -> list[int]:
        """The rows that hold this document: a merge that extends a graph keeps deleted rows, so there may be
        several, of which one at most is alive."""
        if not self.first <= key <= self.last:
            return []
        ids, rows, owners = self._sorted_ids, self._sorted_rows, self.owners
        doc_id = np.uint64(key_doc_id(key))
        at = int(ids.searchsorted(doc_id))
        if at == len(ids) or ids[at] != doc_id:
            return []
        if owners is not None:
            owner, end = key_owner(key), int(np.searchsorted(ids, doc_id, side="right"))
            at = bisect_left(range(end), owner, at, key=lambda place: int(owners[rows[place]]))
        found = []
        while at < len(ids) and ids[at] == doc_id and (owners is None or owners[rows[at]] == owner):
            found.append(int(rows[at]))
            at += 1
        return found

    def by_id(self, after: int | None, *, descending: bool) -> Iterator[Rows]:
        """All rows by their ids, dead ones included, some thousand at a time; those with ids above `after`, or below
        it when `descending`."""
        ids, rows = self._sorted_ids, self._sorted_rows
        if descending:
            end = len(ids) if after is None else int(np.searchsorted(ids, np.uint64(after)))
            for stop in range(end, 0, -_ROWS_AT_ONCE):
                yield rows[max(0, stop - _ROWS_AT_ONCE) : stop][::-1].astype(np.int64)
        else:
            first = 0 if after is None else int(np.searchsorted(ids, np.uint64(after), side="right"))
            for start in range(first, len(ids), _ROWS_AT_ONCE):
                yield rows[start : start + _ROWS_AT_ONCE].astype(np.int64)

    def owners_of(self, rows: npt.NDArray[np.integer]) -> Owners:
        """The owners of these rows."""
        if self.owners is None:
            return np.full(len(rows), NOBODY, np.uint64)
        owners: Owners = self.owners[rows]
        return owners


def read_row_keys(file: SectionFile) -> RowKeys:
    """The keys in a .rows file. Raises DataDamaged."""
    ids = file.section(layout.IDS)
    try:
        if layout.OWNERS in file.section_names:
            owners = file.section(layout.OWNERS)
        elif _names_tenants(file):
            return _translated(file, ids)
        else:
            owners = None
        return RowKeys(ids, owners, file.section(layout.SORTED_IDS), file.section(layout.SORTED_ROWS))
    except ValueError as error:
        raise DataDamaged(str(error), path=file.path) from None


def _names_tenants(file: SectionFile) -> bool:
    return TENANT_INDEX_KEY.encode() in bytes(file.section(layout.RESERVED).data)


class _OwnerByWire(dict[bytes, int]):
    """The owner that reserved metadata names: rows by the thousand have the same few entries."""

    def __missing__(self, wire: bytes) -> int:
        owner = self[wire] = owner_of(named_tenant(decode_metadata(wire)))
        return owner


def _translated(file: SectionFile, packed: DocIds) -> RowKeys:
    """The keys of rows whose ids are packed. Raises ValueError."""
    ends, reserved = file.section(layout.RESERVED_OFFSETS).tolist(), bytes(file.section(layout.RESERVED).data)
    if len(ends) != len(packed) + 1:
        raise ValueError("sections have different numbers of rows")
    owner_by_wire = _OwnerByWire()
    owners = np.array([owner_by_wire[reserved[start:end]] for start, end in pairwise(ends)], np.uint64)
    is_packed = (packed >> np.uint64(PACKED_SHIFT)) + np.uint64(1) == owners
    ids = np.where(is_packed, packed & np.uint64(PACKED_ID_BITS), packed)
    order = np.lexsort((owners, ids))
    return RowKeys(ids, owners, ids[order], order.astype(np.uint32))
