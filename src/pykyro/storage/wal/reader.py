"""Reading a WAL segment: every frame proved whole, or the exact place and kind of what is wrong."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

import numpy as np

from pykyro.model.errors import DataDamaged
from pykyro.model.limits import WAL_FRAME_BODY_BYTES_MAX
from pykyro.model.types import LSN
from pykyro.storage.wal.format import (
    ALIGNMENT,
    BEHIND,
    BEHIND_US,
    FRAME_HEADER,
    OPERATION,
    PROBE,
    SEAL,
    SEAL_CONTENT,
    SECTOR,
    SEGMENT_HEADER,
    SYNCED,
    Frame,
    SegmentHeader,
    Whitening,
)

_RESTORE: Final = (
    "Restore from a backup, or start from the last checkpoint by removing all WAL files "
    "(recent writes are lost)"
)
_WINDOW_BYTES: Final = 1 << 20
"""What is made readable at once, a multiple of ALIGNMENT."""
_SEAL_BODY_BYTES: Final = ALIGNMENT
"""With padding; with and without BEHIND."""

assert 1 + BEHIND_US.size + SEAL_CONTENT.size <= _SEAL_BODY_BYTES


class End(Enum):
    """How a segment ends."""

    SEALED = "sealed"
    OPEN = "open"
    TORN = "torn"


@dataclass(frozen=True, slots=True)
class SegmentContents:
    """A whole segment. `frames` holds every frame, or none where they were handed out one by one; `end_offset` is
    where the next frame would start.

    `last_lsn` and `last_checksum` are of the last whole frame, SEAL included, or those before the segment when it
    has none. `torn_bytes` is the length of what a crash left behind `end_offset`.
    """

    header: SegmentHeader
    frames: list[Frame]
    end: End
    end_offset: int
    last_lsn: LSN
    last_checksum: int
    last_time_us: int
    torn_bytes: int

    @property
    def operations(self) -> Iterator[Frame]:
        """The frames that hold records."""
        return (frame for frame in self.frames if frame.kind == OPERATION)


def read_segment(data: bytes | memoryview, path: Path, *, end_offset: int | None = None) -> SegmentContents:
    """Read a segment from its bytes. `end_offset`, if known, is where it ends; bytes after it do not count.

    Raises DataDamaged for anything but whole frames up to an end that a crash can have left.
    """
    frames: list[Frame] = []
    return replace(scan_segment(data, path, frames.append, end_offset=end_offset), frames=frames)


def scan_segment(
    data: bytes | memoryview, path: Path, seen: Callable[[Frame], None], *, end_offset: int | None = None
) -> SegmentContents:
    """`read_segment` in little memory: `seen` is given every frame, and the contents that are returned have none.

    `data` may be mapped. Raises DataDamaged as read_segment does, after frames that are whole were seen.
    """
    scan = SegmentScan(data, path, end_offset)
    for frame in scan.frames():
        seen(frame)
    return scan.contents()


def segment_frames(data: bytes | memoryview, path: Path, *, end_offset: int | None = None) -> Iterator[Frame]:
    """The frames of a segment, one by one. Raises DataDamaged as read_segment does, but not before the frame that is
    damaged is reached."""
    return SegmentScan(data, path, end_offset).frames()


def _header_and_frames(
    data: bytes | memoryview, path: Path, end_offset: int | None
) -> tuple[SegmentHeader, memoryview]:
    """The header, and all bytes up to the end. Raises DataDamaged."""
    try:
        header = SegmentHeader.decode(bytes(data[: SEGMENT_HEADER.size]))
    except ValueError as error:
        raise DataDamaged(str(error), path=path, offset=0, hint=_RESTORE) from None
    raw = memoryview(data)
    if end_offset is not None:
        if len(raw) < end_offset:
            raise DataDamaged(
                f"segment has {len(raw)} bytes, the manifest knows {end_offset}",
                path=path,
                offset=len(raw),
                hint=_RESTORE,
            )
        raw = raw[:end_offset]
    return header, raw


def read_seal(data: memoryview, end_offset: int) -> Frame | None:
    """The SEAL frame that ends at `end_offset`, without reading what is before it; None when there is no whole one.

    Raises DataDamaged never: a segment that does not end so is read from its beginning to see what it holds.
    """
    start = end_offset - FRAME_HEADER.size - _SEAL_BODY_BYTES
    if start < SEGMENT_HEADER.size or end_offset > len(data):
        return None
    try:
        header = SegmentHeader.decode(bytes(data[: SEGMENT_HEADER.size]))
    except ValueError:
        return None
    clear = Whitening(header.salt).apply(data[start:end_offset], start).tobytes()
    head = clear[: FRAME_HEADER.size]
    length, lsn, time_us, _, checksum, header_checksum = FRAME_HEADER.unpack(head)
    if zlib.crc32(head[:-4], header.seed) != header_checksum or not 1 <= length <= _SEAL_BODY_BYTES:
        return None
    body = clear[FRAME_HEADER.size : FRAME_HEADER.size + length]
    if zlib.crc32(body, header.seed) != checksum:
        return None
    frame = _frame(lsn, time_us, body, start, checksum)
    sealed = frame is not None and frame.kind == SEAL and len(frame.content) == SEAL_CONTENT.size
    return frame if sealed else None


def _frame(lsn: LSN, time_us: int, body: bytes, offset: int, checksum: int) -> Frame | None:
    """A frame whose checksums match; None when its body is not of the form that its first byte announces."""
    kind, synced = body[0] & ~(SYNCED | BEHIND), bool(body[0] & SYNCED)
    if not body[0] & BEHIND:
        return Frame(lsn, time_us, kind, synced, body[1:], offset, checksum)
    start = 1 + BEHIND_US.size
    if len(body) < start:
        return None
    (behind_us,) = BEHIND_US.unpack_from(body, 1)
    if not 0 < behind_us <= time_us:
        return None
    return Frame(lsn, time_us, kind, synced, body[start:], offset, checksum, behind_us)


class _Clear:
    """The bytes of a segment made readable, so many at a time."""

    def __init__(self, raw: memoryview, salt: bytes) -> None:
        self._raw = raw
        self._whitening = Whitening(salt)
        self._start = 0
        self._window = b""

    def extend(self, raw: memoryview) -> None:
        """The segment has grown; nothing that was read before counts."""
        self._raw, self._window = raw, b""

    def between(self, start: int, end: int) -> bytes:
        """The bytes from file offset `start` to `end`, neither in the segment's header."""
        at = start - self._start
        if at < 0 or end > self._start + len(self._window):
            at, self._start = 0, start
            piece = self._raw[start : max(end, start + _WINDOW_BYTES)]
            self._window = self._whitening.apply(piece, start).tobytes()
        return self._window[at : at + end - start]


