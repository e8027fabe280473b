"""A frozen copy of a database, so that an export of one instant can take days and can be resumed.

Of a data directory, also of one that a server is writing to: segments are hard links, since their files never
change, or copies where the file system has none; the log behind them is copied up to its last whole frame. Graphs
are left out, documents do not need them. Of a backup: what a restore makes of it.
"""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path
from typing import Final

from pykyro.backup.directory_swap import clear_directory, remove_tree
from pykyro.backup.history.catalog import read_catalog
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_backup
from pykyro.backup.restore import restore
from pykyro.backup.source.source import SourceFile, capture, require_manifest
from pykyro.backup.target.target import CHUNK_BYTES, Target
from pykyro.model.errors import DataDamaged, FailedPrecondition
from pykyro.model.types import BytesLike
from pykyro.storage.files.filesystem import FileSystem, write_new_file
from pykyro.storage.manifest import Manifest, require_local, write_manifest
from pykyro.storage.verify import verify_directory
from pykyro.system.clock import Clock

UNFINISHED: Final = ".unfinished"
_NO_LINKS: Final = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOENT)


def copy_directory(filesystem: FileSystem, data_dir: Path, place: Path) -> None:
    """Make `place` a proved copy of the database as it is now; it appears whole or not at all.

    Raises FailedPrecondition when there is no database, DataDamaged, OSError.
    """
    unfinished = place.with_name(place.name + UNFINISHED)
    if filesystem.exists(unfinished):
        clear_directory(filesystem, unfinished)
    filesystem.make_directory(unfinished)
    try:
        manifest = require_manifest(filesystem, data_dir)
        require_local(manifest, data_dir, "an export")
        source = capture(filesystem, data_dir, manifest.sealed_lsn)
        for file in source.files:
            if not file.entry.name.endswith((".graph", ".shape")):
                _link_or_copy(filesystem, data_dir, file, unfinished)
        needed = [s for s in source.log.segments if s.last_lsn > source.manifest.sealed_lsn]
        for segment in needed:
            _write(filesystem, unfinished / segment.entry.name, segment.content)
        wal = tuple(segment.entry for segment in needed)
        write_manifest(
            filesystem, unfinished, _without_graphs(source.manifest).model_copy(update={"wal": wal})
        )
        proved = verify_directory(filesystem, unfinished)
        if proved.damage:
            raise DataDamaged(f"the database is damaged: {proved.damage[0]}", path=data_dir)
        filesystem.replace(unfinished, place)
        filesystem.sync_directory(place.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_tree(filesystem, unfinished)
        raise


def copy_backup(
    filesystem: FileSystem, target: Target, backup_id: str | None, place: Path, clock: Clock
) -> None:
    """Make `place` the state of a backup, None for the newest that can be restored.

    Raises InvalidArgument when there is none of that name, FailedPrecondition, DataDamaged, ResourceExhausted,
    OSError.
    """
    catalog = read_catalog(target)
    if backup_id is None:
        restorable = catalog.restorable()
        if not restorable:
            raise FailedPrecondition(f"No backup in {target.location} can be restored")
        backup_id = restorable[0].id
    restore(filesystem, place, Store(target), plan_backup(catalog, backup_id), clock, allow_clear=False)


def _without_graphs(manifest: Manifest) -> Manifest:
    segments = tuple(
        segment.model_copy(update={"graph": None, "shape": None}) for segment in manifest.segments
    )
    return manifest.model_copy(update={"segments": segments})


def _link_or_copy(filesystem: FileSystem, data_dir: Path, file: SourceFile, place: Path) -> None:
    try:
        filesystem.link(data_dir / file.entry.name, place / file.entry.name)
    except OSError as error:
        # This works also when a merge has removed the name meanwhile: the mapping still holds the file.
        if error.errno not in _NO_LINKS:
            raise
        _write(filesystem, place / file.entry.name, file.content)
        filesystem.release_pages(file.content)


def _write(filesystem: FileSystem, path: Path, content: BytesLike) -> None:
    pieces = (content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES))
    write_new_file(filesystem, path, pieces)
