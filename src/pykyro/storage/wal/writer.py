"""Everything that writes the log: a record, a frame, a segment from front to back. Format: format.py, records.py."""

from __future__ import annotations

import contextlib
import errno
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pykyro.model.limits import WAL_FRAME_BODY_BYTES_MAX
from pykyro.model.types import DOC_ID_BITS, LSN, OWNER_SHIFT
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem, write_all
from pykyro.storage.files.same_file import require_same_file
from pykyro.storage.wal.format import (
    ALIGNMENT,
    BEHIND,
    BEHIND_US,
    KEY_STREAM,
    OPERATION,
    SEAL,
    SEAL_CONTENT,
    SECTOR,
    SEGMENT_HEADER,
    SYNCED,
    SegmentHeader,
    Whitening,
)
from pykyro.storage.wal.records import (
    COUNT,
    DELETE,
    HEAD,
    KEY,
    MERGE,
    METADATA,
    OWNED,
    OWNED_HEAD,
    PUT,
    DeleteRecord,
    KeyRecord,
    MergeRecord,
    PutRecord,
    Record,
)

_PIECE_BYTES: Final = 1 << 30
"""Linux takes at most 2 GiB in one write."""
_FRAME_HEAD: Final = struct.Struct("<IQQII")
_CHECKSUM: Final = struct.Struct("<I")


def encode_records(records: Iterable[Record], *, tenanted: bool) -> bytes:
    """The content of one operation frame, of a database that has tenants or one that has none."""
    parts: list[bytes] = [b""]
    count = 0
    for record in records:
        count += 1
        vector = wire = b""
        if isinstance(record, DeleteRecord):
            kind = DELETE
        elif isinstance(record, PutRecord):
            kind, vector, wire = PUT, np.asarray(record.vector, dtype="<f4").tobytes(), record.wire
        elif isinstance(record, MergeRecord):
            kind, wire = MERGE, record.wire
        else:
            kind, wire = METADATA, record.wire
        key = record.key
        if tenanted or kind == MERGE:
            owner, doc_id = key >> OWNER_SHIFT, key & DOC_ID_BITS
            owned_kind = kind if kind == MERGE else kind + OWNED
            head = OWNED_HEAD.pack(owned_kind, doc_id, owner, len(vector), len(wire))
        else:
            head = HEAD.pack(kind, key, len(vector), len(wire))
        parts += (head, vector, wire)
    parts[0] = COUNT.pack(count)
    return b"".join(parts)


def with_key(content: bytes, record: KeyRecord) -> bytes:
    """The content of a frame, b"" being none, with an idempotency key behind its records."""
    count = COUNT.unpack_from(content)[0] if content else 0
    head = OWNED_HEAD.pack(KEY, record.existed, record.owner, len(record.digest), len(record.key))
    return b"".join((COUNT.pack(count + 1), content[COUNT.size :], head, record.digest, record.key))


def encode_frame(
    seed: int,
    lsn: LSN,
    time_us: int,
    previous: int,
    kind: int,
    content: bytes,
    *,
    synced: bool,
    behind_us: int = 0,
) -> tuple[bytes, int]:
    """A frame before whitening, and its body checksum, which the next frame names as `previous`.

    `seed` is that of the segment: SegmentHeader.seed. Raises ValueError for a content that no reader would take.
    """
    if len(content) >= WAL_FRAME_BODY_BYTES_MAX:
        raise ValueError(f"frame content of {len(content)} bytes, must be below {WAL_FRAME_BODY_BYTES_MAX}")
    first = bytes((kind | SYNCED if synced else kind,))
    if behind_us:
        first = bytes((first[0] | BEHIND,)) + BEHIND_US.pack(behind_us)
    checksum = zlib.crc32(content, zlib.crc32(first, seed))
    length = len(first) + len(content)
    head = _FRAME_HEAD.pack(length, lsn, time_us, previous, checksum)
    padding = bytes(-length % ALIGNMENT)
    return b"".join((head, _CHECKSUM.pack(zlib.crc32(head, seed)), first, content, padding)), checksum


@dataclass(frozen=True, slots=True)
class WalPosition:
    """A point between two frames: the frame before it, and where the next one starts in its segment."""

    lsn: LSN
    checksum: int
    offset: int
    time_us: int


@dataclass(frozen=True, slots=True)
class PendingFrame:
    """A frame before it has an LSN. `time_us` is what the clock showed."""

    kind: int
    content: bytes
    time_us: int


@dataclass(frozen=True, slots=True)
class EncodedFrames:
    """Frames as they will stand in the segment, and where they end; `operations` of them are operations."""

    data: memoryview
    lsns: list[LSN]
    end: WalPosition
    operations: int


