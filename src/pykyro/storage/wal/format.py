"""The write-ahead log on disk. All integers little endian.

    segment  = header { frame }
    header   = "KYROWAL1" format:u32 previous:u32 base_lsn:u64 created_us:u64 salt:16 bytes
               epoch:12 bytes checksum:u32                                                      64 bytes
    frame    = whitened( length:u32 lsn:u64 time_us:u64 previous:u32 body_checksum:u32 header_checksum:u32
               body:length bytes  zero padding to a multiple of 32 )                            32 + body
    body     = kind:u8 [ behind_us:u64 ] content
               kinds: OPERATION (records.py), SEAL (operations:u64), PROBE (ignored)

* `checksum` is CRC-32 (IEEE) over everything before it in the same header. `header_checksum` covers length,
  lsn, time and both other checksums, so a flipped length is never believed. The checksums of a frame start from
  a seed made of the segment's salt, so that no document a client sends can hold the image of a valid frame.
* `previous` is the body checksum of the frame before (in a segment header: of the last frame of the segment
  before), so a frame that vanished from the middle is noticed even when its neighbours are whole.
* lsn grows by one from frame to frame and from segment to segment. time_us never runs backwards.
* epoch is drawn at random by each opening of the database. Two openings that go on from the same state (a disk
  that was rolled back to an earlier image) write different ones, so that their frames are told apart although
  positions and file names repeat. It is zero in segments of earlier versions.
* Bit 0x40 of the kind, BEHIND, says that the clock was behind time_us, and behind_us by how much: it was set back,
  or was ahead before. So a moment of a wrong clock hides no instant that comes after it.
* Bit 0x80 of the kind, SYNCED, says that every frame before this one was on disk when this one was written.
  So a hole in front of a whole frame that carries it is damage, never the trace of a crash.
* SEAL ends a segment at rotation and at a clean stop and says how many operations stand in it. PROBE is what
  the log writes into a new segment after a disk error, to see whether it holds. Both have an lsn of their own.
* Whitening: every byte after the segment header is XORed with a key stream of 4096 bytes made from the
  segment's salt, addressed by file offset. Data that was never written reads as zeros after a crash; a
  whitened sector is never all zeros, whatever a vector holds, so the two cannot be mistaken for each other.
* Aligned to 32, a frame header never crosses a 512-byte sector: it is there whole or not at all.

What may stand after the last whole frame of the *last* segment, when the machine died before an fsync:
nothing; a frame cut short by the end of the file; sectors of zeros where bytes never arrived. Everything else
(a whole frame whose checksum is wrong) is damage, and so is any of these anywhere else. See wal_reader.py.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.model.types import LSN, BytesLike

FORMAT: Final = 1
MAGIC: Final = b"KYROWAL1"
SEGMENT_HEADER: Final = struct.Struct("<8sIIQQ16s12sI")
FRAME_HEADER: Final = struct.Struct("<IQQIII")
SEAL_CONTENT: Final = struct.Struct("<Q")
BEHIND_US: Final = struct.Struct("<Q")
ALIGNMENT: Final = 32
SECTOR: Final = 512
KEY_STREAM: Final = 4096
EPOCH_BYTES: Final = 12

OPERATION: Final = 1
SEAL: Final = 2
PROBE: Final = 3
SYNCED: Final = 0x80
BEHIND: Final = 0x40

assert SEGMENT_HEADER.size == 64
assert FRAME_HEADER.size == ALIGNMENT
assert max(OPERATION, SEAL, PROBE) < BEHIND < SYNCED
assert SECTOR % ALIGNMENT == 0
assert SEGMENT_HEADER.size % ALIGNMENT == 0
assert KEY_STREAM % SECTOR == 0


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """First bytes of a WAL segment. `salt` is 16 random bytes, `epoch` 12 of the opening that writes it."""

    base_lsn: LSN
    previous: int
    created_us: int
    salt: bytes
    epoch: bytes = bytes(EPOCH_BYTES)

    @property
    def seed(self) -> int:
        """What the checksums of this segment's frames start from."""
        return zlib.crc32(self.salt)

    def encode(self) -> bytes:
        head = SEGMENT_HEADER.pack(
            MAGIC, FORMAT, self.previous, self.base_lsn, self.created_us, self.salt, self.epoch, 0
        )
        return head[:-4] + struct.pack("<I", zlib.crc32(head[:-4]))

    @classmethod
    def decode(cls, data: bytes) -> SegmentHeader:
        """Raises ValueError saying what is wrong."""
        if len(data) < SEGMENT_HEADER.size:
            raise ValueError(f"segment header is {len(data)} bytes, expected {SEGMENT_HEADER.size}")
        head = data[: SEGMENT_HEADER.size]
        magic, version, previous, base_lsn, created_us, salt, epoch, checksum = SEGMENT_HEADER.unpack(head)
        if zlib.crc32(head[:-4]) != checksum:
            raise ValueError("segment header checksum does not match")
        if magic != MAGIC:
            raise ValueError(f"not a WAL segment: starts with {magic!r}")
        if version != FORMAT:
            raise ValueError(f"WAL format {version}, this program reads {FORMAT}")
        return cls(base_lsn, previous, created_us, salt, epoch)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as read: `offset` is where its header starts, `checksum` its body checksum.

    `time_us` never runs backwards from frame to frame; the clock was `behind_us` behind it.
    """

    lsn: LSN
    time_us: int
    kind: int
    synced: bool
    content: bytes
    offset: int
    checksum: int
    behind_us: int = 0

    @property
    def wall_us(self) -> int:
        """What the clock showed."""
        return self.time_us - self.behind_us

    @property
    def end_offset(self) -> int:
        """Where the next frame starts."""
        length = 1 + len(self.content) + (BEHIND_US.size if self.behind_us else 0)
        return self.offset + FRAME_HEADER.size + length + -length % ALIGNMENT


class Whitening:
    """XOR with a key stream addressed by file offset; doing it twice gives the bytes back."""

    PIECE: Final = 64 * KEY_STREAM
    """Bytes that `stream` covers from any phase on."""

    def __init__(self, salt: bytes) -> None:
        stream = np.frombuffer(hashlib.shake_256(salt).digest(KEY_STREAM), dtype=np.uint8)
        self.stream: npt.NDArray[np.uint8] = np.tile(stream, self.PIECE // KEY_STREAM + 1)
        """The key stream, repeated."""

    def apply(self, data: BytesLike, offset: int) -> npt.NDArray[np.uint8]:
        """`data`, which starts at file offset `offset`, whitened or made readable again."""
        source = np.frombuffer(data, dtype=np.uint8)
        result = np.empty_like(source)
        for start in range(0, len(source), self.PIECE):
            piece = source[start : start + self.PIECE]
            phase = (offset + start) % KEY_STREAM
            np.bitwise_xor(
                piece, self.stream[phase : phase + len(piece)], out=result[start : start + len(piece)]
            )
        return result
