"""Restoring a collection whose sealed documents are in a table elsewhere, which has a backup of its own.

The table describes one position exactly, T. What it lacks must be in the log: so a restore is complete if and only if
the files it begins with are of a position at or before T, and its log reaches T. Between two backups of ours any T is
met, for a later backup carries the log since the one before. Hence the order: ours, the table's, ours again.

Files of a later position than T have given up log that the table needs: then an earlier backup of the chain is the
base, and the log from there on is run again, which changes nothing twice.
"""

from __future__ import annotations

from dataclasses import replace

from pykyro.backup.archive.record import Record
from pykyro.backup.history.catalog import Catalog
from pykyro.backup.history.chain import chain_of, log_of
from pykyro.backup.history.timeline import RestorePlan
from pykyro.model.errors import FailedPrecondition
from pykyro.model.types import LSN


def meeting(catalog: Catalog, plan: RestorePlan, position: LSN, table: str) -> RestorePlan:
    """The way to the state of `plan` where the table holds `position`. Raises FailedPrecondition when none leads
    there."""
    if position > plan.lsn:
        raise FailedPrecondition(
            f"{table} holds positions up to {position}, and the state to restore ends at {plan.lsn}: writes in the "
            "table would be missing here. Restore a backup of PostgreSQL that is older, or of ours a state at or "
            "behind that position (an incremental backup made after that of PostgreSQL)"
        )
    if plan.base.sealed_lsn <= position:
        return plan
    log = log_of(catalog, plan.latest)
    reaches = log[0].base_lsn - 1 if log else plan.latest.sealed_lsn
    base = _newest(catalog, plan.latest, reaches, position)
    if base is None:
        raise FailedPrecondition(
            f"{table} holds positions up to {position}, and no backup here begins at or before it with the log to "
            f"{plan.lsn} behind it (it reaches back to {reaches}): writes between would be lost. Restore a backup of "
            "PostgreSQL that was made after the first and before the last backup of ours"
        )
    needed = tuple(one for one in log if one.last_lsn > base.sealed_lsn and one.base_lsn <= plan.lsn)
    return replace(plan, base=base, log=needed)


def _newest(catalog: Catalog, latest: Record, reaches: LSN, position: LSN) -> Record | None:
    """Of the backups whose files are of `position` at most, and which the log continues, the one furthest ahead."""
    present = {entry.id for entry in catalog.entries}
    fitting = [
        base
        for base in chain_of(catalog, latest)
        if reaches <= base.sealed_lsn <= position and {file.archive for file in base.files} <= present
    ]
    return max(fitting, key=lambda base: base.sealed_lsn, default=None)
