"""Verification of a backup: every byte of every archive it needs, and on request a recovery of what it restores to.

`check_recovery` works without the engine, by other means that must find the same: every byte is proved, the documents
are read from segments and log and counted, and some are searched for by a scan of all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pykyro.backup.directory_swap import remove_tree
from pykyro.backup.history.catalog import Catalog, CatalogEntry, mark_verified
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_backup
from pykyro.backup.offline_reader import OfflineReader
from pykyro.backup.restore import restore
from pykyro.backup.source.document_count import count_documents
from pykyro.backup.target.target import Target
from pykyro.model.distance import similarities
from pykyro.model.errors import DataDamaged
from pykyro.model.types import LSN, TEXT_ID_KEY, Metric
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import read_manifest
from pykyro.storage.verify import verify_directory
from pykyro.system.clock import Clock

Step = Callable[[int], None]


def verify_backup(
    target: Target, catalog: Catalog, backup_id: str, clock: Clock, step: Step = lambda size_bytes: None
) -> CatalogEntry:
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
) -> RecoveryCheck:
    """Restore a backup into `scratch`, which must not exist, recover it there and remove it.

    Raises the errors of `verify_backup` and `restore`, and DataDamaged when the recovery finds another state.
    """
    plan = plan_backup(catalog, backup_id)
    restore(filesystem, scratch, Store(target), plan, clock, allow_clear=False)
    try:
        report = check_recovery(filesystem, scratch)
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


def _verify_archive(target: Target, store: Store, entry: CatalogEntry, clock: Clock) -> CatalogEntry:
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


_PROBES: Final = 8


@dataclass(frozen=True, slots=True)
class RecoveryCheck:
    """Live documents, the last position, bytes proved, and how many documents were searched for and found."""

    documents: int
    lsn: LSN
    size_bytes: int
    searches: int


def check_recovery(filesystem: FileSystem, directory: Path) -> RecoveryCheck:
    """Recover a directory that no server is changing, in memory. Raises DataDamaged, OSError."""
    proved = verify_directory(filesystem, directory)
    if proved.damage:
        raise DataDamaged(proved.damage[0], path=directory)
    manifest = read_manifest(filesystem, directory)
    if manifest.remote is not None:
        # Its sealed documents are not here: they are counted by the maps of their ids.
        documents = count_documents(filesystem, directory, manifest)
        return RecoveryCheck(documents, proved.last_lsn, proved.size_bytes, 0)
    reader = OfflineReader(filesystem, directory)
    metric = reader.manifest.metric
    probes = reader.some(_PROBES)
    for document in probes:
        if (reader.manifest.text_ids is not None) != (TEXT_ID_KEY in document.metadata):
            raise DataDamaged(
                f"document {document.own_id!r} has an id of another type than the collection", path=directory
            )
        own = float(similarities(document.vector[None, :], document.vector, metric)[0])
        _, best = reader.nearest(document.vector)
        # Nothing is nearer to a vector than itself, except by inner product, where a longer one may be.
        if best < own or (metric is not Metric.INNER_PRODUCT and best > own + abs(own) * 1e-9):
            raise DataDamaged(
                f"a search for document {document.doc_id} finds similarity {best}, its own is {own}",
                path=directory,
            )
    return RecoveryCheck(reader.count, proved.last_lsn, proved.size_bytes, len(probes))
