"""POSITION: up to where the log may be read while its writer is open, for readers in other processes.

    file  = "KYROPOS1" boot:16 bytes device:u64 inode:u64 segment:u64 offset:u64 lsn:u64 checksum:u32

The writer replaces the content in place before it acknowledges: `segment` is the number in the name of the open
segment of the log, `offset` where its last accepted frame ends, `lsn` the position of that frame. Frames behind it
may be taken back, as after a failed fsync. The checksum is CRC-32 over what is before it, so content that is just
being replaced is told from content that is whole.

Nothing of this outlasts the machine: the file is never synced. It means something only on the boot and in the
directory that it names, so after a power loss, and in a copy of the directory, the frames themselves tell, as in
recovery. The same holds where a program of an earlier version wrote, which knows no such file.
"""

from __future__ import annotations

import struct
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pykyro.model.types import LSN
from pykyro.storage import filename
from pykyro.storage.files.filesystem import FileSystem

MAGIC: Final = b"KYROPOS1"
HEAD: Final = struct.Struct("<8s16sQQ")
"""What stays the same for as long as a writer has the directory open."""
PLACE: Final = struct.Struct("<QQQ")
CHECKSUM: Final = struct.Struct("<I")
SIZE: Final = HEAD.size + PLACE.size + CHECKSUM.size
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_TRIES: Final = 50
_REST_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class PublishedPosition:
    """What POSITION says: frames of log segment `segment` may be read up to `offset`, the last has position `lsn`."""

    segment: str
    offset: int
    lsn: LSN


def head_of(filesystem: FileSystem, directory: Path) -> bytes:
    """What POSITION begins with in this directory on this boot. Raises OSError."""
    device, inode = filesystem.identity(directory)
    mask = (1 << 64) - 1
    return HEAD.pack(MAGIC, _boot_id(), device & mask, inode & mask)


def encode_position(head: bytes, number: int, offset: int, lsn: LSN) -> bytes:
    """The content of the file."""
    content = head + PLACE.pack(number, offset, lsn)
    return content + CHECKSUM.pack(zlib.crc32(content))


class PositionReader:
    """Reads POSITION again and again. The file is mapped, so looking takes no call of the system."""

    def __init__(self, filesystem: FileSystem, directory: Path) -> None:
        """Raises OSError when the directory cannot be looked at."""
        self._filesystem = filesystem
        self._path = directory / filename.POSITION
        self._head = head_of(filesystem, directory)
        self._mapping: memoryview | None = None
        self._identity: tuple[int, int] | None = None
        self.refresh()

    def refresh(self) -> None:
        """Look which file stands there now. Raises OSError other than that there is none."""
        try:
            identity, size = self._filesystem.identity_and_size(self._path)
            if identity != self._identity:
                self._mapping = self._filesystem.map(self._path) if size == SIZE else None
                self._identity = identity if size == SIZE else None
        except FileNotFoundError:
            self._mapping = self._identity = None

    def raw(self) -> bytes:
        """The content as it stands there, to be compared with what stood there before."""
        return b"" if self._mapping is None else self._mapping.tobytes()

    def read(self) -> PublishedPosition | None:
        """What a writer published; None when nobody did on this boot, in this directory."""
        for _ in range(_TRIES):
            content = self.raw()
            if content[: HEAD.size] != self._head:
                return None
            if zlib.crc32(content[: -CHECKSUM.size]) == CHECKSUM.unpack(content[-CHECKSUM.size :])[0]:
                number, offset, lsn = PLACE.unpack_from(content, HEAD.size)
                return PublishedPosition(filename.wal(number), offset, lsn)
            # Perhaps it is just being replaced; who is at it needs the processor.
            time.sleep(_REST_S)
        return None


def _boot_id() -> bytes:
    """The random number of this boot; zeros where the system has none."""
    try:
        return bytes.fromhex(_BOOT_ID.read_text("ascii").strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)
