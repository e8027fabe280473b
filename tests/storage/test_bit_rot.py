"""Every bit, every length, every sector of every kind of file: damage is detected, or it changes nothing.

The same measurement as on the layouts this one was chosen from: a single flipped bit in a log must never lose a
record in silence, whatever the vectors hold.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.crash.fault_filesystem import FaultFS
from tests.storage.golden_files import golden, manifest, operations, sections, write_sections, write_wal
from tests.storage.segments import SegmentBuilder

from pykyro.model.errors import DataDamaged, StorageError
from pykyro.storage.manifest import decode_manifest
from pykyro.storage.segment.section_file import read_section_file
from pykyro.storage.wal.format import SECTOR, SEGMENT_HEADER
from pykyro.storage.wal.reader import End, SegmentContents, read_segment

PATH = Path("/f")


def contents_of(segment: SegmentContents) -> list[bytes]:
    return [frame.content for frame in segment.operations]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit >> 3] ^= 1 << (bit & 7)
    return bytes(changed)


def test_every_flipped_bit_of_a_log_is_detected() -> None:
    data = write_wal(FaultFS(), seal=False)
    assert contents_of(read_segment(data, PATH)) == operations()
    for bit in range(8 * len(data)):
        with pytest.raises(DataDamaged):
            read_segment(flipped(data, bit), PATH)


def test_every_flipped_bit_of_a_seal_is_detected() -> None:
    data, start = write_wal(FaultFS(), seal=True), len(golden("open.wal"))
    for bit in range(8 * start, 8 * len(data)):
        with pytest.raises(DataDamaged):
            read_segment(flipped(data, bit), PATH)


@pytest.mark.parametrize("name", ["open.wal", "sealed.wal"])
def test_every_truncated_log_gives_a_prefix_and_says_that_it_is_cut(name: str) -> None:
    data = golden(name)
    whole = read_segment(data, PATH)
    ends = [SEGMENT_HEADER.size, *(frame.end_offset for frame in whole.frames)]
    for length in range(SEGMENT_HEADER.size, len(data)):
        cut = read_segment(data[:length], PATH)
        assert cut.frames == [frame for frame in whole.frames if frame.end_offset <= length]
        assert cut.end is (End.OPEN if length in ends else End.TORN)
        assert cut.torn_bytes == length - max(end for end in ends if end <= length)
        with pytest.raises(DataDamaged, match="the manifest knows"):
            read_segment(data[:length], PATH, end_offset=len(data))


@pytest.mark.parametrize("length", range(SEGMENT_HEADER.size))
def test_log_without_a_whole_header_is_damage(length: int) -> None:
    with pytest.raises(DataDamaged, match="segment header"):
        read_segment(golden("open.wal")[:length], PATH)


def zeroed(data: bytes, sector: int) -> bytes:
    start = sector * SECTOR
    lost = data[start : start + SECTOR]
    return data[:start] + bytes(len(lost)) + data[start + SECTOR :]


def test_every_zeroed_sector_before_the_one_where_the_last_group_starts_is_detected() -> None:
    """From there on it looks as if the last group had not arrived, which is what a crash leaves."""
    builder = SegmentBuilder()
    for group in range(4):
        builder.add(bytes([group]) * 700).add(b"second of the group", synced=False)
    whole = read_segment(builder.data, PATH)
    last_group = builder.starts[-2]
    assert last_group > 3 * SECTOR
    for sector in range(-(-len(builder.data) // SECTOR)):
        damaged = zeroed(builder.data, sector)
        if (sector + 1) * SECTOR <= last_group:
            with pytest.raises(DataDamaged):
                read_segment(damaged, PATH)
        else:
            torn = read_segment(damaged, PATH)
            assert torn.end is End.TORN
            assert contents_of(torn) == contents_of(whole)[: len(contents_of(torn))]


def test_every_zeroed_sector_of_a_closed_log_is_detected() -> None:
    data = golden("sealed.wal")
    for sector in range(-(-len(data) // SECTOR)):
        with pytest.raises(DataDamaged):
            read_segment(zeroed(data, sector), PATH, end_offset=len(data))


def test_frames_survive_whatever_was_meant_to_follow_them() -> None:
    """Bytes behind the place where the MANIFEST closed a segment are not looked at."""
    data = golden("open.wal")
    rubbish = read_segment(data + b"\xff" * 100, PATH, end_offset=len(data))
    assert contents_of(rubbish) == operations()


@pytest.mark.parametrize("name", ["MANIFEST", "MANIFEST.merges"])
def test_every_flipped_bit_of_a_manifest_is_detected(name: str) -> None:
    data = golden(name)
    assert decode_manifest(data, PATH) == (
        manifest() if name == "MANIFEST" else manifest().announcing(merges=True)
    )
    for bit in range(8 * len(data)):
        with pytest.raises(StorageError):
            decode_manifest(flipped(data, bit), PATH)


def test_every_truncated_manifest_is_detected() -> None:
    data = golden("MANIFEST")
    for length in range(len(data)):
        with pytest.raises(StorageError):
            decode_manifest(data[:length], PATH)


def test_every_flipped_bit_of_a_section_file_is_detected_or_harmless() -> None:
    data, facts = write_sections(FaultFS())
    harmless = 0
    for bit in range(8 * len(data)):
        try:
            file = read_section_file(memoryview(flipped(data, bit)), PATH, facts)
            file.verify()
        except DataDamaged:
            continue
        harmless += 1
        for name, array in sections().items():
            np.testing.assert_array_equal(file.section(name), array)
    # What no digest covers: the first 64 bytes, and the zeros between sections.
    assert 0 < harmless / (8 * len(data)) < 0.4


def test_every_truncated_or_zeroed_section_file_is_detected() -> None:
    data, facts = write_sections(FaultFS())
    for length in range(len(data)):
        with pytest.raises(DataDamaged):
            read_section_file(memoryview(data[:length]), PATH, facts)
    for sector in range(-(-len(data) // SECTOR)):
        with pytest.raises(DataDamaged):
            read_section_file(memoryview(zeroed(data, sector)), PATH, facts).verify()
