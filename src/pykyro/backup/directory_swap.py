"""Exchange and removal of directories, and the check that a directory can be exchanged. No link is followed."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Final

from pykyro.model.errors import FailedPrecondition
from pykyro.storage.files.filesystem import FileSystem

ASIDE_SUFFIX: Final = ".replaced"
_CANNOT_EXCHANGE: Final = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


def swap_directories(filesystem: FileSystem, new: Path, place: Path) -> Path | None:
    """Move `new` to `place`, durably, and remove the directory that was there.

    At every moment `place` is the old directory or the new one. Only where the file system cannot exchange names
    is there a moment without any; then the old one is at <place>.replaced. Raises FailedPrecondition when the
    place cannot be renamed, OSError. An old directory that cannot be removed is no error: its path is returned.
    """
    parent = place.parent
    if not filesystem.exists(place):
        filesystem.replace(new, place)
        filesystem.sync_directory(parent)
        return None
    old = new
    try:
        filesystem.exchange(new, place)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.EXDEV):
            raise FailedPrecondition(
                f"{place} is the root of a mounted file system, which cannot be swapped: restore into a new "
                f"directory on it, and point data_dir there"
            ) from error
        if error.errno not in _CANNOT_EXCHANGE:
            raise
        old = _swap_in_two_steps(filesystem, new, place)
    filesystem.sync_directory(parent)
    try:
        remove_tree(filesystem, old)
        filesystem.sync_directory(parent)
    except OSError:
        return old
    return None


def _swap_in_two_steps(filesystem: FileSystem, new: Path, place: Path) -> Path:
    aside = place.with_name(place.name + ASIDE_SUFFIX)
    if filesystem.exists(aside):
        raise FailedPrecondition(
            f"{aside} exists: a restore was interrupted. It holds the previous directory. Move it back to "
            f"{place}, or remove it; then try again"
        )
    filesystem.replace(place, aside)
    try:
        filesystem.replace(new, place)
    except OSError:
        filesystem.replace(aside, place)
        raise
    return aside


def remove_tree(filesystem: FileSystem, directory: Path) -> None:
    """Remove a directory and all below it. Raises OSError."""
    clear_directory(filesystem, directory)
    filesystem.remove_directory(directory)


def clear_directory(filesystem: FileSystem, directory: Path, keep: str = "") -> None:
    """Remove everything in a directory but the name `keep`. Raises OSError."""
    for name in filesystem.names(directory):
        if name == keep:
            continue
        try:
            # First as a file: of a link to a directory only the link is removed.
            filesystem.remove(directory / name)
        except IsADirectoryError:
            remove_tree(filesystem, directory / name)


def require_not_mounted(directory: Path) -> None:
    """Raises FailedPrecondition when `directory`, absolute and without links, cannot exchange names with another."""
    if os.path.ismount(directory) or str(directory) in _mount_points():
        raise FailedPrecondition(
            f"{directory} is the root of a mounted file system or volume, which a restore cannot exchange for the "
            f"restored directory. Restore into a directory on it, --data-dir {directory / 'db'}, and set "
            f"persistence.data_dir to that. Nothing was changed"
        )


def _mount_points() -> set[str]:
    """Where anything is mounted: also a directory of the same file system, which os.path.ismount cannot tell.

    Format: proc_pid_mountinfo(5); space, tab, line end and backslash are written as octal numbers.
    """
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return set()
    return {
        re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split(" ")[4]) for line in lines
    }
