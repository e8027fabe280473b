"""The one writer of a table: who that is, and what it finds of the seals before it.

The writer holds an advisory lock for as long as its connection lasts, so PostgreSQL itself lets go of it when the
process or the machine dies. Under which name a directory claims the table is new each time, and stands in MANIFEST
before it stands in the table: who finds another name there than one of its own was overtaken, by a copy of the
directory, and writes nothing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from pykyro.engine.remote.link import Connection, refused
from pykyro.engine.remote.schema import STATES, check_format, create_tables, states_exist
from pykyro.engine.remote.table import RemoteTable, behind, missing, taken_over
from pykyro.model.errors import FailedPrecondition
from pykyro.model.types import LSN
from pykyro.storage.manifest import Manifest
from pykyro.storage.manifest_store import ManifestStore

_WAIT_S: Final = 10.0
_LOOK_S: Final = 0.05
"""A process that was killed holds the lock until PostgreSQL notices."""
_WRITERS_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class TableShape:
    """What is to be seen of the collection, and how the index of its vectors is built."""

    m: int
    ef_construction: int
    purpose: str


class Claim:
    """Of one open engine. The methods are called by one thread at a time."""

    def __init__(
        self, table: RemoteTable, manifests: ManifestStore, directory: Path, shape: TableShape
    ) -> None:
        self._table = table
        self._manifests = manifests
        self._directory = directory
        self.shape = shape
        self._connection: Connection | None = None
        self.log_position: Callable[[], LSN] | None = None
        """Where the log ends, once that is known."""
        self.found_position: LSN = 0
        """The position of the table when it was claimed."""

    @property
    def must_prove(self) -> bool:
        """Whether the directory was restored, and its position not yet compared with that of the table."""
        return bool(self._remote().restored)

    def connection(self) -> Connection:
        """The connection that holds the lock. Raises RemoteAway, FailedPrecondition, OSError."""
        if self._table.refusal:
            raise FailedPrecondition(self._table.refusal)
        held = self._connection
        if held is not None and _is_alive(held):
            return held
        self.lost()
        connection = self._table.link.connect()
        try:
            self._take_lock(connection)
            # What takes long here is waited for: COPY, and the index that grows with it.
            connection.execute("SELECT set_config('statement_timeout', '0', false)")
            self._enter(connection)
        except psycopg.OperationalError as error:
            connection.close()
            raise self._table.link.lost(error) from error
        except psycopg.Error as error:
            connection.close()
            raise refused(self._table.link.service, error) from error
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def lost(self) -> None:
        """The connection is of no use any more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _take_lock(self, connection: Connection) -> None:
        until_s = time.monotonic() + _WAIT_S
        key = int(self._table.table, 16) - (1 << 63)
        while True:
            found = connection.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()
            if found is not None and found[0]:
                return
            if time.monotonic() > until_s:
                raise FailedPrecondition(
                    f"kyrodb.rows_{self._table.table} is in use by another writer, {self._holder(connection)}"
                )
            time.sleep(_LOOK_S)

    def _holder(self, connection: Connection) -> str:
        found = connection.execute(
            sql.SQL("SELECT holder FROM {} WHERE id = %s").format(STATES), [self._table.table]
        ).fetchone()
        return str(found[0]) if found is not None else "which has not said its name"

    def _enter(self, connection: Connection) -> None:
        """Write our name into the table, first into MANIFEST; the table is created where it never was."""
        table, writer = self._table, os.urandom(8).hex()
        remote = self._remote()
        known = (*remote.writers[-_WRITERS_MAX:], writer)
        self._write(known)
        # Before it is in the table: who reads meanwhile must know it.
        table.writers.add(writer)
        with connection.transaction():
            state = self._state(connection)
            if state is None:
                if not self._may_create:
                    table.refusal = missing(table.table)
                    raise FailedPrecondition(table.refusal)
                self._create(connection, writer)
            else:
                self._check(state, known)
                connection.execute(
                    sql.SQL(
                        "UPDATE {} SET writer = %s, holder = %s, history = %s, changed = now() WHERE id = %s"
                    ).format(STATES),
                    [writer, self._who(), self._manifests.current.history, table.table],
                )
        table.writer = writer
        self._write((writer,))

    @property
    def _may_create(self) -> bool:
        """Whether it is right that there is no table."""
        return not (self._remote().rows_end or self._manifests.current.sealed_lsn)

    @property
    def _position_min(self) -> LSN:
        """The table holds no less."""
        return self._manifests.current.sealed_lsn

    def _state(self, connection: Connection) -> dict[str, Any] | None:
        if not states_exist(connection):
            return None
        names = "format, dimension, metric, history, writer, holder, sealed_position"
        found = connection.execute(
            sql.SQL("SELECT {} FROM {} WHERE id = %s FOR UPDATE").format(sql.SQL(names), STATES),
            [self._table.table],
        ).fetchone()
        return None if found is None else dict(zip(names.split(", "), found, strict=True))

    def _check(self, state: dict[str, Any], known: tuple[str, ...]) -> None:
        table, manifest = self._table, self._manifests.current
        check_format(state["format"], table.table)
        position = state["sealed_position"]
        ours = state["writer"] in known or self._remote().restored
        if not ours or state["history"] not in _histories(manifest):
            table.refusal = taken_over(table.table, state["holder"])
        elif (state["dimension"], state["metric"]) != (manifest.dimension, manifest.metric.value):
            table.refusal = f"kyrodb.rows_{table.table} is of another dimension or distance"
        elif position < self._position_min:
            table.refusal = behind(table.table, position, manifest.sealed_lsn)
        elif self.log_position is not None and position > (end := self.log_position()):
            self.refuse_ahead(position, end)
        self.found_position = position
        if table.refusal:
            raise FailedPrecondition(table.refusal)

    def refuse_ahead(self, position: LSN, end: LSN) -> str:
        """Use the table no more: it has what this directory does not know of."""
        self._table.refusal = (
            f"kyrodb.rows_{self._table.table} holds positions up to {position}, and the log of this directory ends "
            f"at {end}: the directory was restored from an older backup. Restore both, the table to a position that "
            "the log here reaches: a backup of PostgreSQL made before the last one of KyroDB"
        )
        return self._table.refusal

    def _create(self, connection: Connection, writer: str) -> None:
        manifest, shape = self._manifests.current, self.shape
        create_tables(connection, self._table.table, dimension=manifest.dimension)
        connection.execute(
            sql.SQL(
                "INSERT INTO {} (id, format, collection, dimension, metric, history, writer, holder) "
                "VALUES (%s, 1, %s, %s, %s, %s, %s, %s)"
            ).format(STATES),
            [
                self._table.table,
                shape.purpose,
                manifest.dimension,
                manifest.metric.value,
                manifest.history,
                writer,
                self._who(),
            ],
        )

    def _remote(self) -> Any:
        remote = self._manifests.current.remote
        assert remote is not None
        return remote

    def _write(self, writers: tuple[str, ...]) -> None:
        def change(manifest: Manifest) -> Manifest:
            assert manifest.remote is not None
            update: dict[str, Any] = {"writers": writers}
            if writers == (self._table.writer,):
                update["restored"] = False
            return manifest.model_copy(update={"remote": manifest.remote.model_copy(update=update)})

        self._manifests.update(change)

    def _who(self) -> str:
        return f"process {os.getpid()} on {socket.gethostname()}, directory {self._directory}"


def _is_alive(connection: Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def _histories(manifest: Manifest) -> set[str]:
    branch = manifest.branched_from
    return {manifest.history} if branch is None else {manifest.history, branch.history}
