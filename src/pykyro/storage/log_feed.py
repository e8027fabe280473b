"""The log of a directory that another process may be writing to: recovery that does not end.

What may be read of a segment:

    closed in the MANIFEST    up to the end that stands there
    open                      up to where POSITION says, when it names this segment; nothing when it names another
    open, without a POSITION  every whole frame, as in recovery: no writer of this version has the directory open

The MANIFEST is replaced as a whole, and files are removed only after it stopped naming them. So a file that is
missing means that there is a newer MANIFEST. When the log was trimmed further than it was read, or does not go on as
it was read (recovery may take back what nobody was told of, and a restore puts another history in its place),
`BrokenOff` tells to begin again with the segments.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pykyro.model.errors import DataDamaged
from pykyro.model.types import LSN
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem
from pykyro.storage.files.watched_file import WatchedFile
from pykyro.storage.manifest import Manifest, WalEntry, decode_manifest
from pykyro.storage.position_file import PositionReader
from pykyro.storage.wal.format import OPERATION, Frame
from pykyro.storage.wal.reader import SegmentScan
from pykyro.storage.wal.records import Record, decode_records

_HINT: Final = "Restore from a backup"


class BrokenOff(Exception):
    """The log cannot be read on from here: begin with the segments of the MANIFEST."""


class LogFeed:
    """Reads the frames of the log in order, as they are accepted. One thread at a time calls it."""

    def __init__(self, filesystem: FileSystem, directory: Path) -> None:
        """Reads the MANIFEST. Raises FileNotFoundError, DataDamaged, DataDirMismatch, OSError."""
        self._filesystem = filesystem
        self._directory = directory
        self._path = directory / filename.MANIFEST
        self._position = PositionReader(filesystem, directory)
        self._watched = WatchedFile(filesystem, directory / filename.MANIFEST)
        self._seen = b""
        """Of POSITION when all frames were read."""
        self._is_reading = True
        """Whether frames may be left that were not handed out."""
        self.manifest: Manifest = decode_manifest(self._watched.content(), self._path)
        self.lsn: LSN = self.manifest.sealed_lsn
        """Of the last frame that was handed out."""
        self._last: tuple[LSN, int] | None = None
        """Position and checksum of the last operation that was handed out."""
        self._entry = ""
        self._scan: SegmentScan | None = None

    @property
    def has_news(self) -> bool:
        """Whether anything may have changed since all frames were read. Takes some microseconds."""
        return self._is_reading or self._watched.is_replaced or self._position.raw() != self._seen

    @property
    def is_outdated(self) -> bool:
        """Whether another MANIFEST stands there than the one that was read."""
        return self._watched.is_replaced

    def _refresh(self) -> None:
        """Read the MANIFEST again. Raises BrokenOff, and as the constructor."""
        before, self.manifest = self.manifest, decode_manifest(self._watched.content(), self._path)
        # Behind it: a writer has its note there before a MANIFEST names its first segment.
        self._position.refresh()
        if before.history != self.manifest.history:
            raise BrokenOff("another history stands in the directory")

    def frames(self) -> Iterator[Frame]:
        """Those accepted behind `lsn`. Raises BrokenOff, DataDamaged, OSError."""
        self._is_reading = True
        while True:
            # In this order, the MANIFEST is at least as new as what was published, and names its segment.
            seen, published = self._position.raw(), self._position.read()
            if self._watched.is_replaced:
                self._refresh()
                continue
            entry = self._next_entry()
            limit = None if entry is None else entry.end_offset
            if entry is not None and entry.last_lsn is None and published is not None:
                limit = published.offset if published.segment == entry.name else 0
            if entry is not None and limit != 0:
                yield from self._of_segment(entry, limit)
            if entry is None or entry.last_lsn is None or self.lsn < entry.last_lsn:
                self._seen, self._is_reading = seen, False
                return

    def records(self, frame: Frame) -> list[Record]:
        """What an operation frame changes. Raises DataDamaged."""
        try:
            return decode_records(frame.content, tenanted=bool(self.manifest.tenants))
        except ValueError as error:
            path = self._directory / self._entry
            raise DataDamaged(str(error), path=path, offset=frame.offset, hint=_HINT) from None

    def _next_entry(self) -> WalEntry | None:
        """The segment in which the next frame stands or will stand."""
        wanted = self.lsn + 1
        for entry in self.manifest.wal:
            if entry.last_lsn is None or entry.last_lsn >= wanted:
                if entry.base_lsn > wanted:
                    raise BrokenOff(f"the log begins at position {entry.base_lsn}, behind {self.lsn}")
                return entry
        if self.manifest.wal and self._ends_before(self.manifest.wal[-1]):
            raise BrokenOff(f"the log ends before position {self.lsn}")
        if not self.manifest.wal and self.lsn != self.manifest.sealed_lsn:
            raise BrokenOff("the log is gone")
        return None

    def _ends_before(self, last: WalEntry) -> bool:
        return last.last_lsn is not None and last.last_lsn < self.lsn > self.manifest.sealed_lsn

    def _of_segment(self, entry: WalEntry, limit: int | None) -> Iterator[Frame]:
        path = self._directory / entry.name
        try:
            data = self._filesystem.map(path)
        except FileNotFoundError:
            raise BrokenOff(f"{entry.name} was removed") from None
        if self._scan is None or self._entry != entry.name:
            scan = SegmentScan(data, path, limit)
            if scan.header.base_lsn != entry.base_lsn:
                raise DataDamaged("segment is not the one that the manifest names", path=path, hint=_HINT)
            self._entry, self._scan = entry.name, scan
            yield from self._passed_over(scan)
            return
        self._scan.extend(data, limit)
        for frame in self._scan.frames():
            self._note(frame)
            yield frame

    def _passed_over(self, scan: SegmentScan) -> Iterator[Frame]:
        """The frames behind `lsn` of a segment that is read from its beginning; those before must be the same as were
        read from another one."""
        reached, first = scan.header.base_lsn - 1, self.lsn
        for frame in scan.frames():
            reached = frame.lsn
            if frame.lsn > first:
                self._note(frame)
                yield frame
            elif self._last is not None and frame.lsn == self._last[0] and _checksum(frame) != self._last[1]:
                raise BrokenOff(f"position {frame.lsn} holds something else now")
        if reached < first:
            raise BrokenOff(f"the log ends at position {reached}, before {first}")

    def _note(self, frame: Frame) -> None:
        self.lsn = frame.lsn
        if frame.kind == OPERATION:
            self._last = frame.lsn, _checksum(frame)


def _checksum(frame: Frame) -> int:
    return zlib.crc32(frame.content)
