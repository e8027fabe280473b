"""Writing the documents of a database into files, part by part, of one instant however long it takes.

    OUT/EXPORT.json           what it is, and which parts are whole
    OUT/part-00001.parquet    … .jsonl, or a directory of the npy files
    OUT/.source               the frozen copy the export reads, until it is complete

A part appears under its name when it is whole and durable. When the command of an interrupted export is run again, it
continues after the last part, from the same frozen copy.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pykyro.backup.restore import STAGING_SUFFIX
from pykyro.migration import jsonl, npy
from pykyro.migration.directory_documents import EVERYTHING, DirectoryDocuments, PortableDocument, Selection
from pykyro.migration.export_record import (
    NAME,
    ExportRecord,
    Format,
    Part,
    PartFile,
    file_digest,
    read_record,
    write_record,
)
from pykyro.migration.frozen_copy import UNFINISHED
from pykyro.model.errors import DataDamaged, FailedPrecondition, printable
from pykyro.storage import filename as data_filename
from pykyro.storage.files.filesystem import FileSystem, LocalFileSystem
from pykyro.version import __version__

ROWS_PER_PART: Final = 100_000
_SOURCE: Final = ".source"
_LOCK: Final = ".lock"
_LEFTOVERS: Final = frozenset(
    {_LOCK, _SOURCE, _SOURCE + UNFINISHED, _SOURCE + STAGING_SUFFIX, data_filename.temporary(NAME)}
)
"""Left by an export that ended before its record was there."""
_SUFFIXES: Final[dict[Format, str]] = {"parquet": ".parquet", "jsonl": ".jsonl", "npy": ""}

MakeCopy = Callable[[FileSystem, Path], None]
"""Makes a frozen copy of the database at a place that does not exist."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """`source` names where documents come from, for the record. `progress` is called with how many documents were
    looked at and how many there are."""

    source: str
    format: Format
    selection: Selection = EVERYTHING
    rows_per_part: int = ROWS_PER_PART
    progress: Callable[[int, int], None] = lambda done, total: None


def require_format(chosen: Format) -> None:
    """Raises FailedPrecondition naming the extra when this format cannot be read or written here."""
    if chosen == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise FailedPrecondition("Parquet needs the parquet extra: pip install 'pykyro[parquet]'")


def export(out: Path, make_copy: MakeCopy, options: ExportOptions) -> ExportRecord:
    """Export into the directory `out`, or go on with an export there that was interrupted.

    Raises FailedPrecondition when something else is there, an export is complete or another process is at it, or an
    extra is missing; InvalidArgument for a tenant that does not exist; DataDamaged, OSError.
    """
    require_format(options.format)
    filesystem = LocalFileSystem()
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _held(filesystem, out):
        record = read_record(out)
        _require_ours(out, record, options)
        source = out / _SOURCE
        if record is None:
            record = _begin(filesystem, out, make_copy, options)
        documents = DirectoryDocuments(filesystem, source, options.selection)
        record = _write_parts(filesystem, out, record, documents, options)
        record = record.model_copy(update={"complete": True})
        write_record(filesystem, out, record)
        _remove(source)
    return record


def _begin(filesystem: FileSystem, out: Path, make_copy: MakeCopy, options: ExportOptions) -> ExportRecord:
    """Make the frozen copy and the record of an export of it; neither is left when that fails."""
    source = out / _SOURCE
    _remove(source)
    try:
        make_copy(filesystem, source)
        record = _first_record(DirectoryDocuments(filesystem, source, options.selection), options)
        write_record(filesystem, out, record)
    except BaseException:
        _remove(source)
        raise
    return record


def _first_record(documents: DirectoryDocuments, options: ExportOptions) -> ExportRecord:
    manifest = documents.manifest
    ends = [entry.last_lsn for entry in manifest.wal if entry.last_lsn is not None]
    return ExportRecord(
        program=__version__,
        source=printable(options.source),
        format=options.format,
        rows_per_part=options.rows_per_part,
        tenant=options.selection.tenant,
        namespace=options.selection.namespace,
        dimension=manifest.dimension,
        distance=manifest.metric,
        id_type="integer" if manifest.text_ids is None else "text",
        words=manifest.words,
        history=manifest.history,
        position=max(ends, default=manifest.sealed_lsn),
        tenants=documents.has_tenants,
    )


def _write_parts(
    filesystem: FileSystem,
    out: Path,
    record: ExportRecord,
    documents: DirectoryDocuments,
    options: ExportOptions,
) -> ExportRecord:
    _require_parts(out, record)
    chosen = itertools.islice(_selected(documents, options), record.documents, None)
    while (first := next(chosen, None)) is not None:
        rows = _Counted(itertools.chain([first], itertools.islice(chosen, record.rows_per_part - 1)))
        part = _write_part(filesystem, out, record, rows)
        record = record.model_copy(update={"parts": (*record.parts, part)})
        write_record(filesystem, out, record)
    return record


def _selected(documents: DirectoryDocuments, options: ExportOptions) -> Iterator[PortableDocument]:
    total = documents.count
    for number, document in enumerate(documents.each(), 1):
        if document is not None:
            yield document
        if number % 1000 == 0 or number == total:
            options.progress(number, total)


class _Counted:
    """DirectoryDocuments, and how many of them were taken."""

    def __init__(self, documents: Iterable[PortableDocument]) -> None:
        self._documents = documents
        self.count = 0

    def __iter__(self) -> Iterator[PortableDocument]:
        for document in self._documents:
            self.count += 1
            yield document


def _write_part(filesystem: FileSystem, out: Path, record: ExportRecord, documents: _Counted) -> Part:
    name = f"part-{len(record.parts) + 1:05d}{_SUFFIXES[record.format]}"
    unfinished = out / f".{name}{UNFINISHED}"
    _remove(unfinished)
    if record.format == "parquet":
        from pykyro.migration import parquet

        text_ids = record.id_type == "text"
        parquet.write_part(unfinished, documents, record.dimension, tenants=record.tenants, text_ids=text_ids)
    elif record.format == "jsonl":
        jsonl.write_part(unfinished, documents)
    else:
        npy.write_part(unfinished, documents, record.dimension)
    names = sorted(os.listdir(unfinished)) if unfinished.is_dir() else [""]
    files = []
    for inner in names:
        path = unfinished / inner if inner else unfinished
        _sync(path)
        files.append(
            PartFile(
                name=f"{name}/{inner}" if inner else name,
                size_bytes=path.stat().st_size,
                digest=file_digest(path),
            )
        )
    if unfinished.is_dir():
        filesystem.sync_directory(unfinished)
    # A part that no record names was left by an export that died right here.
    _remove(out / name)
    filesystem.replace(unfinished, out / name)
    filesystem.sync_directory(out)
    return Part(name=name, rows=documents.count, files=tuple(files))


def _require_ours(out: Path, record: ExportRecord | None, options: ExportOptions) -> None:
    """Whether there may be an export in `out`, in these words."""
    if record is None:
        strange = sorted(set(os.listdir(out)) - _LEFTOVERS)
        if strange:
            raise FailedPrecondition(
                f"{out} holds {strange[0]}, which does not belong to an export: choose an empty --out"
            )
        return
    if record.complete:
        _remove(out / _SOURCE)
        raise FailedPrecondition(
            f"{out} holds a complete export of {record.documents} documents: choose another --out"
        )
    selection = options.selection
    source = printable(options.source)
    wanted = (source, options.format, options.rows_per_part, selection.tenant, selection.namespace)
    found = (record.source, record.format, record.rows_per_part, record.tenant, record.namespace)
    names = ("source", "format", "rows per part", "tenant", "namespace")
    for name, mine, there in zip(names, wanted, found, strict=True):
        if mine != there:
            raise FailedPrecondition(
                f"{out} holds an unfinished export with another {name}, {there!r} instead of {mine!r}: ask for "
                f"the same to go on with it, or choose another --out"
            )
    if not (out / _SOURCE).exists():
        raise FailedPrecondition(
            f"{out} holds an unfinished export whose frozen copy of the database, {_SOURCE}, is gone: remove "
            f"{out} and start again"
        )


def _require_parts(out: Path, record: ExportRecord) -> None:
    for file in (file for part in record.parts for file in part.files):
        path = out / file.name
        if not path.exists() or path.stat().st_size != file.size_bytes:
            raise DataDamaged(
                f"this part of the export has changed since it was written; it must have {file.size_bytes} bytes",
                path=path,
                hint=f"Remove {out} and start again",
            )


@contextlib.contextmanager
def _held(filesystem: FileSystem, out: Path) -> Iterator[None]:
    """Keep another export out."""
    path = out / _LOCK
    try:
        lock = filesystem.lock(path)
    except BlockingIOError as error:
        raise FailedPrecondition(f"process {error.filename or 'unknown'} is exporting into {out}") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
