"""A snapshot: a directory of hard links that opens as a database of its own.

The files a MANIFEST names never change once they are closed, so a second name for each is a copy that costs
nothing. The MANIFEST of the snapshot is written last: a directory without one is not a snapshot.
"""

from __future__ import annotations

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
    meanwhile. Raises OSError; then what was begun is taken away again as far as possible."""
    parent = directory / filename.SNAPSHOTS
    if not filesystem.exists(parent):
        filesystem.make_directory(parent)
        filesystem.sync_directory(directory)
    target = parent / name
    closed = manifest.model_copy(update={"wal": tuple(e for e in manifest.wal if e.last_lsn is not None)})
    filesystem.make_directory(target)
    size = 0
    try:
        for file in sorted(closed.file_names):
            filesystem.link(directory / file, target / file)
            size += filesystem.size(target / file)
        write_manifest(filesystem, target, closed)
        filesystem.sync_directory(parent)
    except OSError:
        remove_snapshot(filesystem, directory, name)
        raise
    return LinkedSnapshot(target, size + filesystem.size(target / filename.MANIFEST))


def snapshot_names(filesystem: FileSystem, directory: Path) -> list[str]:
    """Names of whole snapshots, oldest first."""
    parent = directory / filename.SNAPSHOTS
    if not filesystem.exists(parent):
        return []
    return [n for n in filesystem.names(parent) if filesystem.exists(parent / n / filename.MANIFEST)]


def remove_snapshot(filesystem: FileSystem, directory: Path, name: str) -> None:
    """Remove one snapshot, MANIFEST first, so that a half-removed one is none."""
    target = directory / filename.SNAPSHOTS / name
    names = filesystem.names(target)
    for file in sorted(names, key=lambda n: n != filename.MANIFEST):
        filesystem.remove(target / file)
    filesystem.remove_directory(target)
