"""EXPORT.json, in every export: what it is of, its parts with their digests, and whether all of them are there.

It is replaced as a whole after each part, so an interrupted export continues after the last one named.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    model_serializer,
)

from pykyro.migration import npy
from pykyro.model.errors import DataDamaged
from pykyro.model.limits import COUNT_MAX, DIMENSION_MAX, EXPORT_RECORD_BYTES_MAX
from pykyro.model.types import Metric
from pykyro.storage.files.checksum import Digest
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.replace_file import replace_file
from pykyro.storage.manifest import WordsEntry

NAME: Final = "EXPORT.json"
VERSION: Final = 1

Format = Literal["parquet", "jsonl", "npy"]
_Count = Annotated[int, Field(ge=0, le=COUNT_MAX, strict=True)]
_FileName = Annotated[
    str,
    StringConstraints(
        pattern=rf"^part-[0-9]{{5,}}(\.parquet|\.jsonl|/{npy.VECTORS}|/{npy.IDS}|/{npy.METADATA})$"
    ),
]
_CHUNK_BYTES: Final = 4 << 20


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PartFile(_Record):
    """A file of a part, by its path inside the export."""

    name: _FileName
    size_bytes: _Count
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Part(_Record):
    """So many rows in these files."""

    name: Annotated[str, StringConstraints(pattern=r"^part-[0-9]{5,}(\.parquet|\.jsonl)?$")]
    rows: _Count
    files: tuple[PartFile, ...]


class ExportRecord(_Record):
    """`source` is where the documents come from, as it was asked for; `position` is that of its log. `tenants` says
    that rows name their tenant; `tenant` and `namespace` are the selection; `words` how words are found."""

    version: Literal[1] = VERSION
    program: str
    source: str
    format: Format
    rows_per_part: _Count
    tenant: str | None
    namespace: str
    dimension: Annotated[int, Field(ge=1, le=DIMENSION_MAX, strict=True)]
    distance: Metric
    id_type: Literal["integer", "text"] = "integer"
    words: WordsEntry | None = None
    history: str
    position: _Count
    tenants: bool
    parts: tuple[Part, ...] = ()
    complete: bool = False

    @model_serializer(mode="wrap")
    def _as_before(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without words, as earlier versions wrote it and read it."""
        fields: dict[str, Any] = serialise(self)
        if self.words is None:
            del fields["words"]
        return fields

    @property
    def documents(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)


def read_record(directory: Path) -> ExportRecord | None:
    """The record of an export; None when there is none. Raises DataDamaged, OSError."""
    path = directory / NAME
    try:
        with path.open("rb") as file:
            content = file.read(EXPORT_RECORD_BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    if len(content) > EXPORT_RECORD_BYTES_MAX:
        raise DataDamaged(f"exceeds {EXPORT_RECORD_BYTES_MAX} bytes", path=path)
    try:
        return ExportRecord.model_validate_json(content)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "content"
        raise DataDamaged(f"{place}: {fault['msg']}", path=path) from None


def write_record(filesystem: FileSystem, directory: Path, record: ExportRecord) -> None:
    """Durable when this returns. Raises OSError."""
    replace_file(filesystem, directory, NAME, record.model_dump_json(indent=1).encode() + b"\n")


def file_digest(path: Path) -> str:
    """Raises OSError."""
    found = Digest()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
    return found.text()
