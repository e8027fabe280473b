"""What a table says of itself to somebody who does not use it: a restore, a command."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg import sql

from pykyro.engine.options import RemoteOptions
from pykyro.engine.remote.link import Link, refused
from pykyro.engine.remote.schema import STATES, states_exist
from pykyro.engine.remote.table import missing
from pykyro.model.errors import FailedPrecondition
from pykyro.model.types import LSN
from pykyro.storage.manifest import RemoteEntry


def table_position(entry: RemoteEntry, services_file: Path | None) -> LSN:
    """Up to which position the table of a collection holds everything. Raises RemoteAway, FailedPrecondition."""
    link = Link(entry.service, RemoteOptions(services_file=services_file), "kyrodb restore")
    connection = link.connect()
    try:
        found = None
        if states_exist(connection):
            found = connection.execute(
                sql.SQL("SELECT sealed_position FROM {} WHERE id = %s").format(STATES), [entry.table]
            ).fetchone()
        if found is None:
            raise FailedPrecondition(f"{missing(entry.table)}. Restore the backup of PostgreSQL first")
        return int(found[0])
    except psycopg.OperationalError as error:
        raise link.lost(error) from error
    except psycopg.Error as error:
        raise refused(entry.service, error) from error
    finally:
        connection.close()
        link.close()
