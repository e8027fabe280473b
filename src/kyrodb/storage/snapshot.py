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

from kyrodb.storage import filename
from kyrodb.storage.filesystem import FileSystem
from kyrodb.storage.manifest import Manifest, write_manifest


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
    """Names of whole snapshots, oldest first. Directories that others put there are not among them."""
    parent = directory / filename.SNAPSHOTS
    return [n for n in _ours(filesystem, parent) if filesystem.exists(parent / n / filename.MANIFEST)]


def remove_snapshot(filesystem: FileSystem, directory: Path, name: str) -> None:
    """Remove one snapshot, MANIFEST first and durably, so that a half-removed one is none. Raises OSError."""
    target = directory / filename.SNAPSHOTS / name
    if filesystem.exists(target / filename.MANIFEST):
        filesystem.remove(target / filename.MANIFEST)
        filesystem.sync_directory(target)
    for file in filesystem.names(target):
        filesystem.remove(target / file)
    filesystem.remove_directory(target)


def remove_unfinished(filesystem: FileSystem, directory: Path) -> None:
    """Remove what a crash left of snapshots half made or half removed. Raises OSError."""
    whole = set(snapshot_names(filesystem, directory))
    for name in _ours(filesystem, directory / filename.SNAPSHOTS):
        if name not in whole:
            remove_snapshot(filesystem, directory, name)


def _ours(filesystem: FileSystem, parent: Path) -> list[str]:
    if not filesystem.exists(parent):
        return []
    return [name for name in filesystem.names(parent) if filename.is_snapshot(name)]