class SegmentScan:
    """One pass over a segment, frame by frame, until its end."""

    def __init__(self, data: bytes | memoryview, path: Path, end_offset: int | None) -> None:
        """Raises DataDamaged for a header that is not whole, or a segment that is too short."""
        self.header, raw = _header_and_frames(data, path, end_offset)
        header = self.header
        self.path = path
        self.end_offset = end_offset
        self.seed = header.seed
        self.raw = np.frombuffer(raw, dtype=np.uint8)
        self.size = len(raw)
        self.clear = _Clear(raw, header.salt)
        self.offset = SEGMENT_HEADER.size
        self.lsn = header.base_lsn - 1
        self.previous = header.previous
        self.time_us = header.created_us
        self.operations = 0
        self.end = End.OPEN

    def extend(self, data: bytes | memoryview, end_offset: int | None) -> None:
        """Go on with the same segment, of which there is more now: `frames` continues where it ended."""
        _, raw = _header_and_frames(data, self.path, end_offset)
        self.end_offset = end_offset
        self.raw = np.frombuffer(raw, dtype=np.uint8)
        self.size = len(raw)
        self.clear.extend(raw)
        if self.end is End.TORN:
            self.end = End.OPEN

    def contents(self) -> SegmentContents:
        """What was found, once all frames were gone through."""
        return SegmentContents(
            header=self.header,
            frames=[],
            end=self.end,
            end_offset=self.offset,
            last_lsn=self.lsn,
            last_checksum=self.previous,
            last_time_us=self.time_us,
            torn_bytes=self.size - self.offset,
        )

    def frames(self) -> Iterator[Frame]:
        yield from self._frames()
        if self.end_offset is not None and self.offset != self.end_offset:
            raise DataDamaged(
                "closed segment does not end with a whole frame",
                path=self.path,
                offset=self.offset,
                hint=_RESTORE,
            )

    def _frames(self) -> Iterator[Frame]:
        while self.offset < self.size:
            if self.end is End.SEALED:
                raise self._damage("bytes after the end of a sealed segment")
            frame = self._next_frame()
            if frame is None:
                self._refuse_hole_before_durable_frames()
                self.end = End.TORN
                return
            self._accept(frame)
            yield frame

    def _next_frame(self) -> Frame | None:
        """The frame at the current offset, or None when a crash can have left what is there."""
        offset, size = self.offset, self.size
        if size - offset < FRAME_HEADER.size:
            return None
        head = self.clear.between(offset, offset + FRAME_HEADER.size)
        length, lsn, time_us, previous, checksum, header_checksum = FRAME_HEADER.unpack(head)
        if zlib.crc32(head[:-4], self.seed) != header_checksum:
            if self._header_never_written(offset):
                return None
            raise self._damage("frame header checksum does not match")
        self._check_header(length, lsn, time_us, previous)
        body_start = offset + FRAME_HEADER.size
        body_end = body_start + length
        frame_end = body_end + -length % ALIGNMENT
        if frame_end > size:
            return None
        body = self.clear.between(body_start, body_end)
        if zlib.crc32(body, self.seed) != checksum or any(self.clear.between(body_end, frame_end)):
            if self._sector_never_written(body_start, frame_end):
                return None
            raise self._damage("frame body checksum does not match")
        frame = _frame(lsn, time_us, body, offset, checksum)
        if frame is None:
            raise self._damage("frame body does not have the form it announces")
        return frame

    def _check_header(self, length: int, lsn: LSN, time_us: int, previous: int) -> None:
        if lsn != self.lsn + 1:
            raise self._damage(f"frame has position {lsn}, expected {self.lsn + 1}")
        if previous != self.previous:
            raise self._damage("frame does not follow the frame before it")
        # The writer's bound is on what a frame holds: a clock that was set back makes no frame too long.
        longest = WAL_FRAME_BODY_BYTES_MAX + BEHIND_US.size
        if not 1 <= length <= longest:
            raise self._damage(f"frame length {length} is outside 1..{longest}")
        if time_us < self.time_us:
            raise self._damage("frame is older than the frame before it")

    def _header_never_written(self, offset: int) -> bool:
        """Whether the rest of the disk sector in which the frame would start is all zeros."""
        sector_end = (offset // SECTOR + 1) * SECTOR
        return not self.raw[offset:sector_end].any()

    def _sector_never_written(self, start: int, end: int) -> bool:
        """Whether some disk sector after the one with the frame's header is all zeros up to the frame's end."""
        after_header = (start - 1) // SECTOR * SECTOR + SECTOR
        return any(not self.raw[at : min(at + SECTOR, end)].any() for at in range(after_header, end, SECTOR))

    def _refuse_hole_before_durable_frames(self) -> None:
        """A whole frame further on that was written after everything before it was synced proves damage here."""
        slots_in_all = (self.size - self.offset) // ALIGNMENT
        for first in range(0, slots_in_all, _WINDOW_BYTES // ALIGNMENT):
            start = self.offset + first * ALIGNMENT
            count = min(slots_in_all - first, _WINDOW_BYTES // ALIGNMENT)
            clear = np.frombuffer(self.clear.between(start, start + count * ALIGNMENT), dtype=np.uint8)
            lsns = clear.reshape(-1, ALIGNMENT)[:, 4:12].copy().view("<u8").ravel()
            # The frame at the torn place has the next position itself and may lack no more than its padding.
            plausible = np.flatnonzero((lsns > self.lsn + 1) & (lsns <= self.lsn + slots_in_all))
            for slot in plausible.tolist():
                if self._is_whole_and_synced(start + slot * ALIGNMENT):
                    raise self._damage("bytes are missing in front of frames that were written later")

    def _is_whole_and_synced(self, start: int) -> bool:
        head = self.clear.between(start, start + FRAME_HEADER.size)
        length, _, _, _, checksum, header_checksum = FRAME_HEADER.unpack(head)
        if not length or zlib.crc32(head[:-4], self.seed) != header_checksum:
            return False
        body_start = start + FRAME_HEADER.size
        body = self.clear.between(body_start, min(body_start + length, self.size))
        return zlib.crc32(body, self.seed) == checksum and bool(body[0] & SYNCED)

    def _accept(self, frame: Frame) -> None:
        if frame.kind == SEAL:
            if (
                len(frame.content) != SEAL_CONTENT.size
                or SEAL_CONTENT.unpack(frame.content)[0] != self.operations
            ):
                raise self._damage(f"seal does not count the {self.operations} operations before it")
            self.end = End.SEALED
        elif frame.kind == OPERATION:
            self.operations += 1
        elif frame.kind != PROBE:
            raise self._damage(f"unknown kind of frame {frame.kind}")
        self.offset = frame.end_offset
        self.lsn, self.previous, self.time_us = frame.lsn, frame.checksum, frame.time_us

    def _damage(self, reason: str) -> DataDamaged:
        return DataDamaged(reason, path=self.path, offset=self.offset, hint=_RESTORE)
