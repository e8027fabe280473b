"""Lines of positions: on which line a database is, what earlier backups hold of it, and which log leads to a backup.

A line is the way positions went: within one, a position means one state. MANIFEST names it (`history`), and a restore
begins a new one. A database that continued from a state older than that of an earlier backup (a disk rolled back to
an image, a power cut that took writes that were not acknowledged) does not know it; the backups do, because the frame
at which the earlier one ends is not in the log. Nothing is matched by its name: names and positions repeat.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from pykyro.backup.archive.record import LogPiece, LogSegment, Record, StoredFile
from pykyro.backup.history.catalog import Catalog
from pykyro.backup.history.order import oldest_first
from pykyro.backup.source.source import BackupSource, capture, require_manifest
from pykyro.backup.source.source_log import SourceLog, SourceSegment
from pykyro.model.types import LSN
from pykyro.storage.files.checksum import digest
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.manifest import Branch, FileEntry, Manifest

_CANDIDATES_MAX: Final = 6


@dataclass(frozen=True, slots=True)
class Line:
    """The line of positions a database is on. `continues` is the backup whose log it carries on; `new_because` says
    why no earlier backup is on it, "" when there is one."""

    history: str
    continues: Record | None
    branched_from: Branch | None
    new_because: str
    diverged: bool = False
    """Whether it left a line that a backup has seen further on."""


def capture_line(filesystem: FileSystem, directory: Path, catalog: Catalog) -> tuple[BackupSource, Line]:
    """The database as it is now, with its log from the end of the newest backup on its line on.

    Raises the errors of `capture`.
    """
    manifest = require_manifest(filesystem, directory)
    siblings = _of_same_database(catalog, manifest)
    if not siblings:
        source = capture(filesystem, directory, manifest.sealed_lsn)
        return source, Line(manifest.history, None, manifest.branched_from, _first_of_database(manifest))
    source, earlier = _capture_from(filesystem, directory, manifest, siblings)
    diverged = _diverged(catalog, source.log, siblings, earlier)
    if diverged is None:
        known = earlier or oldest_first(siblings)[-1]
        return source, Line(known.history, earlier, known.branched_from, "")
    left = earlier.position.lsn if earlier else source.manifest.sealed_lsn
    reason = (
        f"the database continued from a state older than backup {diverged.id}, which ends at position "
        f"{diverged.position.lsn} of another line: the disk was rolled back, or it lost writes that were not yet "
        f"synced"
    )
    return source, Line(
        uuid4().hex, earlier, Branch(history=diverged.history, lsn=left), reason, diverged=True
    )


def continues(log: SourceLog, earlier: Record) -> bool:
    """Whether the log runs through the very frame at which the earlier backup ends.

    The same number is not enough: a power cut can take frames that a backup had seen and that nobody was promised,
    and then their numbers are given out again.
    """
    position = earlier.position
    mark = log.marks.get(position.lsn)
    if mark is not None and position.mark:
        return mark == position.mark
    if any(s.entry.base_lsn == position.lsn + 1 and s.previous == position.checksum for s in log.segments):
        return True
    return (log.position.lsn, log.position.checksum) == (position.lsn, position.checksum)


def chain_of(catalog: Catalog, record: Record) -> Iterator[Record]:
    """The backup, the one whose log it continues, and so on, as far as they are there."""
    seen: set[str] = set()
    at: Record | None = record
    while at is not None and at.id not in seen:
        seen.add(at.id)
        yield at
        at = catalog.record(at.continues)


def stored_in(record: Record, entry: FileEntry) -> StoredFile | None:
    """The same file as an earlier backup has it, or None."""
    wanted = (entry.name, entry.size_bytes, entry.digest)
    for file in record.files:
        if (file.name, file.size_bytes, file.manifest_digest) == wanted:
            return file
    return None


def pieces_in(record: Record, segment: SourceSegment) -> tuple[LogPiece, ...]:
    """The beginning of a WAL segment as far as an earlier backup holds the same bytes; () when it has none of it."""
    same: list[LogPiece] = []
    for known in record.log:
        if known.name != segment.entry.name:
            continue
        for piece in known.pieces:
            content = segment.content[piece.start : piece.end]
            if len(content) < piece.end - piece.start or digest(content) != piece.digest:
                break
            same.append(piece)
    return tuple(same)


def log_segment(segment: SourceSegment, pieces: tuple[LogPiece, ...]) -> LogSegment:
    """The record's entry for a WAL segment."""
    return LogSegment(
        name=segment.entry.name,
        base_lsn=segment.entry.base_lsn,
        last_lsn=segment.last_lsn,
        end_offset=segment.end_offset,
        created_us=segment.created_us,
        first_time_us=segment.first_time_us,
        last_time_us=segment.last_time_us,
        clock=segment.clock,
        dated=segment.dated,
        pieces=pieces,
    )


