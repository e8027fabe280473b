"""MOVING: that sealed documents of a directory are being moved to a table, or that a table they left is to go.

One small file, replaced as a whole, and gone when neither is so. MANIFEST alone says where documents are: while it
names no table, the one noted here is a copy that may be incomplete. So a move that was killed finds what it began,
and a table is never forgotten.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from pykyro.model.errors import DataDamaged
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.replace_file import replace_file
from pykyro.storage.manifest import Manifest, RemoteEntry

_BYTES_MAX: Final = 1 << 16


class MoveNote(BaseModel):
    """The table, and under which names this directory may have claimed it; `leaves` when it is to be dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    entry: RemoteEntry
    leaves: bool = False


def read_move_note(filesystem: FileSystem, directory: Path) -> MoveNote | None:
    """None when nothing is being moved. Raises DataDamaged, OSError."""
    path = directory / filename.MOVING
    try:
        data = filesystem.read(path, limit=_BYTES_MAX)
    except FileNotFoundError:
        return None
    try:
        return MoveNote.model_validate_json(data)
    except ValidationError as error:
        raise DataDamaged(
            f"it is not what was written there: {error.errors()[0]['msg']}",
            path=path,
            hint="Remove it, and drop tables in kyrodb.collections that no directory names",
        ) from None


def unfinished_move(filesystem: FileSystem, directory: Path, manifest: Manifest) -> str:
    """What an operator is to be told of a move that did not come to its end; empty when there is none. Raises
    DataDamaged, OSError."""
    note = read_move_note(filesystem, directory)
    if note is None or (manifest.remote is not None and manifest.remote.table == note.entry.table):
        return ""
    table = f"kyrodb.rows_{note.entry.table} of the service {note.entry.service!r}"
    if note.leaves:
        return f"the documents have left {table}, which is still to be dropped: move them to local again"
    return (
        f"a move of the documents to {table} was interrupted: move them there again, which goes on from there, or to "
        "local, which drops what was copied"
    )


def write_move_note(filesystem: FileSystem, directory: Path, note: MoveNote) -> None:
    """Durable when this returns. Raises OSError."""
    replace_file(filesystem, directory, filename.MOVING, note.model_dump_json(indent=1).encode() + b"\n")


def remove_move_note(filesystem: FileSystem, directory: Path) -> None:
    """Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        filesystem.remove(directory / filename.MOVING)
        filesystem.sync_directory(directory)
