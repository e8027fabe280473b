"""How a new backup relates to the earlier ones: which it builds on, and from where its log continues theirs."""

from __future__ import annotations

from kyrodb.backup.catalog import Catalog, Entry
from kyrodb.backup.record import LogPiece, LogSegment, Record, StoredFile
from kyrodb.backup.source_log import SourceLog, SourceSegment
from kyrodb.errors import FailedPrecondition
from kyrodb.storage.manifest import FileEntry, Manifest


def choose_parent(catalog: Catalog, manifest: Manifest, reference: str | None) -> Entry:
    """The backup an incremental one builds on: the one asked for, or the newest that fits.

    One fits that can be restored itself and is of the same history of the database, or holds a file of it.
    Raises InvalidArgument when the one asked for does not exist, FailedPrecondition when none fits.
    """
    if reference is not None:
        entry = catalog.find(reference)
        missing = catalog.missing(entry)
        if missing:
            raise FailedPrecondition(f"Backup {reference} cannot be built on: it needs {', '.join(missing)}")
        return entry
    for entry in catalog.restorable():
        if entry.record.history == manifest.history or _shares_a_file(entry.record, manifest):
            return entry
    raise FailedPrecondition(
        "Reference backup ID required: no backup of this database is there; make a full one"
    )


def of_same_history(catalog: Catalog, manifest: Manifest) -> list[Record]:
    """Earlier backups whose log this one may continue, the one furthest ahead first."""
    records = [entry.record for entry in catalog.entries if entry.record.history == manifest.history]
    return sorted(records, key=lambda record: (record.position.lsn, record.created_us), reverse=True)


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


def stored_in(record: Record, entry: FileEntry) -> StoredFile | None:
    """The same file as an earlier backup has it, or None."""
    wanted = (entry.name, entry.size_bytes, entry.digest)
    for file in record.files:
        if (file.name, file.size_bytes, file.manifest_digest) == wanted:
            return file
    return None


def pieces_in(record: Record, segment: SourceSegment) -> tuple[LogPiece, ...]:
    """The beginning of a WAL segment as an earlier backup of the same history has it; () when it has none of it.

    A segment only grows, and no number is used twice in a history, so what the earlier one has is its beginning,
    unless the segment met a disk error and now ends before what was seen then.
    """
    for known in record.log:
        if known.name == segment.entry.name and known.end_offset <= segment.end_offset:
            return known.pieces
    return ()


def log_segment(segment: SourceSegment, pieces: tuple[LogPiece, ...]) -> LogSegment:
    """What the record states of a WAL segment."""
    return LogSegment(
        name=segment.entry.name,
        base_lsn=segment.entry.base_lsn,
        last_lsn=segment.last_lsn,
        end_offset=segment.end_offset,
        created_us=segment.created_us,
        first_time_us=segment.first_time_us,
        last_time_us=segment.last_time_us,
        pieces=pieces,
    )


def _shares_a_file(record: Record, manifest: Manifest) -> bool:
    return any(stored_in(record, file) for segment in manifest.segments for file in segment.files)
