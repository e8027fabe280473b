"""Collections whose sealed documents are elsewhere: whether that place can be reached, and what is left there."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Final

from pykyro.engine.options import EngineOptions
from pykyro.model.cold_tier import LOCAL, ColdTier, checked_cold_tier
from pykyro.model.errors import FailedPrecondition, KyroError, StorageError
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.remove_tree import remove_tree
from pykyro.storage.manifest import RemoteEntry, read_manifest
from pykyro.storage.move_note import read_move_note

_log: Final = logging.getLogger(__name__)


def check_service(cold_tier: str, options: EngineOptions) -> None:
    """Raises Unavailable or FailedPrecondition when there cannot be this cold tier."""
    require_driver()
    from pykyro.engine.remote.remote import check_service

    check_service(checked_cold_tier(cold_tier).service, options)


def checked_move(filesystem: FileSystem, directory: Path, cold_tier: str) -> ColdTier:
    """Where a collection of the database in `directory` is to be moved. Raises InvalidArgument,
    FailedPrecondition."""
    to = checked_cold_tier(cold_tier)
    require_driver()
    if to.engine != LOCAL and filesystem.exists(directory / filename.ARCHIVE):
        raise FailedPrecondition(
            "the database is shipped to an archive, which holds no collection whose sealed documents are elsewhere: "
            "followers would lose it. Leave the archive first (docs/scaling.md)"
        )
    return to


def check_remote(filesystem: FileSystem, directory: Path, options: EngineOptions) -> None:
    """The same of the collection in a directory, if its documents are elsewhere."""
    for entry in _entries(filesystem, directory):
        check_service(f"postgres:{entry.service}", options)


def drop_remote(filesystem: FileSystem, directory: Path, options: EngineOptions) -> bool:
    """Remove what the collection in a directory has elsewhere; False when that has to be tried again."""
    for entry in _entries(filesystem, directory):
        try:
            require_driver()
            from pykyro.engine.remote.remote import drop_remote

            drop_remote(entry, options)
        except KyroError as error:
            _log.warning("kyrodb.rows_%s is to be dropped at the next start: %s", entry.table, error)
            return False
    return True


def remove_collection(filesystem: FileSystem, directory: Path, options: EngineOptions) -> None:
    """Remove the directory of a collection, and before what it has elsewhere. What cannot be removed now stays for
    the next start."""
    if not drop_remote(filesystem, directory, options):
        return
    try:
        remove_tree(filesystem, directory)
        filesystem.sync_directory(directory.parent)
    except OSError as error:
        _log.warning("%s belongs to no collection and cannot be removed now: %s", directory, error)


def remove_abandoned(
    filesystem: FileSystem, directory: Path, numbers: Collection[int], options: EngineOptions
) -> None:
    """Remove the directories below `directory` that no collection of these numbers has: what a crash left of creating
    or dropping one."""
    above = directory / filename.COLLECTIONS
    try:
        names = filesystem.names(above)
    except FileNotFoundError:
        return
    ours = {str(number) for number in numbers}
    for name in names:
        if name.split(".")[0].isdecimal() and name not in ours:  # a restore that died has a suffix
            remove_collection(filesystem, above / name, options)


def require_driver() -> None:
    """Raises FailedPrecondition when psycopg is not installed."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise FailedPrecondition(
            "a cold tier in PostgreSQL needs psycopg: pip install 'pykyro[postgres]'"
        ) from error


def _entries(filesystem: FileSystem, directory: Path) -> list[RemoteEntry]:
    """The table of its documents, and that of a move that did not come to its end."""
    found = dict[str, RemoteEntry]()
    with contextlib.suppress(OSError, StorageError):
        note = read_move_note(filesystem, directory)
        if note is not None:
            found[note.entry.table] = note.entry
    with contextlib.suppress(OSError, StorageError):
        remote = read_manifest(filesystem, directory).remote
        if remote is not None:
            found[remote.table] = remote
    return list(found.values())
