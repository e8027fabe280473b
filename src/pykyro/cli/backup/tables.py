"""Collections whose sealed documents are in PostgreSQL: a restore asks their tables for their positions first."""

from __future__ import annotations

import argparse

from pykyro.backup.history.catalog import Catalog
from pykyro.backup.history.elsewhere import meeting
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import RestorePlan
from pykyro.cli.backup import output
from pykyro.model.errors import Unavailable


def met(options: argparse.Namespace, catalog: Catalog, store: Store, plan: RestorePlan) -> RestorePlan:
    """The plan, so that it fits what the table holds now. Raises FailedPrecondition when none does."""
    entry = store.manifest(plan.base).remote
    if entry is None:
        return plan
    table = f"kyrodb.rows_{entry.table} of the PostgreSQL service {entry.service!r}"
    try:
        from pykyro.engine.remote.positions import table_position
    except ImportError:
        output.warn(
            f"{table} is not asked for its position: that needs pip install 'pykyro[postgres]'. {_THEN}"
        )
        return plan
    try:
        position = table_position(entry, options.cold_tier_services)
    except Unavailable as away:
        output.warn(f"{table} cannot be asked for its position: {away}. {_THEN}")
        return plan
    return meeting(catalog, plan, position, table)


_THEN = (
    "The newest files are taken; whether the table fits them is proved when the database is opened, and if not, "
    "restore once more when the table can be asked"
)
