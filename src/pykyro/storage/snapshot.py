"""A snapshot: a directory of hard links that opens as a database of its own.

The files a MANIFEST names never change once they are closed, so a second name for each is a copy that costs
nothing. So is one for the usage of the tenants, whose file is replaced and never changed. The MANIFEST of the
snapshot is written last: a directory without one is not a snapshot.
"""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass
from pathlib import Path

from pykyro.model.errors import DataDamaged
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import Manifest, read_manifest, write_manifest


@dataclass(frozen=True, slots=True)
class LinkedSnapshot:
    path: Path
    size_bytes: int


def link_snapshot(filesystem: FileSystem, directory: Path, manifest: Manifest, name: str) -> LinkedSnapshot:
    """Link every closed file of `manifest` into snapshots/`name`. The caller keeps the files from being removed
    meanwhile.

    Raises FileExistsError when the name is taken, OSError when the disk refuses; then what was begun is taken
    away again as far as possible.
    """
    parent = directory / filename.SNAPSHOTS
    target = parent / name
    if filesystem.exists(target):
        raise FileExistsError(errno.EEXIST, "a snapshot of this name exists", str(target))
    _make_parent(filesystem, directory, parent)
    needed = tuple(e for e in manifest.wal if e.last_lsn is not None and e.last_lsn > manifest.sealed_lsn)
    closed = manifest.model_copy(update={"wal": needed})
    filesystem.make_directory(target)
    size = 0
    try:
        usage = {filename.USAGE} if filesystem.exists(directory / filename.USAGE) else set()
        for file in sorted(closed.file_names | usage):
            filesystem.link(directory / file, target / file)
            size += filesystem.size(target / file)
        # Every link must be durable before the MANIFEST that makes them a snapshot.
        filesystem.sync_directory(target)
        write_manifest(filesystem, target, closed)
        filesystem.sync_directory(parent)
        size += filesystem.size(target / filename.MANIFEST)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_snapshot(filesystem, directory, name)
        raise
    return LinkedSnapshot(target, size)


def _make_parent(filesystem: FileSystem, directory: Path, parent: Path) -> None:
    made = not filesystem.exists(parent)
    if made:
        filesystem.make_directory(parent)
    try:
        # Even when it is there already: whoever made it may have died before its name was durable.
        filesystem.sync_directory(directory)
    except OSError:
        if made:
            filesystem.remove_directory(parent)
        raise


def snapshot_names(filesystem: FileSystem, directory: Path) -> list[str]:
    """Names of whole snapshots in the order they were made, whatever the clock said then.

    Directories that others put there, and snapshots whose MANIFEST is damaged, are not among them.
    """
    parent = directory / filename.SNAPSHOTS
    numbers: dict[str, int] = {}
    for name in _ours(filesystem, parent):
        with contextlib.suppress(FileNotFoundError, DataDamaged):
            numbers[name] = read_manifest(filesystem, parent / name).next_number
    return sorted(numbers, key=lambda name: (numbers[name], name))


def unused_name(filesystem: FileSystem, directory: Path, stamp: str) -> str:
    """`stamp`, or with a numeric suffix when that is taken."""
    name, number = stamp, 1
    while filesystem.exists(directory / filename.SNAPSHOTS / name):
        number += 1
        name = f"{stamp}-{number}"
    return name


def prune_snapshots(filesystem: FileSystem, directory: Path, *, newest: str, kept: int) -> None:
    """Remove all but the `kept` youngest snapshots, `newest` being one of those, and what a crash left of
    snapshots half made or half removed. Raises OSError."""
    parent = directory / filename.SNAPSHOTS
    others = [name for name in snapshot_names(filesystem, directory) if name != newest]
    torn = [n for n in _ours(filesystem, parent) if not filesystem.exists(parent / n / filename.MANIFEST)]
    for name in torn + others[: max(0, len(others) + 1 - kept)]:
        remove_snapshot(filesystem, directory, name)


def remove_snapshot(filesystem: FileSystem, directory: Path, name: str) -> None:
    """Remove one snapshot, MANIFEST first and durably, so that a half-removed one is none. Raises OSError."""
    target = directory / filename.SNAPSHOTS / name
    if filesystem.exists(target / filename.MANIFEST):
        filesystem.remove(target / filename.MANIFEST)
        filesystem.sync_directory(target)
    for file in filesystem.names(target):
        filesystem.remove(target / file)
    filesystem.remove_directory(target)


def _ours(filesystem: FileSystem, parent: Path) -> list[str]:
    if not filesystem.exists(parent):
        return []
    return [name for name in filesystem.names(parent) if filename.is_snapshot(name)]