def _of_same_database(catalog: Catalog, manifest: Manifest) -> list[Record]:
    """Earlier backups of the database, the one furthest ahead first, of equals the one made last."""
    records = [e.record for e in catalog.entries if e.record.database == manifest.history]
    return sorted(records, key=lambda record: record.position.lsn, reverse=True)


def _capture_from(
    filesystem: FileSystem, directory: Path, manifest: Manifest, siblings: list[Record]
) -> tuple[BackupSource, Record | None]:
    """The database with its log from the end of the first of these backups on that it continues, if there is one."""
    positions = {record.position.lsn for record in siblings}
    end: int | None = None
    tries = 0
    for earlier in siblings:
        lsn = earlier.position.lsn
        if end is not None and lsn > end:
            continue
        if tries == _CANDIDATES_MAX:
            break
        tries += 1
        source = capture(filesystem, directory, lsn, positions)
        if continues(source.log, earlier):
            return source, earlier
        end = source.log.position.lsn
    return capture(filesystem, directory, manifest.sealed_lsn, positions), None


def _diverged(
    catalog: Catalog, log: SourceLog, siblings: list[Record], earlier: Record | None
) -> Record | None:
    """The newest backup that holds frames missing from this log, and that was made after the one that is
    continued."""
    line = {record.id for record in chain_of(catalog, earlier)} if earlier else set()
    for record in reversed(oldest_first(siblings)):
        if earlier is not None and record.id == earlier.id:
            return None
        lsn = record.position.lsn
        # A frame that the log no longer holds says nothing.
        told = lsn in log.marks or lsn > log.position.lsn
        if told and record.id not in line and not continues(log, record):
            return record
    return None


def _first_of_database(manifest: Manifest) -> str:
    if manifest.branched_from is None:
        return "none of the earlier backups is of this database"
    return (
        f"the database began a new history at position {manifest.branched_from.lsn} of "
        f"{manifest.branched_from.history}: it was restored, or started from its last checkpoint"
    )


def tips(catalog: Catalog) -> list[Record]:
    """The backups that no other continues, the one made last first: each ends a line."""
    continued = {entry.record.continues for entry in catalog.entries}
    return [entry.record for entry in catalog.entries if entry.id not in continued]


def tip_of(catalog: Catalog, record: Record) -> Record:
    """The backup made last of those whose line leads through this one."""
    for tip in tips(catalog):
        if any(earlier.id == record.id for earlier in chain_of(catalog, tip)):
            return tip
    return record


def log_of(catalog: Catalog, latest: Record) -> list[LogSegment]:
    """The log that ends at a backup's position, as far back as it is there without a gap."""
    present = {entry.id for entry in catalog.entries}
    log: list[LogSegment] = []
    next_lsn = latest.position.lsn + 1
    for record in chain_of(catalog, latest):
        for segment in reversed(record.log):
            if segment.base_lsn >= next_lsn:
                continue
            whole = all(piece.archive in present for piece in segment.pieces)
            if segment.last_lsn + 1 != next_lsn or not whole:
                return log
            log.insert(0, segment)
            next_lsn = segment.base_lsn
    return log


def share_position(catalog: Catalog, one: Record, other: Record, lsn: LSN) -> bool:
    """Whether a position means the same state on the lines of these two backups."""
    first, second = (list(chain_of(catalog, tip)) for tip in (one, other))
    ids = {record.id for record in first}
    if any(record.id in ids and record.position.lsn >= lsn for record in second):
        return True
    return _branches_behind(first, second, lsn) or _branches_behind(second, first, lsn)


def _branches_behind(line: list[Record], left: list[Record], lsn: LSN) -> bool:
    """Whether `line` began at or behind `lsn` on the line `left`."""
    histories = {record.history for record in left}
    branches = [record.branched_from for record in line if record.branched_from is not None]
    return any(branch.history in histories and lsn <= branch.lsn for branch in branches)
