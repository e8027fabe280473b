"""Which files an import reads, in which order and as what: an export of this program, or files from elsewhere.

| path                                   | read as                                      |
|----------------------------------------|----------------------------------------------|
| directory with EXPORT.json             | that export, every part proved by its digest |
| directory with vectors.npy             | npy                                          |
| directory of .parquet or .jsonl files  | those, by name                               |
| .parquet, .jsonl or .ndjson, .npy      | that file                                    |
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pykyro.migration import npy
from pykyro.migration.export import require_format
from pykyro.migration.export_record import ExportRecord, Format, Part, file_digest, read_record
from pykyro.migration.jsonl import JsonlReader
from pykyro.migration.rows import RowReader
from pykyro.model.errors import DataDamaged, FailedPrecondition, InvalidArgument
from pykyro.storage.files.checksum import digest

_SUFFIXES: Final[dict[str, Format]] = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".npy": "npy",
}


@dataclass(frozen=True, slots=True)
class Input:
    """`readers` in order. `prove` raises DataDamaged when the files of one of them are not as its export wrote them;
    `identity` changes whenever the files do."""

    readers: tuple[RowReader, ...]
    prove: tuple[Callable[[], None], ...]
    identity: str
    record: ExportRecord | None = None


def find_input(path: Path, chosen: Format | None, first_id: int) -> Input:
    """The files to read; `chosen` says the format where the name does not.

    Raises InvalidArgument, FailedPrecondition when an extra is missing or an export is not complete, DataDamaged,
    OSError.
    """
    record = read_record(path) if path.is_dir() else None
    if record is not None:
        return _export(path, record, first_id)
    if path.is_dir() and (path / npy.VECTORS).exists():
        files, found = [path], chosen or "npy"
    elif path.is_dir():
        files, found = _files_in(path, chosen)
    else:
        suffix = _SUFFIXES.get(path.suffix.lower())
        if not path.exists():
            raise InvalidArgument(f"{path} does not exist", field="in")
        if chosen is None and suffix is None:
            raise InvalidArgument(
                f"{path}: the name does not show the format; give --format parquet, jsonl or npy", field="in"
            )
        files, found = [path], chosen or suffix or "jsonl"
    require_format(found)
    readers = tuple(_reader(file, found, first_id) for file in files)
    return Input(
        readers,
        tuple(lambda: None for _ in readers),
        _identity(files),
    )


def _export(path: Path, record: ExportRecord, first_id: int) -> Input:
    if not record.complete:
        raise FailedPrecondition(
            f"{path} is an export that is not complete: run the same kyrodb export again"
        )
    require_format(record.format)
    return Input(
        tuple(_reader(path / part.name, record.format, first_id) for part in record.parts),
        tuple(_proof(path, part) for part in record.parts),
        digest(record.model_dump_json().encode()),
        record,
    )


def _proof(directory: Path, part: Part) -> Callable[[], None]:
    def prove() -> None:
        for file in part.files:
            path = directory / file.name
            if not path.is_file():
                raise DataDamaged("EXPORT.json names this file, but the file is missing", path=path)
            size = path.stat().st_size
            if size != file.size_bytes:
                raise DataDamaged(f"has {size} bytes, EXPORT.json says {file.size_bytes}", path=path)
            if file_digest(path) != file.digest:
                raise DataDamaged("does not match its digest in EXPORT.json", path=path)

    return prove


def _files_in(path: Path, chosen: Format | None) -> tuple[list[Path], Format]:
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    formats: dict[Format, list[Path]] = {}
    for file in files:
        kind = _SUFFIXES.get(file.suffix.lower())
        if kind is not None and kind != "npy":
            formats.setdefault(kind, []).append(file)
    if chosen is not None:
        formats = {kind: found for kind, found in formats.items() if kind == chosen}
    if len(formats) != 1:
        what = (
            "several formats; give --format"
            if formats
            else f"no .parquet or .jsonl files and no {npy.VECTORS}"
        )
        raise InvalidArgument(f"{path} holds {what}", field="in")
    ((found, members),) = formats.items()
    return members, found


def _reader(path: Path, kind: Format, first_id: int) -> RowReader:
    if kind == "parquet":
        from pykyro.migration.parquet import ParquetReader

        return ParquetReader(path)
    return JsonlReader(path) if kind == "jsonl" else npy.NpyReader(path, first_id)


def _parts_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [path / name for name in (npy.VECTORS, npy.IDS, npy.METADATA) if (path / name).exists()]


def path_words(path: Path | str) -> str:
    """A path as text that can be stored, whatever bytes its names are of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _identity(files: list[Path]) -> str:
    facts = []
    for path in (part for file in files for part in _parts_of(file)):
        found = path.stat()
        facts.append(f"{path_words(path.name)} {found.st_size} {found.st_mtime_ns}")
    return digest("\n".join(facts).encode())
