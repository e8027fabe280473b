"""Restoring collections: all that belong to a backup of `default`, beside it; or one, into a database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from pykyro.backup.collections import CollectionSet, place_of
from pykyro.backup.history.catalog import Catalog, read_catalog
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import RestorePlan, plan_backup
from pykyro.backup.restore import RestoreReport, Step, no_step, restore
from pykyro.backup.target.locate import open_target
from pykyro.model.collection import DEFAULT, checked_collection_name
from pykyro.model.errors import AlreadyExists, FailedPrecondition
from pykyro.storage import filename
from pykyro.storage.catalogue import CatalogueEntry, CatalogueStore, collection_directory, encode_catalogue
from pykyro.storage.files.filesystem import FileSystem, write_new_file
from pykyro.storage.files.lock import lock_directory
from pykyro.storage.files.remove_tree import remove_tree
from pykyro.system.clock import Clock

PlanOf = Callable[[Catalog, Store, str], RestorePlan]
"""From the backups of a collection, and the one that belongs to the set, what to restore."""


def plan_member(catalog: Catalog, store: Store, backup_id: str) -> RestorePlan:
    """The backup itself."""
    return plan_backup(catalog, backup_id)


def restore_beside(
    filesystem: FileSystem,
    staging: Path,
    place: str,
    collections: CollectionSet,
    clock: Clock,
    plan_of: PlanOf,
    step: Step,
) -> None:
    """Restore all collections of a set into the directory that becomes the database, and name them there.

    Raises FailedPrecondition, DataDamaged, ResourceExhausted, OSError.
    """
    if collections.members:
        filesystem.make_directory(staging / filename.COLLECTIONS)
    for number, backup_id in sorted(collections.members.items()):
        target = open_target(place_of(place, number))
        catalog, store = read_catalog(target), Store(target)
        plan = plan_of(catalog, store, backup_id)
        restore(
            filesystem,
            collection_directory(staging, number),
            store,
            plan,
            clock,
            allow_clear=False,
            step=step,
        )
    if collections.members:
        filesystem.sync_directory(staging / filename.COLLECTIONS)
    write_new_file(filesystem, staging / filename.CATALOGUE, [encode_catalogue(collections.catalogue)])
    filesystem.sync_directory(staging)


def restore_one(
    filesystem: FileSystem,
    data_dir: Path,
    name: str,
    entry: CatalogueEntry,
    store: Store,
    plan: RestorePlan,
    clock: Clock,
    step: Step = no_step,
) -> RestoreReport:
    """Restore a collection into the database in `data_dir`, which nobody has open, under a name that is free.

    It is there whole or not at all: the catalogue names it when everything else is done. Raises AlreadyExists,
    DataDirInUse, and what a restore raises.
    """
    checked_collection_name(name, "name")
    if not any(filesystem.exists(data_dir / one) for one in (filename.MANIFEST, filename.CATALOGUE)):
        raise FailedPrecondition(f"there is no database in {data_dir}: restore one there first, or create it")
    lock = lock_directory(filesystem, data_dir)
    try:
        catalogue = CatalogueStore(filesystem, data_dir)
        known = catalogue.current
        if name == DEFAULT or name in known.collections or name in known.aliases:
            raise AlreadyExists(
                f"the name {name!r} is taken in {data_dir}: restore it under another one, with --as"
            )
        number = catalogue.take_number()
        place = collection_directory(data_dir, number)
        own = entry.model_copy(update={"number": number})
        try:
            report = restore(filesystem, place, store, plan, clock, allow_clear=False, step=step)
            catalogue.update(
                lambda now: now.model_copy(update={"collections": {**now.collections, name: own}})
            )
        except BaseException:
            if catalogue.is_settled:
                with contextlib.suppress(OSError):
                    remove_tree(filesystem, place)
            raise
        return report
    finally:
        lock.release()
