"""From segments to a table, while everything goes on.

    note      MOVING names the table, before it exists
    copy      what is missing there of what is sealed here, again and again until little is; the index of the vectors
    switch    while nothing is sealed or merged: the last of it, the position, one transaction; the same answers on
              both sides; the map of ids; then MANIFEST, which makes it true; then the swap in memory
    clean     the segments, MOVING

Killed before MANIFEST, the documents are here, and the next try finds in the table what this one copied. Killed
after, they are there.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import sql
from pyroaring import BitMap

from pykyro.engine.context import EngineContext
from pykyro.engine.maintenance.maintenance import Maintenance
from pykyro.engine.moving.moving_claim import MovingClaim
from pykyro.engine.moving.same_answers import require_same
from pykyro.engine.moving.table_copy import ENTRY_BYTES, Sealed, TableCopy, hidden_rows
from pykyro.engine.remote.claim import TableShape
from pykyro.engine.remote.id_maps import open_id_maps
from pykyro.engine.remote.link import Connection, Link, refused
from pykyro.engine.remote.remote import Remote
from pykyro.engine.remote.remote_tier import RemoteTier
from pykyro.engine.remote.replica import replica_of
from pykyro.engine.remote.schema import STATES, create_index
from pykyro.engine.remote.sealing import RemoteSealing
from pykyro.engine.remote.table import RemoteTable
from pykyro.memory.budget import Kind, mebibytes
from pykyro.model.cold_tier import ColdTier
from pykyro.model.errors import ResourceExhausted, Unavailable
from pykyro.model.requests import MoveReport
from pykyro.storage import filename
from pykyro.storage.id_map import write_id_map
from pykyro.storage.manifest import FileEntry, Manifest, RemoteEntry
from pykyro.storage.move_note import MoveNote, remove_move_note, write_move_note

_log: Final = logging.getLogger(__name__)
_LITTLE: Final = 2000
"""So few rows are copied while nothing is sealed."""
_PASSES_MAX: Final = 20


class Outward:
    """One move. `call` runs what no signal handler may tear."""

    def __init__(
        self,
        context: EngineContext,
        maintenance: Maintenance,
        call: Callable[[Callable[[], None]], None],
        on_step: Callable[[str], None],
    ) -> None:
        self._context = context
        self._maintenance = maintenance
        self._call = call
        self._on_step = on_step
        self._compared = 0

    def move(self, to: ColdTier, known: MoveNote | None) -> tuple[MoveReport, Remote]:
        """Raises RemoteAway, Unavailable, FailedPrecondition, ResourceExhausted, OSError; then it can be called
        again, and goes on. `known` is what an earlier try noted."""
        context, manifest = self._context, self._context.manifests.current
        link = Link(to.service, context.options.remote, f"kyrodb {context.directory.name}")
        remote = None
        try:
            link.connect().close()  # before anything is noted
            note = known or MoveNote(entry=RemoteEntry(service=to.service, table=os.urandom(8).hex()))
            if known is None:
                write_move_note(context.filesystem, context.directory, note)
            self._on_step("noted")
            table = RemoteTable(link, note.entry.table, manifest.dimension, manifest.metric)
            table.writers.update(note.entry.writers)
            shape = TableShape(
                context.options.m, context.options.ef_construction, f"kyrodb {context.directory.name}"
            )
            claim = MovingClaim(table, context.manifests, context.directory, shape)
            claim.note, claim.filesystem = note, context.filesystem
            claim.log_position = lambda: context.state.position
            remote = Remote(link, table, claim)
            report = self._copied(remote)
        except psycopg.OperationalError as error:
            raise self._failed(remote, link.lost(error)) from error
        except psycopg.Error as error:
            raise self._failed(remote, refused(to.service, error)) from error
        except BaseException:
            self._failed(remote, None)
            link.close()
            raise
        return report, remote

    def _failed(self, remote: Remote | None, error: Exception | None) -> Exception:
        """Let go of the table."""
        with self._context.writes.lock:
            self._context.state.moves_out = False
        if remote is not None:
            remote.close()
        return error or Unavailable("the move was given up")

    def _copied(self, remote: Remote) -> MoveReport:
        context = self._context
        connection = remote.claim.connection()
        self._on_step("claimed")
        copy = TableCopy(remote.table.table)
        need = ENTRY_BYTES * 4 * (context.state.documents + 1)
        if not context.memory.budget.has_room(Kind.CAN_WAIT, need):
            raise ResourceExhausted(
                f"a move of {context.state.documents} documents takes {mebibytes(need)} of memory, and there is no "
                "room for it: try later, or raise memory.limit"
            )
        with context.memory.builds.charge(need):
            copy.read(connection)
            for _ in range(_PASSES_MAX):
                # Holding the segments keeps them mapped, whatever is merged meanwhile.
                changed = copy.bring(connection, self._sealed(), self._step)
                _log.info("%s: %d of its rows are in the table", context.directory, len(copy))
                self._on_step("copied")
                if changed <= _LITTLE:
                    break
            self._on_step("index")
            self._index(remote, connection)
            # From here on no record of the log needs a look at the table to be carried out.
            with context.writes.lock:
                context.state.moves_out = True
            self._step(self._maintenance.flush)
            copy.bring(connection, self._sealed(), self._step)
            self._on_step("switch")
            self._call(lambda: self._switch(remote, connection, copy))
        return MoveReport(len(copy), copy.copied, self._compared, 0.0)

    def _sealed(self) -> Sealed:
        with self._maintenance.lock:
            return Sealed.of(self._context.state.version.cold)

    def _step(self, work: Callable[[], object]) -> None:
        with self._maintenance.moving:
            if self._maintenance.stopping:
                raise Unavailable("the database is being closed; move it when it is open again")
            work()

    def _index(self, remote: Remote, connection: Connection) -> None:
        table, shape = remote.table, remote.claim.shape
        with connection.transaction():
            create_index(
                connection,
                table.table,
                dimension=table.dimension,
                metric=table.metric,
                m=shape.m,
                ef_construction=shape.ef_construction,
            )

    def _switch(self, remote: Remote, connection: Connection, copy: TableCopy) -> None:
        context, maintenance = self._context, self._maintenance
        with maintenance.moving, maintenance.lock:
            if maintenance.stopping:
                raise Unavailable("the database is being closed; move it when it is open again")
            if maintenance.sealing.interrupted:
                maintenance.sealing.seal()
            maintenance.merging.cancel()
            sealed, position = self._sealed(), context.manifests.current.sealed_lsn
            with connection.transaction():
                copy.bring(connection, sealed, lambda work: work())
                copy.require_count(connection)
                connection.execute(
                    sql.SQL(
                        "UPDATE {} SET sealed_position = %s, seal_token = '', changed = now() WHERE id = %s"
                    ).format(STATES),
                    [position, remote.table.table],
                )
                self._on_step("commit")
            self._on_step("committed")
            self._install(remote, copy, sealed)

    def _install(self, remote: Remote, copy: TableCopy, sealed: Sealed) -> None:
        context = self._context
        number = context.manifests.take_number()
        try:
            columns = copy.columns()
            maps = (write_id_map(context.filesystem, context.directory, number, columns, BitMap()),)
            context.filesystem.sync_directory(context.directory)
            entry = self._entry(remote, copy, sealed, maps)
            opened = open_id_maps(context.filesystem, context.directory, maps)
            remote.table.sealed_position = context.manifests.current.sealed_lsn
            self._compared = require_same(
                context, sealed, RemoteTier(remote.table, opened, entry, context.memory)
            )
            self._on_step("manifest")

            def change(manifest: Manifest) -> Manifest:
                return manifest.model_copy(update={"remote": entry, "segments": ()})

            obsolete = context.change_manifest(change)
        except BaseException:
            context.manifests.abandon({filename.id_map(number)})
            raise
        self._on_step("installed")
        tier = RemoteTier(remote.table, opened, entry, context.memory)
        with context.writes.lock:
            for row in hidden_rows(sealed.segments, opened.row_of):
                tier.delete(row)
            context.state.settle_elsewhere(tier)
            context.remote = remote
            context.writes.follow(remote)
            context.state.moves_out = False
        remote.table.replica = replica_of(entry.service, context.options.remote, remote.claim.shape.purpose)
        context.memory.bound_hot_tier(context.options.remote.backlog_bytes_max)
        self._maintenance.sealing.use(RemoteSealing(context, remote.claim))
        context.remove_files(obsolete)
        self._on_step("removed")
        with contextlib.suppress(OSError):  # it is done: the note goes with the next move
            remove_move_note(context.filesystem, context.directory)

    def _entry(
        self, remote: Remote, copy: TableCopy, sealed: Sealed, maps: tuple[FileEntry, ...]
    ) -> RemoteEntry:
        norms = sealed.norms()
        return RemoteEntry(
            service=remote.link.service,
            table=remote.table.table,
            documents=len(copy),
            rows_end=copy.rows_end,
            maps=maps,
            writers=(remote.table.writer,),
            norm_min=None if norms is None else norms[0],
            norm_max=None if norms is None else norms[1],
        )
