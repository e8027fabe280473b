"""The data directory: is it there, whose is it, does it belong to these settings, is every byte as it was written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from kyrodb.cli.diagnosis.finding import Finding, note, ok, wrong
from kyrodb.config import Settings
from kyrodb.errors import StorageError
from kyrodb.storage import filename
from kyrodb.storage.filesystem import LocalFileSystem
from kyrodb.storage.manifest import Manifest, read_manifest
from kyrodb.storage.verify import verify_directory

TOPIC: Final = "data directory"
_RESTORE: Final = (
    "restore a backup (kyrodb_backup restore); a restored directory replaces this one as a whole"
)
_TRIES: Final = 3


def check_directory(directory: Path, settings: Settings | None, *, deep: bool) -> Iterator[Finding]:
    """`settings` None leaves out what they would have to match; `deep` reads every byte."""
    if not directory.exists():
        yield note(TOPIC, f"{directory} does not exist", "the server makes it at its first start")
        return
    if not directory.is_dir():
        yield wrong(TOPIC, f"{directory} is not a directory", "name another persistence.data_dir")
        return
    read_only = bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    if read_only:
        yield wrong(
            TOPIC,
            f"{directory} is on a read-only file system: no server can open it there",
            "mount it writable, or copy it; kyrodb export and kyrodb_backup create read it where it is",
        )
    denied = [] if read_only else list(_denied(directory))
    if denied:
        shown = ", ".join(denied[:3]) + (f" and {len(denied) - 3} more" if len(denied) > 3 else "")
        yield wrong(
            TOPIC,
            f"user {os.geteuid()} may not read and write {shown}",
            f"chown -R it to the user the server runs as, or run this as that user; {directory}",
        )
        return
    yield from _check_content(directory, settings, deep=deep)


def _denied(directory: Path) -> Iterator[str]:
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        yield str(directory)
        return
    for name in sorted(os.listdir(directory)):
        mode = os.R_OK | os.W_OK | (os.X_OK if (directory / name).is_dir() else 0)
        if not os.access(directory / name, mode):
            yield name


def _check_content(directory: Path, settings: Settings | None, *, deep: bool) -> Iterator[Finding]:
    filesystem = LocalFileSystem()
    try:
        manifest = read_manifest(filesystem, directory)
    except FileNotFoundError:
        data = [name for name in os.listdir(directory) if filename.is_data_file(name)]
        if data:
            yield wrong(TOPIC, f"MANIFEST is missing, but there is data, such as {data[0]}", _RESTORE)
        else:
            yield ok(TOPIC, f"{directory} is empty")
        return
    except StorageError as error:
        yield wrong(TOPIC, str(error), _RESTORE)
        return
    if settings is not None:
        yield from _check_identity(manifest, settings)
    yield from (_read_everything if deep else _compare_sizes)(directory, manifest)


def _check_identity(manifest: Manifest, settings: Settings) -> Iterator[Finding]:
    held = (manifest.dimension, manifest.metric.value)
    if held != (settings.hnsw.dimension, settings.hnsw.distance):
        yield wrong(
            TOPIC,
            f"it holds vectors of dimension {held[0]}, distance {held[1]}; the configuration says "
            f"{settings.hnsw.dimension}, {settings.hnsw.distance}",
            f"set hnsw.dimension: {held[0]} and hnsw.distance: {held[1]}, or name another data_dir",
        )


def _compare_sizes(directory: Path, manifest: Manifest) -> Iterator[Finding]:
    """Every file that MANIFEST names is there, as long as it should be."""
    faults = []
    files = [file for segment in manifest.segments for file in segment.files]
    for file in files:
        size = _size(directory / file.name)
        if size is None:
            faults.append(f"{file.name} is missing")
        elif size != file.size_bytes:
            faults.append(f"{file.name} has {size} bytes, expected {file.size_bytes}")
    for entry in manifest.wal:
        needed = entry.last_lsn is None or entry.last_lsn > manifest.sealed_lsn
        size = _size(directory / entry.name)
        if needed and size is None:
            faults.append(f"{entry.name} is missing (positions from {entry.base_lsn})")
        elif size is not None and size < (entry.end_offset or 0):
            faults.append(f"{entry.name} has {size} bytes, expected at least {entry.end_offset}")
    yield from (wrong(TOPIC, fault, _RESTORE) for fault in faults)
    if not faults:
        rows = sum(segment.row_count - segment.dead_count for segment in manifest.segments)
        yield ok(
            TOPIC,
            f"{directory}: {len(manifest.segments)} segments with {rows} documents up to position "
            f"{manifest.sealed_lsn}, {len(manifest.wal)} log files; --deep reads every byte",
        )


def _read_everything(directory: Path, manifest: Manifest) -> Iterator[Finding]:
    filesystem = LocalFileSystem()
    for _ in range(_TRIES):
        report = verify_directory(filesystem, directory)
        now = read_manifest(filesystem, directory)
        if not report.damage or now == manifest:
            break
        # A server that runs has replaced files meanwhile.
        manifest = now
    yield from (wrong(TOPIC, fault, _RESTORE) for fault in report.damage)
    if not report.damage:
        yield ok(
            TOPIC,
            f"{directory}: every byte of {report.files} files ({report.size_bytes} bytes) is as it was written, "
            f"up to position {report.last_lsn}",
        )


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
