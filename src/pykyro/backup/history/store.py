"""The archives of a target, each opened once, and the files that are assembled from several of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pykyro.backup.archive.reader import Archive, open_archive
from pykyro.backup.archive.record import LogSegment, Record, StoredFile
from pykyro.backup.target.target import Target
from pykyro.model.errors import DataDamaged
from pykyro.model.types import BytesLike
from pykyro.storage import filename as data_filename
from pykyro.storage.manifest import Manifest, decode_manifest
from pykyro.storage.wal.reader import SegmentContents, read_segment


@dataclass(frozen=True, slots=True)
class AssembledSegment:
    """A whole WAL segment: its bytes and their decoded content."""

    data: bytes
    contents: SegmentContents


class Store:
    """Reads files and log segments wherever they are. Raises DataDamaged, FileNotFoundError, OSError."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._archives: dict[str, Archive] = {}

    def archive(self, backup_id: str) -> Archive:
        if backup_id not in self._archives:
            self._archives[backup_id] = open_archive(self._target, backup_id)
        return self._archives[backup_id]

    def file(self, file: StoredFile) -> Iterator[BytesLike]:
        """The content of a file, proved at its end."""
        archive = self.archive(file.archive)
        self._require(archive, file.name, file.size_bytes, file.digest)
        return archive.content(file.name)

    def log(self, segment: LogSegment) -> Iterator[BytesLike]:
        """The content of a WAL segment, proved at the end of each piece."""
        for archive, member in self.require_log(segment):
            yield from archive.content(member)

    def require_log(self, segment: LogSegment) -> list[tuple[Archive, str]]:
        """The members that make up a WAL segment, each the very one that was meant, not yet read."""
        found = []
        for piece in segment.pieces:
            archive, member = self.archive(piece.archive), piece.member(segment.name)
            self._require(archive, member, piece.end - piece.start, piece.digest)
            found.append((archive, member))
        return found

    def assemble(self, segment: LogSegment) -> AssembledSegment:
        """A WAL segment in memory, every frame proved."""
        data = b"".join(self.log(segment))
        path = Path(self._target.location) / segment.name
        try:
            contents = read_segment(data, path, end_offset=segment.end_offset)
        except DataDamaged as error:
            archives = ", ".join(dict.fromkeys(piece.archive for piece in segment.pieces))
            raise DataDamaged(
                f"{error.reason}, put together from {archives}",
                path=path,
                offset=error.offset,
                hint="Use another backup, and make a full one now",
            ) from None
        if (contents.header.base_lsn, contents.last_lsn) != (segment.base_lsn, segment.last_lsn):
            raise DataDamaged(
                f"holds positions {contents.header.base_lsn} to {contents.last_lsn}, "
                f"the record says {segment.base_lsn} to {segment.last_lsn}",
                path=path,
            )
        return AssembledSegment(data, contents)

    def require_restorable(self, record: Record) -> None:
        """Prove that the backup can be put together: every archive is one and holds the very files and pieces that
        are meant, and the log, every frame of it, runs without a gap from the segments to the backup's position.

        The content of the files is not read. Raises DataDamaged, FileNotFoundError, OSError.
        """
        for archive_id, member, (size_bytes, digest) in record.parts:
            self._require(self.archive(archive_id), member, size_bytes, digest)
        previous: SegmentContents | None = None
        for segment in record.needed_log:
            contents = self.assemble(segment).contents
            if previous is not None and contents.header.previous != previous.last_checksum:
                raise DataDamaged(
                    f"{segment.name} does not continue position {previous.last_lsn}: it is of another line",
                    path=self._target.location,
                )
            previous = contents

    def manifest(self, record: Record) -> Manifest:
        """The MANIFEST in a backup's own archive."""
        file = next(file for file in record.files if file.name == data_filename.MANIFEST)
        path = Path(self._target.location) / record.id / data_filename.MANIFEST
        return decode_manifest(b"".join(self.file(file)), path)

    def _require(self, archive: Archive, member: str, size_bytes: int, digest: str) -> None:
        if archive.record.members.get(member) != (size_bytes, digest):
            raise DataDamaged(
                f"the archive of backup {archive.record.id} holds a {member} that differs from the one a later "
                f"backup needs",
                path=self._target.location,
            )
