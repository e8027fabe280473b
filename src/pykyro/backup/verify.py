"""Proving a backup: every byte of every archive it needs, and on request a trial recovery of what it restores to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pykyro.backup.directory_swap import remove_tree
from pykyro.backup.history.catalog import Catalog, Entry, mark_verified
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_backup
from pykyro.backup.restore import restore
from pykyro.backup.target.target import Target
from pykyro.backup.trial_recovery import TrialReport, try_recovery
from pykyro.model.errors import DataDamaged
from pykyro.storage.files.filesystem import FileSystem
from pykyro.system.clock import Clock

Step = Callable[[int], None]


def verify_backup(
    target: Target, catalog: Catalog, backup_id: str, clock: Clock, step: Step = lambda size_bytes: None
) -> Entry:
    """Prove a backup and all it needs, and note so in the labels; its entry, with the digest that was found.

    Raises InvalidArgument when there is no such backup, FailedPrecondition when one it needs is gone,
    DataDamaged, OSError.
    """
    plan_backup(catalog, backup_id)
    store = Store(target)
    entry = catalog.find(backup_id)
    for needed in catalog.chain(entry):
        verified = _verify_archive(target, store, needed, clock)
        step(verified.size_bytes)
        if needed.id == backup_id:
            entry = verified
    store.require_restorable(entry.record)
    return entry


def verify_deep(
    filesystem: FileSystem, scratch: Path, target: Target, catalog: Catalog, backup_id: str, clock: Clock
) -> TrialReport:
    """Restore a backup into `scratch`, which must not exist, recover it there and remove it.

    Raises what `verify_backup` and `restore` raise, and DataDamaged when the recovery finds another state.
    """
    plan = plan_backup(catalog, backup_id)
    restore(filesystem, scratch, Store(target), plan, clock, allow_clear=False)
    try:
        report = try_recovery(filesystem, scratch)
    finally:
        remove_tree(filesystem, scratch)
    record = plan.base
    if (report.documents, report.lsn) != (record.documents, record.position.lsn):
        raise DataDamaged(
            f"recovers to {report.documents} documents at position {report.lsn}; the backup was made of "
            f"{record.documents} at {record.position.lsn}",
            path=f"{target.location}/{backup_id}",
        )
    return report


def _verify_archive(target: Target, store: Store, entry: Entry, clock: Clock) -> Entry:
    archive = store.archive(entry.id)
    digest = archive.verify()
    if entry.digest not in ("", digest) or archive.record != entry.record:
        raise DataDamaged(
            f"Checksum mismatch: expected 0x{entry.checksum:08X} computed 0x{int(digest[:8], 16):08X}",
            path=f"{target.location}/{entry.id}",
            hint="Use another backup",
        )
    try:
        return mark_verified(target, entry, digest, clock.wall_us())
    except OSError:
        # On a read-only medium the backup is no worse for it.
        return replace(entry, digest=digest)
