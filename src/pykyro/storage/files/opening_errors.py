"""What the operating system says when a data directory cannot be opened, in words that name the way out."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from pykyro.model.errors import DataDamaged, StorageError, WriteFailed
from pykyro.storage import filename

_COPY = (
    "Copy the directory while nobody has it open, or let kyrodb_backup create or kyrodb export make the copy; else "
    "restore from a backup"
)


def opening_error(error: OSError, directory: Path) -> StorageError:
    """The error of the tree for one that opening `directory` met."""
    path = directory if error.filename is None else Path(os.fsdecode(error.filename))
    code = error.errno
    if code == errno.EROFS:
        return StorageError(
            "the file system is read-only, and an open database writes to its directory",
            path=directory,
            hint=f"Mount it writable, or open a copy: cp -r {directory} elsewhere. kyrodb export and kyrodb_backup "
            "create read it where it is",
        )
    if code in (errno.EACCES, errno.EPERM):
        return StorageError(
            f"user {os.geteuid()} may not {_wanted(path, directory)} it",
            path=path,
            hint="Give it to that user (chown -R), or open the database as the user whom it belongs to",
        )
    if code in (errno.ENOSPC, errno.EDQUOT):
        return WriteFailed(f"{error.strerror}", path=path, hint="Free space, then open it again")
    if code in (errno.EMFILE, errno.ENFILE):
        return StorageError(f"{error.strerror}", path=path, hint="Raise the limit: ulimit -n")
    if code == errno.EIO:
        return StorageError(
            f"the disk gives an error: {error.strerror}",
            path=path,
            hint="See dmesg; on a new disk, restore from a backup",
        )
    if directory in path.parents and path.parent != directory / filename.SNAPSHOTS:
        return _error_of_file(error, path)
    if code in (errno.EEXIST, errno.ENOTDIR):
        return StorageError(
            "a file stands where a directory is needed", path=path, hint="Name another data_dir"
        )
    return StorageError(error.strerror or str(error), path=path, hint="Name a directory that can be used")


def _error_of_file(error: OSError, path: Path) -> StorageError:
    if error.errno == errno.ENOENT and path.is_symlink():
        return DataDamaged("it is a symbolic link that leads nowhere", path=path, hint=_COPY)
    if error.errno == errno.ENOENT and path.name == filename.LOCK:
        return StorageError(
            "no file can be made in this directory", path=path.parent, hint="Name another data_dir"
        )
    if error.errno == errno.ENOENT:
        return DataDamaged("MANIFEST names this file, but the file is missing", path=path, hint=_COPY)
    if path.name == filename.LOCK:
        return StorageError(
            f"it is no lock file of a database: {error.strerror}",
            path=path,
            hint="Remove it while nobody has the database open",
        )
    return DataDamaged(f"it is no file of a database: {error.strerror}", path=path, hint=_COPY)


def _wanted(path: Path, directory: Path) -> str:
    return "read and write" if path in (directory, directory / filename.LOCK) else "use"
