"""One segment being written: positions, flags, time, and what a failure leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.disk import AllLost
from tests.crash.fault_filesystem import Fault, FaultFS

from pykyro.storage.filename import wal
from pykyro.storage.wal.format import OPERATION, PROBE, SEGMENT_HEADER, SegmentHeader
from pykyro.storage.wal.reader import End, SegmentContents, read_segment
from pykyro.storage.wal.writer import PendingFrame, WalPosition, WalWriter

ROOT = Path("/")
HEADER = SegmentHeader(base_lsn=7, previous=11, created_us=1000, salt=bytes(range(16)))
NAME = ROOT / wal(3)


def frame(content: bytes, time_us: int = 2000, kind: int = OPERATION) -> PendingFrame:
    return PendingFrame(kind, content, time_us)


def read_back(disk: FaultFS) -> SegmentContents:
    return read_segment(disk.read(NAME), NAME)


def test_new_segment_is_durable_before_anything_is_written_to_it() -> None:
    disk = FaultFS()
    writer = WalWriter(disk, ROOT, 3, HEADER)
    assert disk.crash(AllLost()).read(NAME) == HEADER.encode()
    assert writer.written == writer.synced == WalPosition(6, 11, SEGMENT_HEADER.size, 1000)
    assert writer.empty


@pytest.mark.parametrize("call", [0, 1, 2, 3])
def test_segment_that_cannot_be_made_durable_leaves_no_file(call: int) -> None:
    disk = FaultFS()
    disk.faults = [Fault(call, "error")]
    with pytest.raises(OSError, match="Input/output"):
        WalWriter(disk, ROOT, 3, HEADER)
    assert disk.names(ROOT) == []


def test_positions_follow_on_and_the_end_is_what_the_reader_finds() -> None:
    disk = FaultFS()
    writer = WalWriter(disk, ROOT, 3, HEADER)
    assert writer.append([frame(b"a"), frame(b"b")]) == [7, 8]
    assert writer.append([frame(b"c", kind=PROBE)]) == [9]
    assert not writer.empty
    contents = read_back(disk)
    assert [f.content for f in contents.frames] == [b"a", b"b", b"c"]
    assert writer.written == WalPosition(9, contents.last_checksum, contents.end_offset, 2000)


def test_synced_flag_stands_on_the_first_frame_after_a_sync_alone() -> None:
    disk = FaultFS()
    writer = WalWriter(disk, ROOT, 3, HEADER)
    writer.append([frame(b"a"), frame(b"b")])
    writer.append([frame(b"c")])
    writer.sync()
    writer.append([frame(b"d"), frame(b"e")])
    assert [f.synced for f in read_back(disk).frames] == [True, False, False, True, False]
    assert writer.synced.lsn == 9


def test_time_never_runs_backwards_whatever_the_clock_does() -> None:
    disk = FaultFS()
    writer = WalWriter(disk, ROOT, 3, HEADER)
    writer.append([frame(b"a", 5), frame(b"b", 3000), frame(b"c", 2999)])
    frames = read_back(disk).frames
    assert [f.time_us for f in frames] == [1000, 3000, 3000]
    assert [f.wall_us for f in frames] == [5, 3000, 2999], "and yet the frame knows what the clock showed"
    assert [f.content for f in frames] == [b"a", b"b", b"c"]


def test_seal_counts_operations_and_is_durable() -> None:
    disk = FaultFS()
    writer = WalWriter(disk, ROOT, 3, HEADER)
    writer.append([frame(b"a"), frame(b"p", kind=PROBE)])
    writer.seal(2000)
    writer.close()
    contents = read_segment(disk.crash(AllLost()).read(NAME), NAME)
    assert contents.end is End.SEALED
    assert writer.synced == writer.written
    assert contents.last_lsn == writer.synced.lsn == 9


def test_rolled_back_frames_are_behind_neither_position() -> None:
    disk = FaultFS()
    writer = WalWriter(disk, ROOT, 3, HEADER)
    writer.append([frame(b"a")])
    before = writer.written
    writer.append([frame(b"b")])
    writer.roll_back(before)
    assert writer.synced.lsn == 6
    writer.append([frame(b"c")])
    writer.sync()
    writer.roll_back(before)
    assert writer.written == writer.synced == before


def test_failed_append_accepts_nothing() -> None:
    disk = FaultFS()
    writer = WalWriter(disk, ROOT, 3, HEADER)
    writer.append([frame(b"a")])
    before = writer.written
    for kind in ("error", "short"):
        disk.faults = [Fault(len(disk.calls), kind)]
        with pytest.raises(OSError):
            writer.append([frame(b"b")])
        assert writer.written == before
