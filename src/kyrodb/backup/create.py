"""Making a backup, of a stopped database or of one whose server goes on writing.

look     at the earlier backups and at the database: source.py
relate   which files and which part of the log earlier archives hold already: lineage.py
write    the archive: what is new, proved while it is copied; it appears whole or not at all
label    it in the catalog, which could also be made again from the archive
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kyrodb.backup import filename, lineage
from kyrodb.backup.archive_writer import ArchiveWriter
from kyrodb.backup.catalog import Catalog, Entry, read_catalog, write_label
from kyrodb.backup.census import live_keys
from kyrodb.backup.proved_copy import proved_chunks
from kyrodb.backup.record import LogPiece, LogSegment, Record, StoredFile
from kyrodb.backup.source import Source, capture, require_manifest
from kyrodb.backup.source_log import SourceSegment
from kyrodb.backup.target import Target
from kyrodb.clock import Clock
from kyrodb.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from kyrodb.limits import BACKUP_DESCRIPTION_CHARS_MAX
from kyrodb.storage import filename as data_filename
from kyrodb.storage.filesystem import FileSystem
from kyrodb.storage.manifest import Manifest, encode_manifest
from kyrodb.version import __version__

_CANDIDATES_MAX: Final = 3
_SPARE_BYTES: Final = 1 << 20
_DAY_US: Final = 86_400_000_000

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


def silent(done_bytes: int, total_bytes: int) -> None:
    """Progress nobody watches."""


@dataclass(frozen=True, slots=True)
class CreateOptions:
    """`reference` builds on that backup instead of the newest that fits and takes `incremental`. With
    `full_after_days` an incremental backup becomes a full one when there is none to build on, or when the oldest
    archive it would need is older. `pace` is called with the size of each piece before it is written:
    Throttle.take."""

    incremental: bool = False
    reference: str | None = None
    full_after_days: float | None = None
    description: str = ""
    pace: Callable[[int], None] = lambda size_bytes: None
    progress: Progress = silent


def create_backup(
    filesystem: FileSystem, data_dir: Path, target: Target, clock: Clock, options: CreateOptions
) -> Entry:
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
        plan = _Plan(filesystem, data_dir, catalog, options, _new_id(catalog, created_us), created_us)
        entry = _write(target, plan)
        write_label(target, entry)
        return entry
    finally:
        lock.release()


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


class _Plan:
    """What the archive will hold, and what earlier ones hold already."""

    def __init__(
        self,
        filesystem: FileSystem,
        data_dir: Path,
        catalog: Catalog,
        options: CreateOptions,
        backup_id: str,
        created_us: int,
    ) -> None:
        self.filesystem = filesystem
        self.data_dir = data_dir
        self.options = options
        self.id = backup_id
        self.created_us = created_us
        manifest = require_manifest(filesystem, data_dir)
        self.parent = self._choose_parent(catalog, manifest) if options.incremental else None
        self.source, self.continues = self._capture(catalog)
        history = self.source.manifest.history
        same_history = self.parent is not None and self.parent.history == history
        self.log_parent = self.parent if same_history else None
        sealed_lsn = self.source.manifest.sealed_lsn
        start = min(sealed_lsn, self.continues.position.lsn) if self.continues else sealed_lsn
        self.log = [segment for segment in self.source.log.segments if segment.last_lsn > start]
        needed = tuple(s.entry for s in self.log if s.last_lsn > sealed_lsn)
        self.manifest = self.source.manifest.model_copy(update={"wal": needed})

    def _choose_parent(self, catalog: Catalog, manifest: Manifest) -> Record | None:
        days = self.options.full_after_days
        try:
            parent = lineage.choose_parent(catalog, manifest, self.options.reference)
        except FailedPrecondition:
            if days is None:
                raise
            return None
        oldest_us = min(entry.record.created_us for entry in catalog.chain(parent))
        too_old = days is not None and self.created_us - oldest_us > days * _DAY_US
        return None if too_old else parent.record

    def _capture(self, catalog: Catalog) -> tuple[Source, Record | None]:
        """The database with its log from the end of the newest backup on that is on the same line of writes."""
        manifest = require_manifest(self.filesystem, self.data_dir)
        for earlier in lineage.of_same_history(catalog, manifest)[:_CANDIDATES_MAX]:
            lsn = earlier.position.lsn
            source = capture(self.filesystem, self.data_dir, lsn, {lsn})
            if lineage.continues(source.log, earlier):
                return source, earlier
        return capture(self.filesystem, self.data_dir, manifest.sealed_lsn), None

    def known_pieces(self, segment: SourceSegment) -> tuple[LogPiece, ...]:
        """The beginning of a WAL segment that earlier archives hold and this backup may refer to.

        What it needs for itself comes from its parent's archives alone; what only rolls an earlier one forward may
        be in any.
        """
        known = lineage.pieces_in(self.log_parent, segment) if self.log_parent else ()
        if not known and self.continues and segment.last_lsn <= self.source.manifest.sealed_lsn:
            known = lineage.pieces_in(self.continues, segment)
        return known

    @property
    def new_bytes(self) -> int:
        """About what the archive will need."""
        files = sum(len(f.content) for f in self.source.files if self.known_file(f.entry.name) is None)
        log = sum(s.end_offset - _end(self.known_pieces(s)) for s in self.log)
        return files + log + sum(map(len, self.source.beside.values())) + _SPARE_BYTES

    def known_file(self, name: str) -> StoredFile | None:
        entry = next(file.entry for file in self.source.files if file.entry.name == name)
        return lineage.stored_in(self.parent, entry) if self.parent else None

    @property
    def documents(self) -> int:
        content = {file.entry.name: file.content for file in self.source.files}
        segments = self.source.manifest.segments
        return self.source.log.effect.count_after([live_keys(self.data_dir, e, content) for e in segments])


def _write(target: Target, plan: _Plan) -> Entry:
    """Write the archive. Raises DataDamaged, ResourceExhausted, OSError; then there is none."""
    free = target.free_bytes()
    if free is not None and free < plan.new_bytes:
        raise ResourceExhausted(
            f"the backup needs {plan.new_bytes} bytes, {target.location} has {free} free. "
            f"Free space or prune old backups"
        )
    documents = plan.documents
    writer = ArchiveWriter(target, plan.id, plan.created_us // 1_000_000, _paced(plan))
    try:
        files = [*_write_files(writer, plan), *_write_beside(writer, plan)]
        log = _write_log(writer, plan)
        record = _record(plan, documents, files, log)
        facts = writer.finish(record)
    except BaseException:
        writer.abandon()
        raise
    return Entry(record, facts.size_bytes, facts.digest)


def _paced(plan: _Plan) -> Callable[[int], None]:
    total, done = plan.new_bytes, 0

    def take(size_bytes: int) -> None:
        nonlocal done
        plan.options.pace(size_bytes)
        done += size_bytes
        plan.options.progress(done, total)

    return take


def _write_files(writer: ArchiveWriter, plan: _Plan) -> list[StoredFile]:
    stored = []
    for file in plan.source.files:
        entry = file.entry
        known = plan.known_file(entry.name)
        if known is None:
            chunks = proved_chunks(plan.data_dir / entry.name, file.content, entry)
            digest = writer.add(entry.name, len(file.content), chunks)
            plan.filesystem.release_pages(file.content)
            known = StoredFile(
                name=entry.name,
                size_bytes=entry.size_bytes,
                digest=digest,
                manifest_digest=entry.digest,
                archive=plan.id,
            )
        stored.append(known)
    return stored


def _write_beside(writer: ArchiveWriter, plan: _Plan) -> list[StoredFile]:
    contents = plan.source.beside | {data_filename.MANIFEST: encode_manifest(plan.manifest)}
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


def _write_log(writer: ArchiveWriter, plan: _Plan) -> list[LogSegment]:
    stored = []
    for segment in plan.log:
        pieces = plan.known_pieces(segment)
        start, end = _end(pieces), segment.end_offset
        if start < end:
            member = filename.piece(segment.entry.name, start)
            digest = writer.add_bytes(member, segment.content[start:end])
            pieces += (LogPiece(start=start, end=end, digest=digest, archive=plan.id),)
        stored.append(lineage.log_segment(segment, pieces))
    return stored


def _end(pieces: tuple[LogPiece, ...]) -> int:
    return pieces[-1].end if pieces else 0


def _record(plan: _Plan, documents: int, files: list[StoredFile], log: list[LogSegment]) -> Record:
    manifest, source = plan.source.manifest, plan.source.log
    return Record(
        id=plan.id,
        backup_type="Incremental" if plan.parent else "Full",
        parent_id=plan.parent.id if plan.parent else None,
        continues=plan.continues.id if plan.continues else None,
        created_us=plan.created_us,
        description=plan.options.description,
        program=__version__,
        dimension=manifest.dimension,
        metric=manifest.metric,
        history=manifest.history,
        documents=documents,
        sealed_lsn=manifest.sealed_lsn,
        sealed_time_us=source.sealed_time_us,
        position=source.position,
        files=tuple(files),
        log=tuple(log),
    )
