"""How far an import has come, in a small file, so that it goes on there when it is called again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pykyro.model.errors import FailedPrecondition
from pykyro.model.limits import COUNT_MAX
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.replace_file import replace_file

SUFFIX: Final = ".import-progress.json"
_BYTES_MAX: Final = 1 << 20
_Count = Annotated[int, Field(ge=0, le=COUNT_MAX, strict=True)]


class ImportProgress(BaseModel):
    """Everything before row `rows` + 1 of file number `file`, from 0, is stored. `input`, `destination`, `tenant` and
    `namespace` say what of: it counts for nothing else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    input: str
    destination: str
    tenant: str | None
    namespace: str | None
    file: _Count = 0
    rows: _Count = 0
    stored: _Count = 0
    skipped: _Count = 0


def default_path(source: Path) -> Path:
    """Beside the input."""
    resolved = source.absolute()
    return resolved.with_name(resolved.name + SUFFIX)


def read_progress(path: Path, fresh: ImportProgress) -> ImportProgress:
    """What the file says, `fresh` when there is none.

    Raises FailedPrecondition when it is of another import, or cannot be read; OSError.
    """
    try:
        with path.open("rb") as file:
            found = ImportProgress.model_validate_json(file.read(_BYTES_MAX))
    except FileNotFoundError:
        return fresh
    except ValidationError as error:
        raise FailedPrecondition(
            f"{path} is not a progress file of an import ({error.errors()[0]['msg']}): remove it to start again, "
            f"or name another with --progress"
        ) from None
    for name in ("input", "destination", "tenant", "namespace"):
        if getattr(found, name) != getattr(fresh, name):
            what = "the files have changed since" if name == "input" else f"it was for a different {name}"
            raise FailedPrecondition(
                f"{path} is the progress of another import, {what}: remove it to start again, or name another "
                f"with --progress"
            )
    return found


def write_progress(filesystem: FileSystem, path: Path, progress: ImportProgress) -> None:
    """Durable when this returns. Raises OSError."""
    replace_file(filesystem, path.parent, path.name, progress.model_dump_json(indent=1).encode() + b"\n")
