"""What the files of a closed collection tell without opening it."""

from __future__ import annotations

from pathlib import Path

from pykyro.model.errors import StorageError
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import read_manifest
from pykyro.storage.wal.retention import is_sealed


def closed_documents(filesystem: FileSystem, directory: Path) -> int | None:
    """How many documents it has; None when its log holds some that are not sealed, when some of them may have gone
    meanwhile, or when its MANIFEST cannot be read."""
    try:
        manifest = read_manifest(filesystem, directory)
    except (OSError, StorageError):
        return None
    if manifest.has_expiry:
        return None
    if any(entry.last_lsn is None or not is_sealed(entry, manifest.sealed_lsn) for entry in manifest.wal):
        return None
    if manifest.remote is not None:
        return manifest.remote.documents
    return sum(segment.row_count - segment.dead_count for segment in manifest.segments)


def directory_bytes(filesystem: FileSystem, directory: Path) -> int:
    """Bytes of the files of the database in `directory`, without its snapshots and other collections."""
    size = 0
    for name in filesystem.names(directory) if filesystem.exists(directory) else ():
        if filename.is_known(name):
            try:
                size += filesystem.size(directory / name)
            except OSError:  # removed meanwhile
                continue
    return size
