"""Writing an archive, front to back. Format: archive_format.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from pykyro.backup import filename
from pykyro.backup.archive.format import END, Header, encode_header, padding
from pykyro.backup.archive.record import Record, encode_record
from pykyro.backup.target.target import Target
from pykyro.model.types import BytesLike
from pykyro.storage.files.checksum import Digest

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
        pace: Callable[[int], None],
        expected_bytes: int = 0,
    ) -> None:
        """`expected_bytes` is about how long the archive will be."""
        self._upload = target.create(filename.archive(backup_id), expected_bytes)
        self._time_s = time_s
        self._pace = pace
        self._digest = Digest()
        self._small = bytearray()
        self.size_bytes = 0

    def add(self, name: str, size_bytes: int, pieces: Iterable[BytesLike]) -> str:
        """Append a member of exactly that size; the digest of its content. Raises OSError, ValueError."""
        content = Digest()
        self._write(encode_header(Header(name, size_bytes, self._time_s)))
        start = self.size_bytes
        for piece in pieces:
            self._pace(len(piece))
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
