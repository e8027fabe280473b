"""A consistent view of a data directory, taken while its server goes on writing, merging and sealing.

The files a MANIFEST names never change; they are mapped right after it was read, and a mapping outlives the
removal of its name. A name that is gone by then means that a newer MANIFEST is there: read that one and begin
again. The open WAL segment only ever grows; it is read once and counts up to its last whole frame. What the
server has to say meanwhile (where a segment that met a disk error ends, which tenants there are) stands in the
MANIFEST when it is read once more at the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pykyro.backup import filename
from pykyro.backup.source.source_log import SourceLog, read_log
from pykyro.model.errors import DataDamaged, FailedPrecondition
from pykyro.model.types import LSN
from pykyro.storage import filename as data_filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import FileEntry, Manifest, WalEntry, read_manifest
from pykyro.storage.wal.format import SEGMENT_HEADER, Frame, SegmentHeader
from pykyro.storage.wal.reader import read_seal
from pykyro.storage.wal.retention import is_sealed

_ATTEMPTS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that does not change any more. `entry` is its entry in MANIFEST."""

    entry: FileEntry
    content: memoryview


@dataclass(frozen=True, slots=True)
class BackupSource:
    """One state of a database. `manifest` describes exactly these files: every WAL segment is closed in it.

    `beside` are the files that no MANIFEST names.
    """

    manifest: Manifest
    files: tuple[SourceFile, ...]
    log: SourceLog
    beside: dict[str, bytes]


def capture(
    filesystem: FileSystem, directory: Path, log_from: LSN, positions: Collection[LSN] = ()
) -> BackupSource:
    """The database as it is now, with the log from position `log_from` on, or as far back as there is one.

    `positions` are places in the log to be looked up: see SourceLog.marks. Raises FailedPrecondition when there
    is no database, DataDamaged, OSError.
    """
    manifest = require_manifest(filesystem, directory)
    for _ in range(_ATTEMPTS_MAX):
        try:
            return _capture(filesystem, directory, manifest, log_from, positions)
        except (FileNotFoundError, DataDamaged) as error:
            latest = require_manifest(filesystem, directory)
            if latest == manifest:
                if isinstance(error, DataDamaged):
                    raise
                raise _missing(error, directory) from error
            manifest = latest
    raise FailedPrecondition(
        f"{directory}: files were removed {_ATTEMPTS_MAX} times while they were being opened"
    )


def require_manifest(filesystem: FileSystem, directory: Path) -> Manifest:
    """Raises FailedPrecondition when there is none, DataDamaged, OSError."""
    try:
        manifest = read_manifest(filesystem, directory)
    except (FileNotFoundError, NotADirectoryError):
        raise FailedPrecondition(
            f"No recoverable state found in {directory}: there is no {data_filename.MANIFEST}"
        ) from None
    return manifest


def _capture(
    filesystem: FileSystem,
    directory: Path,
    manifest: Manifest,
    log_from: LSN,
    positions: Collection[LSN],
) -> BackupSource:
    files = tuple(SourceFile(entry, filesystem.map(directory / entry.name)) for entry in manifest.files)
    entries = _present(filesystem, directory, manifest, min(log_from, manifest.sealed_lsn))
    mapped = [filesystem.map(directory / entry.name) for entry in entries]
    seal = _seal_before(entries, mapped, min(log_from, manifest.sealed_lsn))
    if seal is not None:
        entries, mapped = entries[1:], mapped[1:]
    latest = require_manifest(filesystem, directory)
    ends = {entry.name: entry.end_offset for entry in (*manifest.wal, *latest.wal)}
    log = read_log(
        directory,
        manifest,
        [(entry.name, content, ends[entry.name]) for entry, content in zip(entries, mapped, strict=True)],
        positions,
        seal,
    )
    beside = {}
    for name in filename.BESIDE_MANIFEST:
        with contextlib.suppress(FileNotFoundError):
            beside[name] = filesystem.read(directory / name)
    closed = tuple(segment.entry for segment in log.segments)
    return BackupSource(
        # Tenants are numbered in MANIFEST, and merges and types permitted there, before the log has any.
        manifest.model_copy(
            update={
                "wal": closed,
                "tenants": latest.tenants,
                "has_merges": latest.has_merges,
                "has_types": latest.has_types,
                "has_expiry": latest.has_expiry,
                "has_keys": latest.has_keys,
            }
        ),
        files,
        log,
        beside,
    )


def _present(filesystem: FileSystem, directory: Path, manifest: Manifest, wanted: LSN) -> list[WalEntry]:
    """Segments of the log from the one that holds position `wanted`; without retained ones before a gap."""
    chosen: list[WalEntry] = []
    for entry in manifest.wal:
        if is_sealed(entry, manifest.sealed_lsn) and not filesystem.exists(directory / entry.name):
            chosen.clear()
        elif entry.last_lsn is None or entry.last_lsn >= wanted:
            chosen.append(entry)
    return chosen


def _seal_before(
    entries: list[WalEntry], mapped: list[memoryview], wanted: LSN
) -> tuple[Frame, bytes] | None:
    """The last frame of a first segment that ends right at `wanted`, and its epoch: no more of it need be read."""
    if not entries or entries[0].last_lsn != wanted or entries[0].end_offset is None:
        return None
    seal = read_seal(mapped[0], entries[0].end_offset)
    if seal is None or seal.lsn != wanted:
        return None
    return seal, SegmentHeader.decode(bytes(mapped[0][: SEGMENT_HEADER.size])).epoch


def _missing(error: FileNotFoundError, directory: Path) -> DataDamaged:
    return DataDamaged(
        "MANIFEST names this file, but the file is missing",
        path=error.filename or directory,
        hint="Start the server once to see what can be recovered, or use an earlier backup",
    )
