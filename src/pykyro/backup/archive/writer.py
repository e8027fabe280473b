"""Writes an archive from front to back, at a bounded rate; each database file is proved while it is read.

Format: format.py. The rate is bounded by a token bucket (J. Turner, "New Directions in Communications", IEEE
Communications Magazine 24(10), 1986).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pykyro.backup import filename
from pykyro.backup.archive.format import END, Header, encode_header, padding
from pykyro.backup.archive.record import Record, encode_record
from pykyro.backup.target.target import CHUNK_BYTES, Target
from pykyro.model.errors import DataDamaged
from pykyro.model.types import BytesLike
from pykyro.storage.files.checksum import Digest
from pykyro.storage.manifest import FileEntry
from pykyro.storage.segment.section_file import Extent, read_section_file

_SMALL_BYTES: Final = 64 << 10
"""Headers, padding and short sections are gathered up to this before they are handed on."""


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """Length and digest of a whole archive."""

    size_bytes: int
    digest: str


class ArchiveWriter:
    """One archive on its way into a target; it appears there with `finish`."""

    def __init__(
        self,
        target: Target,
        backup_id: str,
        time_s: int,
        throttle: Callable[[int], None],
        expected_bytes: int = 0,
    ) -> None:
        """`expected_bytes` is about how long the archive will be."""
        self._upload = target.create(filename.archive(backup_id), expected_bytes)
        self._time_s = time_s
        self._throttle = throttle
        self._digest = Digest()
        self._small = bytearray()
        self.size_bytes = 0

    def add(self, name: str, size_bytes: int, pieces: Iterable[BytesLike]) -> str:
        """Append a member of exactly that size; the digest of its content. Raises OSError, ValueError."""
        content = Digest()
        self._write(encode_header(Header(name, size_bytes, self._time_s)))
        start = self.size_bytes
        for piece in pieces:
            self._throttle(len(piece))
            content.update(piece)
            self._write(piece)
        if self.size_bytes - start != size_bytes:
            raise ValueError(f"{name}: {self.size_bytes - start} bytes given, {size_bytes} announced")
        self._write(bytes(padding(size_bytes)))
        return content.text()

    def add_bytes(self, name: str, content: BytesLike) -> str:
        """`add` of a small member."""
        return self.add(name, len(content), [content])

    def finish(self, record: Record) -> ArchiveFacts:
        """Append the record and make the archive durable under its name. Raises OSError."""
        self.add_bytes(filename.RECORD, encode_record(record))
        self._write(END)
        self._flush()
        self._upload.finish()
        return ArchiveFacts(self.size_bytes, self._digest.text())

    def abandon(self) -> None:
        self._upload.abandon()

    def _write(self, data: BytesLike) -> None:
        self._digest.update(data)
        self.size_bytes += len(data)
        if len(data) < _SMALL_BYTES:
            self._small += data
        if len(data) >= _SMALL_BYTES or len(self._small) >= _SMALL_BYTES:
            self._flush()
        if len(data) >= _SMALL_BYTES:
            self._upload.write(data)

    def _flush(self) -> None:
        if self._small:
            self._upload.write(self._small)
            self._small = bytearray()


def proved_chunks(path: Path, content: memoryview, entry: FileEntry) -> Iterator[memoryview]:
    """All of `content` in pieces. Raises DataDamaged once something does not match its digest; then the pieces
    given out so far must not be used."""
    at = 0
    for extent in _extents(path, content, entry):
        if extent.start < at:
            raise DataDamaged(f"{extent.name} overlaps the part before it", path=path, offset=extent.start)
        yield from _pieces(content, at, extent.start)
        found = Digest()
        for piece in _pieces(content, extent.start, extent.end):
            found.update(piece)
            yield piece
        if found.text() != extent.digest:
            raise DataDamaged(
                f"{extent.name} does not match its digest",
                path=path,
                offset=extent.start,
                hint="Keep the backups you have, and restore the newest that verifies",
            )
        at = extent.end
    yield from _pieces(content, at, len(content))


def _extents(path: Path, content: memoryview, entry: FileEntry) -> list[Extent]:
    if path.suffix != ".graph":
        return read_section_file(content, path, entry.facts).extents
    if len(content) != entry.size_bytes:
        raise DataDamaged(f"file has {len(content)} bytes, expected {entry.size_bytes}", path=path)
    return [Extent("graph", 0, entry.size_bytes, entry.digest)]


def _pieces(content: memoryview, start: int, end: int) -> Iterator[memoryview]:
    for at in range(start, end, CHUNK_BYTES):
        yield content[at : min(at + CHUNK_BYTES, end)]


_BURST_S: Final = 0.25


class Throttle:
    """Lets bytes through at `bytes_per_s` on average, a quarter of a second's worth at once; None: no bound."""

    def __init__(
        self,
        bytes_per_s: float | None,
        *,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = bytes_per_s
        self._now_s = now_s
        self._sleep = sleep
        self._ready_s = now_s()

    def take(self, size_bytes: int) -> None:
        """Return when so many bytes may go."""
        if self._rate is None:
            return
        now_s = self._now_s()
        self._ready_s = max(self._ready_s, now_s - _BURST_S) + size_bytes / self._rate
        if self._ready_s > now_s:
            self._sleep(self._ready_s - now_s)
