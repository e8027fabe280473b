"""Prove a whole data directory without opening it: every byte that a MANIFEST vouches for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pykyro.model.errors import DataDamaged, StorageError
from pykyro.model.types import LSN
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem, LocalFileSystem
from pykyro.storage.manifest import FileEntry, Manifest, read_manifest
from pykyro.storage.segment.reader import verify_graph
from pykyro.storage.segment.section_file import open_section_file
from pykyro.storage.wal.chain import WalChain
from pykyro.storage.wal.retention import is_sealed


@dataclass(slots=True)
class VerifyReport:
    """`damage` lists every fault found, one line each; an empty list means the directory can be trusted."""

    files: int = 0
    size_bytes: int = 0
    last_lsn: LSN = 0
    torn_bytes: int = 0
    damage: list[str] = field(default_factory=list)


def verify_directory(filesystem: FileSystem, directory: Path) -> VerifyReport:
    """Read everything and report. Raises StorageError only when there is no MANIFEST to start from."""
    report = VerifyReport()
    try:
        manifest = read_manifest(filesystem, directory)
    except FileNotFoundError:
        raise DataDamaged("MANIFEST is missing", path=directory / filename.MANIFEST) from None
    for entry in manifest.files:
        _verify_file(filesystem, directory / entry.name, entry, report)
    _verify_log(filesystem, directory, manifest, report)
    return report


def size_faults(directory: Path) -> tuple[Manifest, list[str]]:
    """The MANIFEST, and which of the files it names are missing or shorter than they should be: no start without
    them. A server may be at work there. Raises FileNotFoundError without a MANIFEST, StorageError, OSError."""
    filesystem = LocalFileSystem()
    manifest = read_manifest(filesystem, directory)
    while faults := list(_size_faults(directory, manifest)):
        # A server that runs has replaced files meanwhile.
        now = read_manifest(filesystem, directory)
        if now == manifest:
            break
        manifest = now
    return manifest, faults


def _size_faults(directory: Path, manifest: Manifest) -> Iterator[str]:
    for file in manifest.files:
        if filename.is_id_map(file.name):  # which is made anew at the next start
            continue
        size = _size(directory / file.name)
        if size is None:
            yield f"{file.name} is missing, or no file"
        elif size != file.size_bytes:
            yield f"{file.name} has {size} bytes, expected {file.size_bytes}"
    for entry in manifest.wal:
        needed = entry.last_lsn is None or entry.last_lsn > manifest.sealed_lsn
        size = _size(directory / entry.name)
        if needed and size is None:
            yield f"{entry.name} is missing, or no file (positions from {entry.base_lsn})"
        elif size is not None and size < (entry.end_offset or 0):
            yield f"{entry.name} has {size} bytes, expected at least {entry.end_offset}"


def _verify_file(filesystem: FileSystem, path: Path, entry: FileEntry, report: VerifyReport) -> None:
    report.files += 1
    report.size_bytes += entry.size_bytes
    try:
        if filename.is_graph(path.name):
            verify_graph(filesystem, path, entry.facts)
        else:
            open_section_file(filesystem, path, entry.facts)
    except (StorageError, OSError) as error:
        report.damage.append(str(error))


def _verify_log(filesystem: FileSystem, directory: Path, manifest: Manifest, report: VerifyReport) -> None:
    report.last_lsn = manifest.sealed_lsn
    chain = WalChain(filesystem, directory, manifest)
    for entry in manifest.wal:
        if is_sealed(entry, manifest.sealed_lsn) and not filesystem.exists(directory / entry.name):
            # Recovery does without it, so that somebody removed it is no damage.
            chain = WalChain(filesystem, directory, manifest)
            continue
        try:
            contents = chain.read(entry)
            for frame in contents.operations:
                chain.decode(entry, frame)
            size = filesystem.size(directory / entry.name)
        except (StorageError, OSError) as error:
            report.damage.append(str(error))
            continue
        report.files += 1
        report.size_bytes += size
        report.torn_bytes += contents.torn_bytes
        report.last_lsn = max(report.last_lsn, contents.last_lsn)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
