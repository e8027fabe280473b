"""Whether a name still leads to what was opened under it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from pykyro.storage.files.filesystem import FileSystem


def require_same(filesystem: FileSystem, path: Path, identity: tuple[int, int]) -> None:
    """Raises OSError (ESTALE) when `path` is gone or is another file or directory than the one of this identity."""
    try:
        if filesystem.identity(path) == identity:
            return
    except (FileNotFoundError, NotADirectoryError):
        pass
    _raise_moved(path)


def require_same_file(
    filesystem: FileSystem, path: Path, identity: tuple[int, int], least: int, most: Callable[[], int]
) -> None:
    """`require_same` for a file being written, which also has `least` bytes or more. It has no more than `most` says,
    which is asked once the file was looked at, so that a write under way is not taken for another program's."""
    try:
        found, size = filesystem.identity_and_size(path)
    except (FileNotFoundError, NotADirectoryError):
        _raise_moved(path)
    if found != identity:
        _raise_moved(path)
    if not least <= size <= most():
        raise OSError(
            errno.ESTALE,
            f"{path} was {'cut short' if size < least else 'written to'} by another program while the database was "
            f"open: it has {size} bytes instead of {least}. Keep other programs, such as logrotate, away from the "
            "data directory",
        )


def _raise_moved(path: Path) -> NoReturn:
    raise OSError(
        errno.ESTALE,
        f"{path} was moved, removed or replaced while the database was open. Put it back, or close the database and "
        "open it where it is now",
    )