class WalWriter:
    """One open segment. `written` is where its last frame ends, `synced` how much of it is known to be on disk.

    After any OSError the segment must not be written again: what the disk holds beyond `synced` is unknown, and
    a later fsync may report success for pages the kernel has dropped.
    """

    def __init__(self, filesystem: FileSystem, directory: Path, number: int, header: SegmentHeader) -> None:
        """Create the segment, its header synced, its name in the directory durable. Raises OSError."""
        self.name = filename.wal(number)
        self.number = number
        self.base_lsn = header.base_lsn
        self._operations = 0
        self._seed = header.seed
        self._whitening = Whitening(header.salt)
        self._filesystem = filesystem
        self._path = directory / self.name
        self._end = SEGMENT_HEADER.size
        """No byte behind it is ours: where the file ends, or will when the write under way has been done."""
        self._file = filesystem.create(self._path)
        try:
            self._identity = filesystem.identity(self._path)
            write_all(self._file, header.encode())
            self._file.sync(data_only=False)
            filesystem.sync_directory(directory)
        except BaseException:
            self._file.close()
            with contextlib.suppress(OSError):
                filesystem.remove(self._path)
            raise
        self.written = WalPosition(
            header.base_lsn - 1, header.previous, SEGMENT_HEADER.size, header.created_us
        )
        self.synced = self.written

    @property
    def empty(self) -> bool:
        return self.written.lsn < self.base_lsn

    def append(self, frames: Sequence[PendingFrame]) -> list[LSN]:
        """Hand frames to the operating system in one write; their LSNs. Not durable before `sync`."""
        return self.write(self.encode(frames))

    def encode(self, frames: Sequence[PendingFrame]) -> EncodedFrames:
        """The bytes of the next frames, for `write` before anything else is written. Changes nothing."""
        at = self.written
        pieces: list[bytes] = []
        lsns: list[LSN] = []
        lsn, checksum, time_us = at.lsn, at.checksum, at.time_us
        synced, operations = self.synced.lsn == at.lsn, 0
        for frame in frames:
            lsn += 1
            operations += frame.kind == OPERATION
            # A clock that steps back must not make the log run backwards in time.
            time_us = max(time_us, frame.time_us)
            piece, checksum = encode_frame(
                self._seed,
                lsn,
                time_us,
                checksum,
                frame.kind,
                frame.content,
                synced=synced,
                behind_us=time_us - frame.time_us,
            )
            synced = False
            pieces.append(piece)
            lsns.append(lsn)
        data, whitening = b"".join(pieces), self._whitening
        if len(data) <= whitening.PIECE:
            phase = at.offset % KEY_STREAM
            white = np.bitwise_xor(
                np.frombuffer(data, np.uint8), whitening.stream[phase : phase + len(data)]
            ).data
        else:
            white = whitening.apply(data, at.offset).data
        end = WalPosition(lsn, checksum, at.offset + len(data), time_us)
        return EncodedFrames(white, lsns, end, operations)

    def write(self, encoded: EncodedFrames) -> list[LSN]:
        """Hand them to the operating system; their LSNs. Not durable before `sync`.

        Each call of the system ends at a sector's end or a frame's. A shorter one counts as an error: writing on from
        there would let a sector reach the disk with half a frame header, which no reader could tell from damage.
        """
        data, offset = encoded.data, self.written.offset
        self._end += len(data)
        while data:
            piece_end = min(encoded.end.offset, (offset + _PIECE_BYTES) // SECTOR * SECTOR)
            piece, data = data[: piece_end - offset], data[piece_end - offset :]
            if self._file.write(piece) != len(piece):
                raise OSError(errno.ENOSPC, "the disk took only a part of a write")
            offset = piece_end
        self._operations += encoded.operations
        self.written = encoded.end
        return encoded.lsns

    def roll_back(self, position: WalPosition) -> None:
        """Disown what was appended behind `position`, after a failure; the segment ends here for good."""
        self.written = position
        if self.synced.lsn > position.lsn:
            self.synced = position

    def sync(self, *, data_only: bool = True) -> None:
        """Make every frame written before this call durable, in a file that the next start will find."""
        target = self.written
        self._file.sync(data_only=data_only)
        try:
            found, size = self._filesystem.identity_and_size(self._path)
            whole = found == self._identity and target.offset <= size <= self._end
        except (FileNotFoundError, NotADirectoryError):
            whole = False
        if not whole:
            self._require_file(target.offset)
        self.synced = target

    @property
    def has_its_file(self) -> bool:
        """Whether everything that was synced still stands in a file that the next start will find."""
        try:
            self._require_file(self.synced.offset)
        except OSError:
            return False
        return True

    def _require_file(self, size: int) -> None:
        require_same_file(self._filesystem, self._path, self._identity, size, lambda: self._end)

    def seal(self, time_us: int) -> None:
        """Write the SEAL frame and sync: the segment is complete and says so itself."""
        self.append([PendingFrame(SEAL, SEAL_CONTENT.pack(self._operations), time_us)])
        self.sync(data_only=False)

    def close(self) -> None:
        self._file.close()
