"""Whether a name still leads to what was opened under it."""

from __future__ import annotations

import errno
from pathlib import Path

from kyrodb.storage.filesystem import FileSystem


def require_same(filesystem: FileSystem, path: Path, identity: tuple[int, int]) -> None:
    """Raises OSError (ESTALE) when `path` is gone or is another file or directory than the one of this identity."""
    try:
        if filesystem.identity(path) == identity:
            return
    except (FileNotFoundError, NotADirectoryError):
        pass
    raise OSError(
        errno.ESTALE,
        f"{path} was moved, removed or replaced while the database was open. Put it back, or close the database and "
        "open it where it is now",
    )
