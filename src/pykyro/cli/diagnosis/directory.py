"""The data directory: is it there, whose is it, does it belong to these settings, is every byte as it was written."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from pykyro.backup.source.document_count import live_keys
from pykyro.backup.source.source import capture
from pykyro.cli.diagnosis.collections import check_collections
from pykyro.cli.diagnosis.finding import Finding, Severity, note, ok, wrong
from pykyro.config import Settings
from pykyro.engine.capacity import capacity_warning
from pykyro.model.errors import KyroError, StorageError
from pykyro.model.limits import COUNT_MAX
from pykyro.model.text_ids import id_type_of
from pykyro.server.preflight import directory_faults
from pykyro.storage import filename
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import Manifest, read_manifest
from pykyro.storage.recovery import cold_tier_of
from pykyro.storage.verify import size_faults, verify_directory

TOPIC: Final = "data directory"
_RESTORE: Final = (
    "restore a backup (kyrodb_backup restore); a restored directory replaces this one as a whole"
)
_TRIES: Final = 3
Examination: TypeAlias = Generator[Finding, None, int]


def check_directory(directory: Path, settings: Settings | None, *, deep: bool) -> Examination:
    """`settings` None leaves out what they would have to match; `deep` reads every byte. Returns how many documents
    it holds, 0 where that cannot be told."""
    faults = list(directory_faults(directory))
    if faults:
        yield from (wrong(TOPIC, f"{directory}: {fault}", _advice(directory)) for fault in faults)
        return 0
    if not directory.is_dir():
        yield wrong(
            TOPIC,
            f"{directory} does not exist",
            "check that it is the right one; a server that is started with it creates an empty database",
        )
        return 0
    names = list(_check_names(directory))
    yield from names
    if any(finding.severity is Severity.WRONG for finding in names):
        # No look at the content gets past that.
        return 0
    read_only = bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
    if read_only:
        yield wrong(
            TOPIC,
            f"{directory} is on a read-only file system: no server can open it there",
            "mount it writable, or copy it; kyrodb export and kyrodb_backup create read it where it is",
        )
    denied = (
        [] if read_only else [name for name in sorted(os.listdir(directory)) if _is_denied(directory / name)]
    )
    if denied:
        shown = ", ".join(denied[:3]) + (f" and {len(denied) - 3} more" if len(denied) > 3 else "")
        yield wrong(
            TOPIC,
            f"user {os.geteuid()} may not read and write {shown} in {directory}",
            _ownership(directory / denied[0]),
        )
        return 0
    documents = yield from _check_content(directory, settings, deep=deep)
    yield from check_collections(directory, deep=deep)
    return documents


def _advice(directory: Path) -> str:
    """Advice for a directory that cannot be used."""
    if not os.path.isdir(directory):
        return "name another persistence.data_dir, or run this as the user the server runs as"
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        return "mount it writable, or copy it to a writable place"
    if os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        return "name another persistence.data_dir"
    return _ownership(directory)


def _ownership(path: Path) -> str:
    """Ways to give the user of this process access: another owner only where the owner is another."""
    owner, user = path.stat().st_uid, os.geteuid()
    if owner != user:
        return f"it belongs to user {owner}: chown -R it to the user the server runs as, or run this as that user"
    return f"its mode is {stat.S_IMODE(path.stat().st_mode):04o}: chmod -R u+rwX {path}"


def _check_names(directory: Path) -> Iterator[Finding]:
    """What lies there and is no file: the database leaves it alone, unless it stands in the place of one."""
    for name in sorted(os.listdir(directory)):
        path = directory / name
        if path.is_file() or (name in (filename.SNAPSHOTS, filename.COLLECTIONS) and path.is_dir()):
            continue
        what = _kind(path)
        if filename.is_known(name):
            yield wrong(
                TOPIC,
                f"{name} is {what}, where a file of the database should be",
                f"put it back, or {_RESTORE}",
            )
        else:
            yield note(
                TOPIC, f"{name} is {what}, and not a file of the database", "the database leaves it alone"
            )


def _kind(path: Path) -> str:
    """What lies there, which is no file."""
    if path.is_symlink() and not path.exists():
        return f"a symbolic link to {os.readlink(path)}, which does not exist"
    kinds = ((stat.S_ISDIR, "a directory"), (stat.S_ISSOCK, "a socket"), (stat.S_ISFIFO, "a named pipe"))
    mode = path.stat().st_mode
    return next((word for is_one, word in kinds if is_one(mode)), "a device")


def _is_denied(path: Path) -> bool:
    """Whether this process lacks access to a file or directory of the database's."""
    known = filename.is_known(path.name) or path.name in (filename.SNAPSHOTS, filename.COLLECTIONS)
    if not known or not path.exists():
        return False
    return not os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0))


