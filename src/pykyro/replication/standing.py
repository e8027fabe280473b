"""How far a directory and an archive have come, told in positions."""

from __future__ import annotations

from pathlib import Path

from pykyro.model.collection import DEFAULT_NUMBER
from pykyro.model.errors import KyroError
from pykyro.model.types import LSN
from pykyro.replication.objects import ArchiveStore
from pykyro.replication.records import Commit, newest_state, read_commit, read_state
from pykyro.replication.role import Role
from pykyro.storage.catalogue import collection_directory, read_catalogue
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import read_manifest
from pykyro.storage.position_file import PositionReader


def archived_positions(store: ArchiveStore, last: int) -> dict[int, LSN]:
    """Up to where each collection stands in the archive at commit `last`. Raises DataDamaged, OSError."""
    number, name = newest_state(store, last)
    positions: dict[int, LSN] = {}
    numbers = read_state(store, name).collections.keys()
    for at in range(number, last + 1):
        commit = read_commit(store, at)
        if commit is not None:
            positions |= commit.positions
    return {collection: positions.get(collection, 0) for collection in numbers}


def local_positions(filesystem: FileSystem, directory: Path) -> dict[int, LSN]:
    """Up to where each collection stands in a data directory. Raises KyroError, OSError."""
    numbers = [DEFAULT_NUMBER]
    numbers += [entry.number for entry in read_catalogue(filesystem, directory).collections.values()]
    positions = {}
    for number in numbers:
        path = collection_directory(directory, number)
        try:
            manifest, published = read_manifest(filesystem, path), PositionReader(filesystem, path).read()
        except FileNotFoundError:
            continue
        position = manifest.sealed_lsn
        for entry in manifest.wal:
            if entry.last_lsn is not None:
                position = max(position, entry.last_lsn)
            elif published is not None and published.segment == entry.name:
                position = max(position, published.lsn)
        positions[number] = position
    return positions


def only_here(filesystem: FileSystem, directory: Path, store: ArchiveStore, role: Role, head: Commit) -> str:
    """A sentence about what stands in this directory alone, from where another began to lead; "" when that is not
    known."""
    if not role.number:
        return ""
    try:
        cut = next(
            (
                commit
                for number in range(role.number, head.number + 1)
                if (commit := read_commit(store, number)) is not None and commit.epoch > role.epoch
            ),
            None,
        )
        if cut is None:
            return ""
        here = local_positions(filesystem, directory)
    except (KyroError, OSError):
        return ""
    ahead = {number: here[number] - cut.positions.get(number, 0) for number in here}
    lost = {number: count for number, count in ahead.items() if count > 0}
    if not lost:
        return "Nothing stands on its disk alone. "
    parts = ", ".join(
        f"{count} positions of collection {number or 'default'} (behind {cut.positions.get(number, 0)})"
        for number, count in sorted(lost.items())
    )
    return f"On its disk alone stand {parts}: kyrodb export reads them there. "
