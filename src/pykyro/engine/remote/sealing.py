"""Sealing where the cold tier is a table: the rows of a hot tier become rows there.

    table      one transaction: the row of the collection is locked and says that the table is ours; rows that a seal
               left which nobody heard of are removed, and those whose documents were deleted or replaced; COPY; the
               position
    map        which row each document is in
    install    MANIFEST first, which makes it true here, and lets the log before it go; then the swap in memory

Dying or being cut off before the commit leaves the table as it was. Behind it, the table has a position that MANIFEST
does not have: the same engine finds its token there and goes on; a later one, which has replayed the log, replaces
what that seal added by a seal of its own. In between the rows that nobody knows are never looked at, and the rows
that are gone are hidden here, for the log says why they went.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import psycopg
from psycopg import sql

from pykyro.engine.context import SegmentContext
from pykyro.engine.maintenance.builder import BuildFailed
from pykyro.engine.maintenance.tier_sealing import FrozenTier, TierSealing
from pykyro.engine.remote.claim import Claim
from pykyro.engine.remote.id_maps import open_id_maps
from pykyro.engine.remote.link import Connection, refused
from pykyro.engine.remote.remote_tier import RemoteTier
from pykyro.engine.remote.rows import COLUMNS, copy_rows
from pykyro.engine.remote.schema import STATES, create_index, rows_table
from pykyro.engine.remote.table import missing, taken_over
from pykyro.model.errors import FailedPrecondition, ResourceExhausted
from pykyro.model.expiry import NEVER_US, instant_us_in
from pykyro.storage import filename
from pykyro.storage.id_map import MapColumns
from pykyro.storage.manifest import FileEntry, Manifest, RemoteEntry
from pykyro.storage.wal.retention import kept_wal

_ROWS_MAX: Final = 1 << 32
_TOGETHER_BYTES: Final = 1 << 18
_DELETED_TOGETHER: Final = 10_000


@dataclass(slots=True)
class _Placed:
    """What a seal of the table knows that is to be true of it."""

    frozen: FrozenTier
    first_row: int
    norms: tuple[float, float] | None


class RemoteSealing(TierSealing):
    """One seal at a time."""

    def __init__(self, context: SegmentContext, claim: Claim) -> None:
        super().__init__(context)
        self._claim = claim
        self.on_step: Callable[[str], None] = lambda step: None
        """Told of each step, before it is taken."""

    def seal(self, frozen: FrozenTier, wal_retention_bytes: int | None) -> set[str]:
        """Move the tier; the names of files that became obsolete, see TierSealing.seal. Raises RemoteAway,
        Unavailable, FailedPrecondition, OSError; then it can be called again."""
        context = self._context
        placed = _Placed(frozen, self._remote.rows_end, _norms(frozen))
        if placed.first_row + len(frozen.live_rows) >= _ROWS_MAX:
            raise ResourceExhausted(
                "the table has had as many rows as there are numbers for: copy the collection"
            )
        self._into_table(placed)
        number = context.manifests.take_number()
        try:
            maps = self._write_map(placed, number)
            keys = self._write_keys(frozen, number)
            return self._install_remote(placed, maps, keys, wal_retention_bytes)
        except BaseException:
            context.manifests.abandon(filename.segment_files(number))
            raise

    @property
    def _remote(self) -> RemoteEntry:
        remote = self._context.manifests.current.remote
        assert remote is not None
        return remote

    @property
    def _tier(self) -> RemoteTier:
        tier = self._context.state.version.remote
        assert tier is not None
        return tier

    def _into_table(self, placed: _Placed) -> None:
        """The transaction; nothing when it was done already."""
        claim, table = self._claim, self._tier.table
        connection = claim.connection()
        try:
            self._check_stopping()
            self.on_step("begin")
            with connection.transaction():
                if self._is_done(connection, placed):
                    return
                self._remove(connection, placed)
                self._copy(connection, placed)
                self.on_step("index")
                create_index(
                    connection,
                    table.table,
                    dimension=table.dimension,
                    metric=table.metric,
                    m=claim.shape.m,
                    ef_construction=claim.shape.ef_construction,
                )
                connection.execute(
                    sql.SQL(
                        "UPDATE {} SET sealed_position = %s, seal_token = %s, changed = now() WHERE id = %s"
                    ).format(STATES),
                    [placed.frozen.lsn, placed.frozen.token, table.table],
                )
                self.on_step("commit")
            self.on_step("committed")
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            claim.lost()
            raise table.link.lost(error) from error
        except psycopg.Error as error:
            claim.lost()
            raise refused(table.link.service, error) from error
        except BaseException:
            claim.lost()
            raise

    def _is_done(self, connection: Connection, placed: _Placed) -> bool:
        """Lock the row of the collection; whether this seal is in the table. Raises FailedPrecondition when the table
        is not ours."""
        table = self._tier.table
        found = connection.execute(
            sql.SQL(
                "SELECT writer, holder, sealed_position, seal_token FROM {} WHERE id = %s FOR UPDATE"
            ).format(STATES),
            [table.table],
        ).fetchone()
        if found is None:
            table.refusal = missing(table.table)
        elif found[0] != table.writer:
            table.refusal = taken_over(table.table, found[1])
        if table.refusal or found is None:
            raise FailedPrecondition(table.refusal)
        return bool(found[2:] == (placed.frozen.lsn, placed.frozen.token))

    def _remove(self, connection: Connection, placed: _Placed) -> None:
        self.on_step("remove")
        rows = rows_table(self._tier.table.table)
        connection.execute(sql.SQL("DELETE FROM {} WHERE row >= %s").format(rows), [placed.first_row])
        hidden = list(placed.frozen.hidden)
        for at in range(0, len(hidden), _DELETED_TOGETHER):
            connection.execute(
                sql.SQL("DELETE FROM {} WHERE row = ANY(%s)").format(rows),
                [hidden[at : at + _DELETED_TOGETHER]],
            )

    def _copy(self, connection: Connection, placed: _Placed) -> None:
        self.on_step("copy")
        frozen, waiting, size = placed.frozen, list[bytes](), 0
        statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
            rows_table(self._tier.table.table), sql.SQL(COLUMNS)
        )
        if not len(frozen.live_rows):
            return
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for data in copy_rows(frozen.tier, frozen.live_rows, placed.first_row):
                if self._stopping:
                    raise BuildFailed("the seal was cancelled")
                waiting.append(data)
                size += len(data)
                if size > _TOGETHER_BYTES:
                    copy.write(b"".join(waiting))
                    waiting, size = [], 0
            self.on_step("copied")
            copy.write(b"".join(waiting))

    def _write_map(self, placed: _Placed, number: int) -> tuple[FileEntry, ...]:
        self.on_step("map")
        context, frozen = self._context, placed.frozen
        rows = frozen.live_rows
        instants = [instant_us_in(frozen.tier.metadata(row).reserved) for row in rows.tolist()]
        added = MapColumns(
            frozen.tier.owners_of(rows),
            frozen.tier.columns_of(rows)[0],
            np.arange(placed.first_row, placed.first_row + len(rows)).astype(np.uint32),
            np.array([0 if instant >= NEVER_US else instant for instant in instants], np.uint64),
        )
        return self._tier.maps.followed_by(
            context.filesystem, context.directory, number, added, frozen.hidden
        )

    def _install_remote(
        self,
        placed: _Placed,
        maps: tuple[FileEntry, ...],
        keys: FileEntry | None,
        retention: int | None,
    ) -> set[str]:
        """Make it true here; the names of files it made obsolete."""
        context, frozen, tier = self._context, placed.frozen, self._tier
        context.filesystem.sync_directory(context.directory)
        retained = None if retention is None else self._retained_bytes(frozen.lsn, retention)
        rows_end = placed.first_row + len(frozen.live_rows)
        documents = tier.rows - len(frozen.hidden) + len(frozen.live_rows)

        def change(manifest: Manifest) -> Manifest:
            assert manifest.remote is not None
            bounds = _both(manifest.remote, placed.norms)
            update = {"documents": documents, "rows_end": rows_end, "maps": maps, **bounds}
            return manifest.model_copy(
                update={
                    "remote": manifest.remote.model_copy(update=update),
                    "wal": manifest.wal if retained is None else kept_wal(manifest.wal, frozen.lsn, retained),
                    "sealed_lsn": frozen.lsn,
                    "keys": keys,
                }
            )

        opened = open_id_maps(context.filesystem, context.directory, maps, tier.maps)
        self.on_step("manifest")
        obsolete = context.change_manifest(change)
        self.on_step("installed")
        arriving = RemoteTier(tier.table, opened, self._remote, context.memory)
        with context.lock:
            tier.table.sealed_position = frozen.lsn
            for row in tier.hidden - frozen.hidden:
                arriving.delete(row)
            now_live = frozen.tier.live_rows()
            for at in np.flatnonzero(~np.isin(frozen.live_rows, now_live)).tolist():
                arriving.delete(placed.first_row + at)
            context.state.replace_remote(frozen.tier, arriving)
        return obsolete


def _norms(frozen: FrozenTier) -> tuple[float, float] | None:
    _, _, norms = frozen.tier.columns_of(frozen.live_rows)
    return (float(norms.min()), float(norms.max())) if len(norms) else None


def _both(known: RemoteEntry, found: tuple[float, float] | None) -> dict[str, float]:
    """Bounds of the lengths of all vectors that are or were there."""
    if found is None:
        return {}
    least, most = found
    return {
        "norm_min": least if known.norm_min is None else min(least, known.norm_min),
        "norm_max": most if known.norm_max is None else max(most, known.norm_max),
    }
