"""A table brought to hold the sealed documents of an engine, by its difference to them.

A document at a position is one content. So what the table has and what it should have are two sets of owner, id and
position, whatever was copied when, by whom, and whatever merged here meanwhile: rows that should not be there go, and
those that are missing are copied. Nothing else need be remembered of a copy that was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from psycopg import sql
from pyroaring import BitMap

from pykyro.engine.remote.link import Connection
from pykyro.engine.remote.rows import COLUMNS, copy_rows, doc_id_of
from pykyro.engine.remote.schema import rows_table
from pykyro.engine.tiers.cold_segment import ColdSegment
from pykyro.model.errors import FailedPrecondition
from pykyro.model.expiry import NEVER_US, instant_us_in
from pykyro.model.types import Rows, key_of_owner
from pykyro.storage.id_map import MapColumns

ROWS_TOGETHER: Final = 1000
_DELETED_TOGETHER: Final = 10_000
_READ_TOGETHER: Final = 20_000
ENTRY_BYTES: Final = 36
"""Of a row that is there, in memory while the move goes on."""

UInt64s = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Sealed:
    """The documents of some segments that were alive at the sealed position."""

    segments: tuple[ColdSegment, ...]
    which: npt.NDArray[np.int64]
    """Of each document the number of its segment."""
    rows: Rows
    owners: UInt64s
    ids: UInt64s
    positions: UInt64s

    @classmethod
    def of(cls, segments: Sequence[ColdSegment]) -> Sealed:
        parts = []
        for at, segment in enumerate(segments):
            alive = np.ones(segment.rows, np.bool_)
            alive[np.array(segment.checkpoint_deleted, np.int64)] = False
            rows = np.flatnonzero(alive)
            which = np.full(len(rows), at, np.int64)
            parts.append(
                (
                    which,
                    rows,
                    segment.owners_of(rows),
                    segment.doc_ids_of(rows),
                    segment.positions_of(rows),
                )
            )
        none = np.empty(0, np.int64), np.empty(0, np.int64), *[np.empty(0, np.uint64)] * 3
        joined = [np.concatenate(columns) for columns in zip(none, *parts, strict=True)]
        return cls(tuple(segments), *joined)

    def norms(self) -> tuple[float, float] | None:
        """The least and the largest length of their vectors."""
        found = [segment.norms[self.rows[self.which == at]] for at, segment in enumerate(self.segments)]
        lengths = np.concatenate([np.empty(0), *found])
        return (float(lengths.min()), float(lengths.max())) if len(lengths) else None


class TableCopy:
    """Knows every row of the table. One thread calls it; `connection` is that of whoever claimed the table."""

    def __init__(self, table: str) -> None:
        self._rows = rows_table(table)
        self._owners: UInt64s = np.empty(0, np.uint64)
        self._ids: UInt64s = np.empty(0, np.uint64)
        self._positions: UInt64s = np.empty(0, np.uint64)
        self._expires_us: UInt64s = np.empty(0, np.uint64)
        self._numbers: npt.NDArray[np.uint32] = np.empty(0, np.uint32)
        self._added: list[tuple[npt.NDArray[Any], ...]] = []
        self.rows_end = 0
        """All rows have numbers below."""
        self.copied = 0

    def __len__(self) -> int:
        return len(self._ids)

    def read(self, connection: Connection) -> None:
        """See what an earlier try has left."""
        parts = [(self._numbers, self._owners, self._ids, self._positions, self._expires_us)]
        with connection.transaction(), connection.cursor(name="kyrodb_move", binary=True) as cursor:
            cursor.execute(
                sql.SQL("SELECT row, owner, doc_key, position, expires_us FROM {}").format(self._rows)
            )
            while found := cursor.fetchmany(_READ_TOGETHER):
                rows, owners, keys, positions, expires_us = zip(*found, strict=True)
                ids = np.fromiter(map(doc_id_of, keys), np.uint64, len(keys))
                parts.append(
                    (
                        np.array(rows, np.uint32),
                        np.array(owners, np.uint64),
                        ids,
                        np.array(positions, np.uint64),
                        np.array(expires_us, np.uint64),
                    )
                )
        self._set(*[np.concatenate(columns) for columns in zip(*parts, strict=True)])
        self.rows_end = int(self._numbers.max()) + 1 if len(self) else 0

    def difference(self, sealed: Sealed) -> tuple[Rows, Rows]:
        """The places of rows here that are to go, and of documents there that are missing."""
        here, there = len(self), len(sealed.ids)
        owners = np.concatenate([self._owners, sealed.owners])
        ids = np.concatenate([self._ids, sealed.ids])
        positions = np.concatenate([self._positions, sealed.positions])
        order = np.lexsort((positions, ids, owners))
        owners, ids, positions = owners[order], ids[order], positions[order]
        twin = (owners[1:] == owners[:-1]) & (ids[1:] == ids[:-1]) & (positions[1:] == positions[:-1])
        paired = np.zeros(here + there, np.bool_)
        paired[order[1:][twin]] = paired[order[:-1][twin]] = True
        alone = np.flatnonzero(~paired)
        return alone[alone < here], alone[alone >= here] - here

    def bring(
        self, connection: Connection, sealed: Sealed, steps: Callable[[Callable[[], None]], None]
    ) -> int:
        """Make the table hold these documents; how many rows that took. `steps` runs each step, a transaction of its
        own."""
        going, missing = self.difference(sealed)
        if len(going):
            numbers = self._numbers[going].tolist()
            kept = np.ones(len(self), np.bool_)
            kept[going] = False
            # First: an id is in the table once.
            for at in range(0, len(numbers), _DELETED_TOGETHER):
                some = numbers[at : at + _DELETED_TOGETHER]
                steps(partial(self._delete, connection, some))
            self._set(*[column[kept] for column in self._columns()])
        for segment, places in _by_segment(sealed, missing):
            for at in range(0, len(places), ROWS_TOGETHER):
                part = places[at : at + ROWS_TOGETHER]
                steps(partial(self._copy, connection, segment, sealed, part))
        self._set(*[np.concatenate(columns) for columns in zip(self._columns(), *self._added, strict=True)])
        self._added.clear()
        return len(going) + len(missing)

    def require_count(self, connection: Connection) -> None:
        """Raises FailedPrecondition unless the table has the rows that are known here, and no other."""
        found: Any = connection.execute(
            sql.SQL("SELECT count(*), coalesce(max(row), -1) FROM {}").format(self._rows)
        ).fetchone()
        if found[0] != len(self) or found[1] >= self.rows_end:
            raise FailedPrecondition(
                f"the table has {found[0]} rows, and {len(self)} were copied: somebody else writes to it, or it lost "
                "some. Nothing was moved; try again"
            )

    def columns(self) -> MapColumns:
        """Which row each document is in."""
        return MapColumns(self._owners, self._ids, self._numbers, self._expires_us)

    def _delete(self, connection: Connection, numbers: list[int]) -> None:
        connection.execute(sql.SQL("DELETE FROM {} WHERE row = ANY(%s)").format(self._rows), [numbers])

    def _copy(self, connection: Connection, segment: ColdSegment, sealed: Sealed, places: Rows) -> None:
        """Copy these documents of a segment."""
        rows = sealed.rows[places]
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(self._rows, sql.SQL(COLUMNS))
        with (
            connection.transaction(),
            connection.cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            for data in copy_rows(segment, rows, self.rows_end):
                copy.write(data)
        instants = [instant_us_in(segment.reserved_of(row)) for row in rows.tolist()]
        added = (
            np.arange(self.rows_end, self.rows_end + len(rows)).astype(np.uint32),
            sealed.owners[places],
            sealed.ids[places],
            sealed.positions[places],
            np.array([0 if instant >= NEVER_US else instant for instant in instants], np.uint64),
        )
        self._added.append(added)
        self.rows_end += len(rows)
        self.copied += len(rows)

    def _columns(self) -> tuple[npt.NDArray[Any], ...]:
        return self._numbers, self._owners, self._ids, self._positions, self._expires_us

    def _set(self, *columns: npt.NDArray[Any]) -> None:
        self._numbers, self._owners, self._ids, self._positions, self._expires_us = columns


def hidden_rows(segments: Sequence[ColdSegment], row_of: Callable[[int], int | None]) -> BitMap:
    """The rows of documents that were deleted or replaced since the sealed position; `row_of` knows the row of a
    key. For the writer."""
    found = BitMap()
    for segment in segments:
        gone = np.array(segment.deleted - segment.checkpoint_deleted, np.int64)
        for owner, doc_id in zip(
            segment.owners_of(gone).tolist(), segment.doc_ids_of(gone).tolist(), strict=True
        ):
            row = row_of(key_of_owner(owner, doc_id))
            if row is not None:
                found.add(row)
    return found


def _by_segment(sealed: Sealed, places: Rows) -> Iterator[tuple[ColdSegment, Rows]]:
    which = sealed.which[places]
    for at, segment in enumerate(sealed.segments):
        yield segment, places[which == at]
