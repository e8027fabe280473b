"""Removing backups that retention no longer wants."""

from __future__ import annotations

from pykyro.backup import filename
from pykyro.backup.history.catalog import read_catalog
from pykyro.backup.history.retention import Retention, backups_to_prune
from pykyro.backup.target.target import Target
from pykyro.system.clock import Clock


def prune_backups(target: Target, retention: Retention, clock: Clock, *, dry_run: bool = False) -> list[str]:
    """Remove backups; the ids of those removed, or that would be, oldest first.

    The newest go first: a crash in between leaves a backup with all it needs, or none of it. Raises DataDirInUse
    while another process changes the backups, OSError.
    """
    if dry_run:
        catalog = read_catalog(target)
        return [entry.id for entry in backups_to_prune(catalog, retention, clock.wall_us())]
    lock = target.lock()
    try:
        catalog = read_catalog(target)
        pruned = [entry.id for entry in backups_to_prune(catalog, retention, clock.wall_us())]
        names = target.sizes()
        for backup_id in reversed(pruned):
            # Without its archive a label says nothing; without its label an archive is a backup still.
            target.remove(filename.archive(backup_id))
            if filename.entry(backup_id) in names:
                target.remove(filename.entry(backup_id))
        for backup_id in catalog.orphans:
            target.remove(filename.entry(backup_id))
    finally:
        lock.release()
    return pruned
