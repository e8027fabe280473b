"""ARCHIVE: what a data directory is to an archive. One small file, replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from pykyro.model.errors import DataDamaged
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.replace_file import replace_file

_BYTES_MAX: Final = 1 << 20


class Role(BaseModel):
    """`id` is the random name of the directory, `url` its archive. `follows` says that the directory mirrors what
    another leads. `epoch` and `number` are those of a commit that was seen: the archive never goes back behind it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    url: str
    follows: bool
    epoch: int = 0
    number: int = 0


def new_role(url: str, *, follows: bool) -> Role:
    return Role(id=os.urandom(8).hex(), url=url, follows=follows)


def read_role(filesystem: FileSystem, directory: Path) -> Role | None:
    """None when the directory never had an archive. Raises DataDamaged, OSError."""
    path = directory / filename.ARCHIVE
    try:
        data = filesystem.read(path, limit=_BYTES_MAX)
    except FileNotFoundError:
        return None
    try:
        return Role.model_validate_json(data)
    except ValidationError as error:
        raise DataDamaged(
            f"content: {error.errors()[0]['msg']}",
            path=path,
            hint="Restore it; or remove it and follow the archive into an empty directory",
        ) from None


def write_role(filesystem: FileSystem, directory: Path, role: Role) -> None:
    """Durably. Raises OSError."""
    replace_file(filesystem, directory, filename.ARCHIVE, role.model_dump_json(indent=1).encode() + b"\n")
