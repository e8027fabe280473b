"""Makes a backup of a stopped database, or of one whose server is writing.

look     at the earlier backups and at the database: source.py
relate   which files and which part of the log earlier archives hold already: history/chain.py, create_plan.py
write    the archive: what is new, proved while it is copied; it appears whole or not at all
prove    that it restores: its structure, and every frame of its log, wherever the pieces are
label    it in the catalog, which could also be made again from the archive
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

from pykyro.backup import filename
from pykyro.backup.archive.record import LogPiece, LogSegment, Record, StoredFile
from pykyro.backup.archive.writer import ArchiveWriter, proved_chunks
from pykyro.backup.create_plan import BackupPlan, CreateOptions, end_of, make_plan
from pykyro.backup.history import chain as chain
from pykyro.backup.history.catalog import Catalog, CatalogEntry, read_catalog, write_label
from pykyro.backup.history.order import CLOCK_TOLERANCE_US
from pykyro.backup.history.store import Store
from pykyro.backup.source.source import require_manifest
from pykyro.backup.target.target import Target
from pykyro.model.errors import DataDamaged, InvalidArgument, ResourceExhausted
from pykyro.model.limits import BACKUP_DESCRIPTION_CHARS_MAX
from pykyro.storage import filename as data_filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import encode_manifest
from pykyro.system.clock import Clock
from pykyro.version import __version__

__all__ = ["CreateOptions", "create_backup"]


def create_backup(
    filesystem: FileSystem, data_dir: Path, target: Target, clock: Clock, options: CreateOptions
) -> CatalogEntry:
    """A new backup of the database in `data_dir`, durable in the target.

    Raises FailedPrecondition when there is no database, or no backup to build on; InvalidArgument, DataDamaged,
    DataDirInUse while another process changes the backups, ResourceExhausted, OSError.
    """
    _check(options)
    created_us = clock.wall_us()
    require_manifest(filesystem, data_dir)
    lock = target.lock()
    try:
        catalog = read_catalog(target)
        plan = make_plan(filesystem, data_dir, catalog, options, _new_id(catalog, created_us), created_us)
        try:
            entry = _write_proved(filesystem, target, plan)
        except DataDamaged as error:
            if plan.parent is None or not str(error.path).startswith(target.location):
                raise
            reason = f"the backup to build on is damaged: {error}"
            plan = plan.as_full(reason[:BACKUP_DESCRIPTION_CHARS_MAX])
            entry = _write_proved(filesystem, target, plan)
        write_label(target, entry)
        _warn(plan, catalog)
        return entry
    finally:
        lock.release()


def _warn(plan: BackupPlan, catalog: Catalog) -> None:
    if plan.full_because:
        plan.options.warn(f"a full backup was made: {plan.full_because}")
    elif plan.line.diverged:
        plan.options.warn(plan.line.new_because)
    later = [e.record for e in catalog.entries if e.record.created_us > plan.created_us + CLOCK_TOLERANCE_US]
    if later:
        plan.options.warn(
            f"the clock was set back: {len(later)} backups that were made before this one are dated later, "
            f"{later[0].id} among them. Backups are listed and kept in the order in which they were made"
        )


def _check(options: CreateOptions) -> None:
    if options.reference is not None and not options.incremental:
        raise InvalidArgument("--reference needs --incremental", field="reference")
    if options.full_after_days is not None and not options.incremental:
        raise InvalidArgument("--full-after-days needs --incremental", field="full_after_days")
    if len(options.description) > BACKUP_DESCRIPTION_CHARS_MAX:
        raise InvalidArgument(
            f"description has {len(options.description)} characters, at most {BACKUP_DESCRIPTION_CHARS_MAX}",
            field="description",
        )


def _new_id(catalog: Catalog, created_us: int) -> str:
    stamp = datetime.datetime.fromtimestamp(created_us / 1e6, datetime.UTC)
    first = backup_id = f"{stamp:%Y%m%dT%H%M%SZ}"
    number = 1
    while backup_id in catalog.ids_taken:
        number += 1
        backup_id = f"{first}-{number}"
    return backup_id


def _write_proved(filesystem: FileSystem, target: Target, plan: BackupPlan) -> CatalogEntry:
    """Write the archive and prove that it restores; otherwise there is none."""
    entry = _write(filesystem, target, plan)
    try:
        Store(target).require_restorable(entry.record)
    except BaseException:
        target.remove(filename.archive(entry.id))
        raise
    return entry


def _write(filesystem: FileSystem, target: Target, plan: BackupPlan) -> CatalogEntry:
    """Write the archive. Raises DataDamaged, ResourceExhausted, OSError; then there is none."""
    free = target.free_bytes()
    if free is not None and free < plan.new_bytes:
        raise ResourceExhausted(
            f"the backup needs {plan.new_bytes} bytes, {target.location} has {free} free. "
            f"Free space or prune old backups"
        )
    documents = plan.documents
    writer = ArchiveWriter(target, plan.id, plan.created_us // 1_000_000, _paced(plan), plan.new_bytes)
    try:
        files = [*_write_files(filesystem, writer, plan), *_write_beside(writer, plan)]
        log = _write_log(writer, plan)
        record = _record(plan, documents, files, log)
        facts = writer.finish(record)
    except BaseException:
        writer.abandon()
        raise
    return CatalogEntry(record, facts.size_bytes, facts.digest)


def _paced(plan: BackupPlan) -> Callable[[int], None]:
    total, done = plan.new_bytes, 0

    def take(size_bytes: int) -> None:
        nonlocal done
        plan.options.pace(size_bytes)
        done += size_bytes
        plan.options.progress(done, total)

    return take


def _write_files(filesystem: FileSystem, writer: ArchiveWriter, plan: BackupPlan) -> list[StoredFile]:
    stored = []
    for file in plan.source.files:
        entry = file.entry
        known = plan.known_file(entry.name)
        if known is None:
            chunks = proved_chunks(plan.data_dir / entry.name, file.content, entry)
            digest = writer.add(entry.name, len(file.content), chunks)
            filesystem.release_pages(file.content)
            known = StoredFile(
                name=entry.name,
                size_bytes=entry.size_bytes,
                digest=digest,
                manifest_digest=entry.digest,
                archive=plan.id,
            )
        stored.append(known)
    return stored


def _write_beside(writer: ArchiveWriter, plan: BackupPlan) -> list[StoredFile]:
    sealed_lsn = plan.source.manifest.sealed_lsn
    needed = tuple(segment.entry for segment in plan.log if segment.last_lsn > sealed_lsn)
    manifest = plan.source.manifest.model_copy(update={"wal": needed})
    contents = plan.source.beside | {data_filename.MANIFEST: encode_manifest(manifest)}
    return [
        StoredFile(
            name=name,
            size_bytes=len(content),
            digest=writer.add_bytes(name, content),
            manifest_digest="",
            archive=plan.id,
        )
        for name, content in contents.items()
    ]


def _write_log(writer: ArchiveWriter, plan: BackupPlan) -> list[LogSegment]:
    stored = []
    for segment in plan.log:
        pieces = plan.known_pieces(segment)
        start, end = end_of(pieces), segment.end_offset
        if start < end:
            member = filename.piece(segment.entry.name, start)
            digest = writer.add_bytes(member, segment.content[start:end])
            pieces += (LogPiece(start=start, end=end, digest=digest, archive=plan.id),)
        stored.append(chain.log_segment(segment, pieces))
    return stored


def _record(plan: BackupPlan, documents: int, files: list[StoredFile], log: list[LogSegment]) -> Record:
    manifest, source = plan.source.manifest, plan.source.log
    return Record(
        id=plan.id,
        backup_type="Incremental" if plan.parent else "Full",
        parent_id=plan.parent.id if plan.parent else None,
        continues=plan.line.continues.id if plan.line.continues else None,
        sequence=plan.sequence,
        created_us=plan.created_us,
        description=plan.options.description,
        program=__version__,
        dimension=manifest.dimension,
        metric=manifest.metric,
        full_because=plan.full_because,
        history=plan.line.history,
        origin=manifest.history if manifest.history != plan.line.history else "",
        branched_from=plan.line.branched_from,
        documents=documents,
        sealed_lsn=manifest.sealed_lsn,
        sealed_time_us=source.sealed_time_us,
        position=source.position,
        files=tuple(files),
        log=tuple(log),
    )
