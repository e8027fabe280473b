"""The cold tier of a collection that is a table: its parts, opened and closed together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psycopg
from psycopg import sql
from pyroaring import BitMap

from pykyro.engine.memory import EngineMemory
from pykyro.engine.options import EngineOptions
from pykyro.engine.remote.claim import Claim, TableShape
from pykyro.engine.remote.errors import RemoteAway
from pykyro.engine.remote.id_maps import IdMaps, open_id_maps
from pykyro.engine.remote.link import Link, refused
from pykyro.engine.remote.prefetch import prefetch
from pykyro.engine.remote.remote_tier import RemoteTier
from pykyro.engine.remote.replica import replica_of
from pykyro.engine.remote.rows import doc_id_of
from pykyro.engine.remote.schema import STATES, drop_tables, rows_table, states_exist
from pykyro.engine.remote.table import RemoteTable
from pykyro.engine.state import State
from pykyro.model.errors import DataDamaged, FailedPrecondition, KyroError
from pykyro.model.requests import Operation
from pykyro.model.types import LSN
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.id_map import MapColumns, write_id_map
from pykyro.storage.manifest import Manifest, RemoteEntry
from pykyro.storage.manifest_store import ManifestStore

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Remote:
    """Of one open engine."""

    link: Link
    table: RemoteTable
    claim: Claim

    @property
    def warning(self) -> str:
        """What is wrong with the other side; empty while nothing is."""
        if self.table.refusal:
            return self.table.refusal
        if away := self.link.away:
            return (
                f"the cold tier is away for {self.link.away_s:.0f} s: PostgreSQL of the service "
                f"{self.link.service!r}: {away}"
            )
        replica = self.table.replica
        return "" if replica is None else replica.trouble

    @property
    def is_away(self) -> bool:
        """Whether nothing can be sealed at this moment, as far as is known."""
        return bool(self.link.away or self.table.refusal)

    def enter(self, log_position: Callable[[], LSN]) -> None:
        """Claim the table, if it can be reached: else that is done by the first seal. `log_position` says where the
        log ends. Raises FailedPrecondition when the table is not ours, OSError."""
        self.claim.log_position = log_position
        try:
            self.claim.connection()
        except RemoteAway as away:
            if self.claim.must_prove:
                # Nobody knows yet whether the table fits what is here.
                raise
            _log.warning("%s; opened without it", away)
            return
        found, end = self.claim.found_position, log_position()
        if found > end:
            raise FailedPrecondition(self.claim.refuse_ahead(found, end))

    def prefetch(self, state: State, operations: Sequence[Operation | KyroError]) -> None:
        """Read what a group of writes wants to know."""
        prefetch(state, operations)

    def close(self) -> None:
        """Let go of the table."""
        self.claim.lost()
        self.link.close()
        if self.table.replica is not None:
            self.table.replica.close()
        self.table.forget_recent()


def open_remote(
    filesystem: FileSystem,
    directory: Path,
    options: EngineOptions,
    manifests: ManifestStore,
    memory: EngineMemory,
) -> tuple[Remote, RemoteTier]:
    """The parts, and the tier as MANIFEST says it is. Without its map of ids that is asked of the table, which has to
    be there. Raises RemoteAway, FailedPrecondition, OSError."""
    manifest = manifests.current
    entry = manifest.remote
    assert entry is not None
    purpose = f"kyrodb {directory.name}"
    link = Link(entry.service, options.remote, purpose)
    table = RemoteTable(link, entry.table, manifest.dimension, manifest.metric)
    table.replica = replica_of(entry.service, options.remote, purpose)
    table.sealed_position = manifest.sealed_lsn
    table.writers.update(entry.writers)
    shape = TableShape(options.m, options.ef_construction, purpose)
    remote = Remote(link, table, Claim(table, manifests, directory, shape))
    try:
        maps = _maps(filesystem, directory, manifests, remote)
        assert manifests.current.remote is not None
        return remote, RemoteTier(table, maps, manifests.current.remote, memory)
    except BaseException:
        remote.close()
        raise


def check_service(service: str, options: EngineOptions) -> None:
    """Raises RemoteAway or FailedPrecondition when there cannot be a cold tier."""
    link = Link(service, options.remote, "kyrodb")
    try:
        link.connect().close()
    finally:
        link.close()


def drop_remote(entry: RemoteEntry, options: EngineOptions) -> None:
    """Remove the table, if it is still that of this directory. Raises RemoteAway, FailedPrecondition."""
    link = Link(entry.service, options.remote, "kyrodb drop")
    try:
        connection = link.connect()
        try:
            with connection.transaction():
                if not states_exist(connection):
                    return
                found = connection.execute(
                    sql.SQL("SELECT writer, holder FROM {} WHERE id = %s FOR UPDATE").format(STATES),
                    [entry.table],
                ).fetchone()
                if found is None:
                    return
                if found[0] not in entry.writers:
                    _log.warning(
                        "kyrodb.rows_%s is left where it is: it was claimed by %s", entry.table, found[1]
                    )
                    return
                drop_tables(connection, entry.table)
        except psycopg.OperationalError as error:
            raise link.lost(error) from error
        except psycopg.Error as error:
            raise refused(entry.service, error) from error
        finally:
            connection.close()
    finally:
        link.close()


def _maps(filesystem: FileSystem, directory: Path, manifests: ManifestStore, remote: Remote) -> IdMaps:
    entry = manifests.current.remote
    assert entry is not None
    try:
        return open_id_maps(filesystem, directory, entry.maps)
    except (DataDamaged, FileNotFoundError) as damage:
        _log.warning("%s. The map of ids is made anew from kyrodb.rows_%s", damage, entry.table)
    number = manifests.take_number()
    position, columns = _all_ids(remote)
    file = write_id_map(filesystem, directory, number, columns, BitMap())
    filesystem.sync_directory(directory)

    def change(manifest: Manifest) -> Manifest:
        """As the table is: a seal that MANIFEST had not heard of counts from now on."""
        assert manifest.remote is not None
        rows_end = int(columns.rows.max(initial=0)) + 1 if len(columns) else manifest.remote.rows_end
        update = {
            "maps": (file,),
            "documents": len(columns),
            "rows_end": max(rows_end, manifest.remote.rows_end),
        }
        return manifest.model_copy(
            update={"remote": manifest.remote.model_copy(update=update), "sealed_lsn": position}
        )

    try:
        manifests.update(change)
    except BaseException:
        manifests.abandon({filename.id_map(number)})
        raise
    remote.table.sealed_position = position
    return open_id_maps(filesystem, directory, (file,))


def _all_ids(remote: Remote) -> tuple[LSN, MapColumns]:
    """The position of the table, and all its documents."""
    connection, table = remote.claim.connection(), remote.table
    try:
        with connection.transaction(), connection.cursor(binary=True) as cursor:
            found: Any = cursor.execute(
                sql.SQL("SELECT sealed_position FROM {} WHERE id = %s FOR UPDATE").format(STATES),
                [table.table],
            ).fetchone()
            rows = cursor.execute(
                sql.SQL("SELECT owner, doc_key, row, expires_us FROM {}").format(rows_table(table.table))
            ).fetchall()
    except psycopg.OperationalError as error:
        raise table.link.lost(error) from error
    columns: list[Any] = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    return int(found[0]), MapColumns(
        np.array(columns[0], np.uint64),
        np.fromiter(map(doc_id_of, columns[1]), np.uint64, len(rows)),
        np.array(columns[2], np.uint32),
        np.array(columns[3], np.uint64),
    )