def _check_content(directory: Path, settings: Settings | None, *, deep: bool) -> Examination:
    filesystem = LocalFileSystem()
    try:
        manifest = read_manifest(filesystem, directory)
    except FileNotFoundError:
        data = [name for name in os.listdir(directory) if filename.is_data_file(name)]
        if data:
            yield wrong(TOPIC, f"MANIFEST is missing, but there is data, such as {data[0]}", _RESTORE)
        else:
            yield ok(TOPIC, f"{directory} is empty")
        return 0
    except (StorageError, OSError) as error:
        yield wrong(TOPIC, str(error), _RESTORE)
        return 0
    if settings is not None:
        yield from _check_identity(manifest, settings)
    yield from (_read_everything if deep else _compare_sizes)(directory, manifest)
    return (yield from _count(directory, manifest, settings))


def _count(directory: Path, manifest: Manifest, settings: Settings | None) -> Examination:
    if manifest.remote is not None:
        there = f"the table kyrodb.rows_{manifest.remote.table} of the PostgreSQL service {manifest.remote.service!r}"
        yield ok(
            TOPIC, f"{manifest.remote.documents} sealed documents are in {there}, which is not looked at here"
        )
        return 0
    try:
        found = count_documents(directory, manifest)
    except (KyroError, OSError) as error:
        yield wrong(TOPIC, f"its documents cannot be counted: {error}", _RESTORE)
        return 0
    counted = f"{found.documents} documents up to position {found.position}"
    yield ok(TOPIC, f"{counted}, {found.in_log} of them in the log and not in a segment yet")
    bound = settings.hnsw.documents_max if settings is not None else COUNT_MAX
    if warning := capacity_warning(found.documents, bound, "hnsw.max_elements"):
        severity = wrong if found.documents >= bound else note
        yield severity(TOPIC, warning, "raise hnsw.max_elements, or leave it out for no bound")
    return found.documents


def _check_identity(manifest: Manifest, settings: Settings) -> Iterator[Finding]:
    held = (manifest.dimension, manifest.metric.value)
    if held != (settings.hnsw.dimension, settings.hnsw.distance):
        yield wrong(
            TOPIC,
            f"it holds vectors of dimension {held[0]}, distance {held[1]}; the configuration says "
            f"{settings.hnsw.dimension}, {settings.hnsw.distance}",
            f"set hnsw.dimension: {held[0]} and hnsw.distance: {held[1]}, or name another data_dir",
        )
    cold_tier, named = cold_tier_of(manifest), settings.cold_tier.engine
    if named not in (None, cold_tier.engine):
        yield wrong(
            TOPIC,
            f"its cold tier is {cold_tier}; the configuration says {named}",
            f"set cold_tier.engine: {cold_tier.engine}, or name another data_dir",
        )
    id_type, wanted = id_type_of(manifest.text_ids is not None), settings.collections.default_id_type
    if wanted not in (None, id_type):
        yield wrong(
            TOPIC,
            f"the ids of its documents are of type {id_type}; the configuration says {wanted}",
            f"set collections.default_id_type: {id_type}, or name another data_dir",
        )


def _compare_sizes(directory: Path, manifest: Manifest) -> Iterator[Finding]:
    """Every file that MANIFEST names is there, as long as it should be."""
    manifest, faults = size_faults(directory)
    yield from (wrong(TOPIC, fault, _RESTORE) for fault in faults)
    if not faults:
        yield ok(
            TOPIC,
            f"{directory}: {len(manifest.segments)} segments and {len(manifest.wal)} log files have the expected "
            f"sizes; --deep reads every byte",
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


@dataclass(frozen=True, slots=True)
class DocumentCount:
    """Live documents, and how many of them the log behind the last checkpoint holds, up to its end `position`."""

    documents: int
    in_log: int
    position: int


def count_documents(directory: Path, manifest: Manifest) -> DocumentCount:
    """Read the ids of the segments, and the log behind them; a server may be writing meanwhile.

    Raises FailedPrecondition, DataDamaged, OSError.
    """
    source = capture(LocalFileSystem(), directory, manifest.sealed_lsn)
    content = {file.entry.name: file.content for file in source.files}
    keys = [live_keys(directory, entry, content) for entry in source.manifest.segments]
    effect = source.log.effect
    return DocumentCount(effect.count_after(keys), effect.count_after([]), source.log.position.lsn)
