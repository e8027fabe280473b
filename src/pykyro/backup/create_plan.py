"""The plan of a new backup: its content, and the part of it that earlier archives hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pykyro.backup.archive.record import LogPiece, Record, StoredFile
from pykyro.backup.history import chain as chain
from pykyro.backup.history.catalog import Catalog, CatalogEntry
from pykyro.backup.history.chain import Line
from pykyro.backup.source.document_count import live_keys, live_keys_elsewhere
from pykyro.backup.source.source import BackupSource
from pykyro.backup.source.source_log import SourceSegment
from pykyro.model.errors import FailedPrecondition
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import Manifest

_SPARE_BYTES: Final = 1 << 20
_DAY_US: Final = 86_400_000_000

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


def silent(done_bytes: int, total_bytes: int) -> None:
    """Progress that is not shown."""


@dataclass(frozen=True, slots=True)
class CreateOptions:
    """`reference` builds on that backup instead of the newest that fits and takes `incremental`. With
    `full_after_days` an incremental backup becomes a full one also when there is no backup at all, or when the oldest
    archive it would need is older. `pace` is called with the size of each piece before it is written:
    Throttle.take; `warn` is called with texts for the operator."""

    incremental: bool = False
    reference: str | None = None
    full_after_days: float | None = None
    description: str = ""
    pace: Callable[[int], None] = lambda size_bytes: None
    warn: Callable[[str], None] = lambda text: None
    progress: Progress = silent


@dataclass(frozen=True, slots=True)
class BackupPlan:
    """A backup of `source`. It builds on `parent`; None makes it a full one, `full_because` of something when it was
    to be incremental."""

    id: str
    created_us: int
    sequence: int
    data_dir: Path
    options: CreateOptions
    source: BackupSource
    line: Line
    parent: Record | None
    full_because: str

    @property
    def log(self) -> list[SourceSegment]:
        """The log to store: back to where the backup continues an earlier one."""
        sealed_lsn, continued = self.source.manifest.sealed_lsn, self.line.continues
        start = min(sealed_lsn, continued.position.lsn) if continued else sealed_lsn
        return [segment for segment in self.source.log.segments if segment.last_lsn > start]

    def as_full(self, because: str) -> BackupPlan:
        """The same backup, built on no other."""
        return replace(self, parent=None, full_because=because)

    def known_pieces(self, segment: SourceSegment) -> tuple[LogPiece, ...]:
        """The beginning of a WAL segment that earlier archives hold and this backup may refer to.

        What it needs for itself comes from its parent's archives alone; what only rolls an earlier one forward may
        be in any.
        """
        known = chain.pieces_in(self.parent, segment) if self.parent else ()
        continued = self.line.continues
        if not known and continued and segment.last_lsn <= self.source.manifest.sealed_lsn:
            known = chain.pieces_in(continued, segment)
        return known

    def known_file(self, name: str) -> StoredFile | None:
        """A file of the database as the parent has it."""
        entry = next(file.entry for file in self.source.files if file.entry.name == name)
        return chain.stored_in(self.parent, entry) if self.parent else None

    @property
    def new_bytes(self) -> int:
        """Approximate size of the archive."""
        files = sum(len(f.content) for f in self.source.files if self.known_file(f.entry.name) is None)
        log = sum(s.end_offset - end_of(self.known_pieces(s)) for s in self.log)
        return files + log + sum(map(len, self.source.beside.values())) + _SPARE_BYTES

    @property
    def documents(self) -> int:
        """Live documents at the position of the backup."""
        content = {file.entry.name: file.content for file in self.source.files}
        manifest = self.source.manifest
        keys = [live_keys(self.data_dir, entry, content) for entry in manifest.segments]
        keys += live_keys_elsewhere(self.data_dir, manifest, content)
        return self.source.log.effect.count_after(keys)


def make_plan(
    filesystem: FileSystem,
    data_dir: Path,
    catalog: Catalog,
    options: CreateOptions,
    backup_id: str,
    created_us: int,
) -> BackupPlan:
    """Raises FailedPrecondition when there is no database, or no backup to build on; InvalidArgument, DataDamaged,
    OSError."""
    if options.reference is not None:
        _require_reference(catalog, options.reference)
    if options.incremental and options.full_after_days is None and not catalog.entries:
        raise FailedPrecondition(
            "Reference backup ID required: there is no backup to build on; make a full one first, without "
            "--incremental"
        )
    source, line = chain.capture_line(filesystem, data_dir, catalog)
    parent, because = None, ""
    if options.incremental:
        parent, because = _choose_parent(catalog, line, source.manifest, options, created_us)
    return BackupPlan(
        id=backup_id,
        created_us=created_us,
        sequence=1 + max((entry.record.sequence for entry in catalog.entries), default=0),
        data_dir=data_dir,
        options=options,
        source=source,
        line=line,
        parent=parent.record if parent else None,
        full_because=because,
    )


def end_of(pieces: tuple[LogPiece, ...]) -> int:
    """The bytes of a WAL segment that these hold."""
    return pieces[-1].end if pieces else 0


def _require_reference(catalog: Catalog, reference: str) -> None:
    fault = catalog.fault(catalog.find(reference))
    if fault:
        raise FailedPrecondition(
            f"Backup {reference} cannot be built on: {fault}. Name another, or leave --reference out"
        )


def _choose_parent(
    catalog: Catalog, line: Line, manifest: Manifest, options: CreateOptions, created_us: int
) -> tuple[CatalogEntry | None, str]:
    """The backup an incremental one builds on: the one asked for, or the newest that is on the same line or holds a
    file of the database; or why there is none."""
    if options.reference is not None:
        parent = catalog.find(options.reference)
    else:
        good = catalog.restorable()
        fitting = [e for e in good if e.record.history == line.history or _shares_a_file(e.record, manifest)]
        if not fitting and line.new_because:
            return None, line.new_because
        if not fitting:
            newest = next(entry for entry in catalog.entries if entry.record.history == line.history)
            return None, f"backup {newest.id} cannot be built on: {catalog.fault(newest)}"
        parent = fitting[0]
    return _unless_too_old(catalog, parent, options.full_after_days, created_us)


def _shares_a_file(record: Record, manifest: Manifest) -> bool:
    return any(chain.stored_in(record, file) for file in manifest.files)


def _unless_too_old(
    catalog: Catalog, parent: CatalogEntry, days: float | None, created_us: int
) -> tuple[CatalogEntry | None, str]:
    if days is None:
        return parent, ""
    oldest = min((entry.record for entry in catalog.chain(parent)), key=lambda record: record.created_us)
    if created_us - oldest.created_us > days * _DAY_US:
        return None, f"backup {oldest.id}, on which the new backup would depend, is older than {days:g} days"
    if oldest.created_us > created_us + _DAY_US:
        return None, (
            f"backup {oldest.id}, on which the new backup would depend, is dated in the future: its age is unknown"
        )
    return parent, ""
