"""WAL segments built frame by frame, so that a test can make one that no writer makes."""

from __future__ import annotations

from pathlib import Path

from pykyro.model.errors import DataDamaged
from pykyro.storage.wal.format import OPERATION, SEGMENT_HEADER, SegmentHeader, Whitening
from pykyro.storage.wal.reader import SegmentContents, read_segment
from pykyro.storage.wal.writer import encode_frame

SALT = bytes(range(16))
PATH = Path("/wal")


class SegmentBuilder:
    """Appends frames with any header fields; each `add` follows on from the last unless told otherwise."""

    def __init__(self, *, base_lsn: int = 1, previous: int = 0, created_us: int = 1000) -> None:
        self.header = SegmentHeader(base_lsn, previous, created_us, SALT)
        self.lsn, self.previous, self.time_us = base_lsn - 1, previous, created_us
        self.clear = bytearray()
        self.starts: list[int] = []

    def add(
        self,
        content: bytes = b"operation",
        *,
        kind: int = OPERATION,
        synced: bool = True,
        lsn: int | None = None,
        previous: int | None = None,
        time_us: int | None = None,
        behind_us: int = 0,
    ) -> SegmentBuilder:
        self.lsn = self.lsn + 1 if lsn is None else lsn
        self.time_us = self.time_us + 1 if time_us is None else time_us
        follows = self.previous if previous is None else previous
        self.starts.append(SEGMENT_HEADER.size + len(self.clear))
        data, self.previous = encode_frame(
            self.header.seed,
            self.lsn,
            self.time_us,
            follows,
            kind,
            content,
            synced=synced,
            behind_us=behind_us,
        )
        self.clear += data
        return self

    @property
    def data(self) -> bytes:
        white = Whitening(SALT).apply(bytes(self.clear), SEGMENT_HEADER.size)
        return self.header.encode() + white.tobytes()

    def read(self) -> SegmentContents:
        return read_segment(self.data, PATH)


def read_result(data: bytes) -> list[bytes] | str:
    """The contents of the operations, or the reason why the segment is refused."""
    try:
        return [frame.content for frame in read_segment(data, PATH).operations]
    except DataDamaged as error:
        return error.reason
