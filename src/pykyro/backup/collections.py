"""Backups of the collections of a database: each has a history of its own, so that it can be continued, brought to an
instant and restored by itself, whatever the others do.

    backup_20250601T120000Z.tar          a backup of `default`, as ever
    collections_20250601T120000Z.json    which collections there were then, and which backup of each belongs to it
    collections.json                     every collection that was ever backed up here: number, name, configuration
    collections/7/                       the backups of one collection: a place like this one

A collection that did not change since its last backup is not copied again. `default` is backed up first and the set
is written last: without a set the backups are of `default` alone, as those of earlier versions are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pykyro.backup import filename
from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.catalog import CatalogEntry, read_catalog
from pykyro.backup.target.locate import open_target
from pykyro.backup.target.target import Target
from pykyro.model.errors import DataDamaged, FailedPrecondition, KyroError
from pykyro.storage.catalogue import (
    Catalogue,
    CatalogueEntry,
    collection_directory,
    read_catalogue,
)
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import read_manifest
from pykyro.storage.wal.retention import is_sealed
from pykyro.system.clock import Clock

FORMAT: Final = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Part = TypeVar("Part", bound=_Part)


class CollectionSet(_Part):
    """The collections that belong to a backup of `default`, and the backup of each by its number."""

    format: Literal[1] = FORMAT
    catalogue: Catalogue
    members: dict[int, str] = {}


class KnownCollection(_Part):
    name: str
    entry: CatalogueEntry


class KnownCollections(_Part):
    """Every collection that has backups at a place, by its number; the latest name and configuration of each."""

    format: Literal[1] = FORMAT
    collections: dict[int, KnownCollection] = {}

    def number_of(self, name: str) -> int | None:
        """The number of the collection that was called so, of several the one created last."""
        return max((number for number, one in self.collections.items() if one.name == name), default=None)


@dataclass(frozen=True, slots=True)
class MadeBackup:
    """The backup of one collection, None for one that did not change."""

    name: str
    entry: CatalogEntry | None


def place_of(place: str, number: int) -> str:
    """Where the backups of a collection are, of those in `place`."""
    return f"{place.rstrip('/')}/{filename.COLLECTIONS}/{number}"


def set_of(target: Target, backup_id: str) -> CollectionSet | None:
    """The collections that belong to a backup; None for one of `default` alone. Raises DataDamaged, OSError."""
    return _read(target, filename.collection_set(backup_id), CollectionSet)


def known_collections(target: Target) -> KnownCollections:
    """Raises DataDamaged, OSError."""
    return _read(target, filename.KNOWN_COLLECTIONS, KnownCollections) or KnownCollections()


def back_up_collections(
    filesystem: FileSystem,
    data_dir: Path,
    place: str,
    clock: Clock,
    options: CreateOptions,
    *,
    of: CatalogEntry | None = None,
    only: str | None = None,
) -> list[MadeBackup]:
    """Back up every collection but `default`, or `only` the one of this name; they belong to the backup `of`.

    Raises FailedPrecondition when there is none of that name, and what create_backup raises. One that is dropped
    meanwhile is left out.
    """
    catalogue = read_catalogue(filesystem, data_dir)
    chosen = {name: one for name, one in catalogue.collections.items() if only in (None, name)}
    if only is not None and not chosen:
        raise FailedPrecondition(f"there is no collection {only!r} in {data_dir}")
    if not chosen and not catalogue.aliases:
        return []
    made, members = list[MadeBackup](), dict[int, str]()
    for name, entry in chosen.items():
        try:
            backup_id, new = _back_up(filesystem, data_dir, place, clock, options, entry.number)
        except (KyroError, OSError):
            if entry.number in {
                each.number for each in read_catalogue(filesystem, data_dir).collections.values()
            }:
                raise
            continue
        members[entry.number] = backup_id
        made.append(MadeBackup(name, new))
    target = open_target(place)
    lock = target.lock()
    try:
        known = dict(known_collections(target).collections)
        for name, entry in chosen.items():
            if entry.number in members:
                known[entry.number] = KnownCollection(name=name, entry=entry)
        _write(target, filename.KNOWN_COLLECTIONS, KnownCollections(collections=known))
        if of is not None:
            there = {name: entry for name, entry in catalogue.collections.items() if entry.number in members}
            numbers = {0, *members}
            aliases = {alias: number for alias, number in catalogue.aliases.items() if number in numbers}
            kept = catalogue.model_copy(update={"collections": there, "aliases": aliases})
            _write(target, filename.collection_set(of.id), CollectionSet(catalogue=kept, members=members))
    finally:
        lock.release()
    return made


def _back_up(
    filesystem: FileSystem, data_dir: Path, place: str, clock: Clock, options: CreateOptions, number: int
) -> tuple[str, CatalogEntry | None]:
    """The backup that holds the collection as it is now, and the same if it is new."""
    directory, own = collection_directory(data_dir, number), place_of(place, number)
    target = open_target(own)
    restorable = read_catalog(target).restorable()
    if options.incremental and restorable and _holds_all(filesystem, directory, restorable[0]):
        return restorable[0].id, None
    # A collection that was created since has nothing to build on, which is no error.
    wanted = (
        options if restorable else replace(options, incremental=False, full_after_days=None, reference=None)
    )
    entry = create_backup(filesystem, directory, target, clock, replace(wanted, reference=None))
    return entry.id, entry


def _holds_all(filesystem: FileSystem, directory: Path, newest: CatalogEntry) -> bool:
    """Whether a backup holds everything that a directory does: all of that is sealed, and the backup reaches it."""
    manifest = read_manifest(filesystem, directory)
    sealed = all(
        entry.last_lsn is not None and is_sealed(entry, manifest.sealed_lsn) for entry in manifest.wal
    )
    record = newest.record
    return (
        sealed
        and manifest.history in (record.history, record.origin)
        and record.position.lsn == manifest.sealed_lsn
    )


def prune_collections(
    target: Target, place: str, pruned: list[str], prune: Callable[[Target], list[str]], *, dry_run: bool
) -> list[str]:
    """Prune the backups of every collection as `prune` says, and the sets of the backups of `default` that are gone;
    what was removed, as number/id."""
    if not dry_run:
        for backup_id in pruned:
            with contextlib.suppress(FileNotFoundError):
                target.remove(filename.collection_set(backup_id))
    gone = []
    for number in known_collections(target).collections:
        gone += [
            f"{filename.COLLECTIONS}/{number}/{one}" for one in prune(open_target(place_of(place, number)))
        ]
    return gone


def _read(target: Target, name: str, kind: type[Part]) -> Part | None:
    try:
        source = target.open(name)
    except FileNotFoundError:
        return None
    try:
        return kind.model_validate_json(bytes(source.read(0, source.size_bytes)))
    except ValidationError as error:
        raise DataDamaged(
            f"its content is not what was written there: {error.errors()[0]['msg']}",
            path=f"{target.location}/{name}",
        ) from None


def _write(target: Target, name: str, part: _Part) -> None:
    target.put(name, part.model_dump_json(indent=1).encode() + b"\n")
