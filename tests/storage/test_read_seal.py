"""The last frame of a sealed segment, read from its end, is the one a whole reading finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.clock import FakeClock
from tests.crash.fault_filesystem import FaultFS

from pykyro.storage.wal.format import OPERATION, SEAL, SegmentHeader
from pykyro.storage.wal.reader import read_seal, read_segment
from pykyro.storage.wal.writer import PendingFrame, WalWriter

ROOT = Path("/")


def segment(contents: list[bytes], *, sealed: bool, set_back_us: int = 0) -> memoryview:
    disk, clock = FaultFS(), FakeClock()
    writer = WalWriter(disk, ROOT, 1, SegmentHeader(7, 99, clock.wall_us(), b"salt" * 4))
    writer.append([PendingFrame(OPERATION, content, clock.wall_us()) for content in contents])
    if sealed:
        writer.seal(clock.wall_us() - set_back_us)
    writer.close()
    return disk.map(ROOT / writer.name)


@pytest.mark.parametrize("set_back_us", [0, 10**9])
@pytest.mark.parametrize("contents", [[], [b"x"], [b"x" * 1000, b"y" * 31, b"z" * 4096]])
def test_seal_is_the_last_frame(contents: list[bytes], set_back_us: int) -> None:
    data = segment(contents, sealed=True, set_back_us=set_back_us)
    seal = read_seal(data, len(data))
    assert seal == read_segment(data, ROOT).frames[-1]
    assert seal is not None
    assert (seal.kind, seal.lsn) == (SEAL, 7 + len(contents))


@pytest.mark.parametrize("length", [1, 8, 9, 30, 31])
def test_segment_without_a_seal_has_none(length: int) -> None:
    data = segment([b"x" * length], sealed=False)
    assert read_seal(data, len(data)) is None


def test_every_flipped_bit_of_the_seal_is_noticed() -> None:
    data = bytearray(segment([b"x"], sealed=True))
    for bit in range((len(data) - 64) * 8, len(data) * 8):
        data[bit >> 3] ^= 1 << (bit & 7)
        padding = (bit >> 3) >= len(data) - 23
        assert read_seal(memoryview(bytes(data)), len(data)) is None or padding
        data[bit >> 3] ^= 1 << (bit & 7)


@pytest.mark.parametrize("end", [0, 63, 64, 100, 10_000])
def test_end_that_cannot_be_one_has_none(end: int) -> None:
    assert read_seal(segment([b"x"], sealed=True), end) is None
