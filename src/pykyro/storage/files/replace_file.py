"""Replacing a small file as a whole: after a crash it is the old one or the new one."""

from __future__ import annotations

from pathlib import Path

from pykyro.model.types import BytesLike
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem, write_all


def replace_file(filesystem: FileSystem, directory: Path, name: str, data: BytesLike) -> None:
    """Make `data` the content of the file; when this returns it is durable. Raises OSError; then either content
    may be there."""
    path = directory / name
    temporary = directory / filename.temporary(name)
    if filesystem.exists(temporary):
        filesystem.remove(temporary)
    file = filesystem.create(temporary)
    try:
        write_all(file, data)
        file.sync(data_only=False)
    finally:
        file.close()
    filesystem.replace(temporary, path)
    filesystem.sync_directory(directory)
