"""Removing a directory with all that is in it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pykyro.storage.files.filesystem import FileSystem


def remove_tree(filesystem: FileSystem, path: Path) -> None:
    """Remove a file, or a directory with all that is in it; nothing there is no error. A link is removed, not
    followed. Raises OSError; then some of it is left."""
    try:
        names = filesystem.names(path)
    except FileNotFoundError:
        return
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            try:
                filesystem.remove(path / name)
            except (IsADirectoryError, PermissionError):
                remove_tree(filesystem, path / name)
    with contextlib.suppress(FileNotFoundError):
        filesystem.remove_directory(path)
