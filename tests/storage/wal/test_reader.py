"""Each rule of the reader, in pairs that draw its line: what a crash can leave, and what only damage can."""

from __future__ import annotations

import pytest
from tests.storage.segments import PATH, SegmentBuilder, read_result

from pykyro.model.errors import DataDamaged
from pykyro.model.limits import WAL_FRAME_BODY_BYTES_MAX
from pykyro.storage.wal import reader as wal_reader
from pykyro.storage.wal.format import (
    BEHIND,
    FRAME_HEADER,
    OPERATION,
    PROBE,
    SEAL,
    SEAL_CONTENT,
    SECTOR,
    SEGMENT_HEADER,
    SYNCED,
)
from pykyro.storage.wal.reader import End, read_segment


def seal(builder: SegmentBuilder, operations: int) -> SegmentBuilder:
    return builder.add(SEAL_CONTENT.pack(operations), kind=SEAL)


def zeroed(data: bytes, start: int, end: int) -> bytes:
    return data[:start] + bytes(end - start) + data[end:]


def test_empty_segment_is_open_and_stands_before_its_first_position() -> None:
    contents = SegmentBuilder(base_lsn=5, previous=9, created_us=77).read()
    assert (contents.last_lsn, contents.last_checksum, contents.last_time_us) == (4, 9, 77)
    assert (contents.end, contents.end_offset, contents.torn_bytes) == (End.OPEN, SEGMENT_HEADER.size, 0)


def test_facts_about_the_end_come_from_the_last_frame() -> None:
    builder = SegmentBuilder().add(b"a").add(b"b")
    contents = builder.read()
    assert (contents.last_lsn, contents.last_checksum) == (2, builder.previous)
    assert (contents.end_offset, contents.last_time_us) == (len(builder.data), builder.time_us)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"lsn": 3}, "frame has position 3, expected 2"),
        ({"lsn": 1}, "frame has position 1, expected 2"),
        ({"previous": 1}, "frame does not follow the frame before it"),
        ({"time_us": 1001}, None),
        ({"time_us": 1000}, "frame is older than the frame before it"),
        ({"kind": PROBE}, None),
        ({"kind": 9}, "unknown kind of frame 9"),
    ],
)
def test_second_frame_must_continue_the_first(change: dict[str, int], reason: str | None) -> None:
    result = read_result(SegmentBuilder().add(b"a").add(b"b", **change).data)  # type: ignore[arg-type]
    assert result == (reason or ([b"a"] if change == {"kind": PROBE} else [b"a", b"b"]))


def test_clock_that_was_set_back_is_known_to_the_frame() -> None:
    segment = SegmentBuilder().add(b"a", time_us=9000).add(b"b", time_us=9000, behind_us=700).add(b"c")
    frames = segment.read().frames
    assert [(f.content, f.time_us, f.wall_us) for f in frames] == [
        (b"a", 9000, 9000),
        (b"b", 9000, 8300),
        (b"c", 9001, 9001),
    ]
    assert [frame.end_offset for frame in frames[:-1]] == segment.starts[1:]


@pytest.mark.parametrize(("content", "behind_us"), [(bytes(7), None), (bytes(8), None), (b"x", 1001)])
def test_frame_that_says_it_is_behind_states_by_how_much(content: bytes, behind_us: int | None) -> None:
    segment = SegmentBuilder()
    if behind_us is None:
        segment.add(content, kind=OPERATION | BEHIND, time_us=1000)
    else:
        segment.add(content, time_us=1000, behind_us=behind_us)
    assert read_result(segment.data) == "frame body does not have the form it announces"


def test_length_is_bounded_before_it_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal_reader, "WAL_FRAME_BODY_BYTES_MAX", 10)
    assert read_result(SegmentBuilder().add(bytes(17)).data) == [bytes(17)]
    assert read_result(SegmentBuilder().add(bytes(18)).data) == "frame length 19 is outside 1..18"
    assert WAL_FRAME_BODY_BYTES_MAX > 10


def test_seal_must_count_the_operations_and_end_the_segment() -> None:
    assert seal(SegmentBuilder().add(b"a").add(b"p", kind=PROBE), 1).read().end is End.SEALED
    assert (
        read_result(seal(SegmentBuilder().add(b"a"), 2).data)
        == "seal does not count the 1 operations before it"
    )
    short_seal = SegmentBuilder().add(b"a").add(b"1234567", kind=SEAL).data
    assert read_result(short_seal) == "seal does not count the 1 operations before it"
    sealed = seal(SegmentBuilder().add(b"a"), 1)
    assert read_result(sealed.add(b"b").data) == "bytes after the end of a sealed segment"
    assert read_result(seal(SegmentBuilder(), 0).data + b"x") == "bytes after the end of a sealed segment"


@pytest.mark.parametrize("end_offset", [SEGMENT_HEADER.size + 1, SEGMENT_HEADER.size + 63])
def test_closed_segment_ends_with_a_whole_frame(end_offset: int) -> None:
    data = SegmentBuilder().add(b"a").data
    assert read_segment(data, PATH, end_offset=len(data)).last_lsn == 1
    with pytest.raises(DataDamaged, match="does not end with a whole frame"):
        read_segment(data, PATH, end_offset=end_offset)


# --- the tail -------------------------------------------------------------------------------------


def long_frames() -> SegmentBuilder:
    """Frame 1 in the first sector, frame 2 from the first into the fourth, frame 3 after it."""
    return SegmentBuilder().add(b"first").add(b"x" * 1500, synced=False).add(b"third", synced=False)


def test_frame_cut_by_the_end_of_the_file_is_torn_at_every_length() -> None:
    builder = long_frames()
    for length in range(builder.starts[1], builder.starts[2]):
        assert read_result(builder.data[:length]) == [b"first"]


@pytest.mark.parametrize("sector", [1, 2, 3])
def test_frame_with_a_sector_that_never_arrived_is_torn(sector: int) -> None:
    data = long_frames().data
    assert read_result(zeroed(data, sector * SECTOR, (sector + 1) * SECTOR)) == [b"first"]


def test_part_of_a_sector_of_zeros_is_damage() -> None:
    """A sector arrives whole or not at all."""
    data = long_frames().data
    assert read_result(zeroed(data, SECTOR, 2 * SECTOR - 1)) == "frame body checksum does not match"
    assert read_result(zeroed(data, SECTOR + 1, 2 * SECTOR)) == "frame body checksum does not match"


def test_header_that_never_arrived_is_zeros_to_the_end_of_its_sector() -> None:
    builder = SegmentBuilder().add(b"a").add(b"b", synced=False)
    second = builder.starts[1]
    end = (second // SECTOR + 1) * SECTOR
    padded = builder.data.ljust(2 * SECTOR, b"\0")
    assert read_result(zeroed(padded, second, end)) == [b"a"]
    with_rest = zeroed(padded, second, second + FRAME_HEADER.size)
    assert read_result(with_rest) == "frame header checksum does not match"


def test_last_byte_of_the_sector_tells_damage_from_absence() -> None:
    builder = SegmentBuilder().add(b"a").add(b"b", synced=False)
    data = bytearray(zeroed(builder.data.ljust(SECTOR, b"\0"), builder.starts[1], SECTOR))
    assert read_result(bytes(data)) == [b"a"]
    data[-1] = 1
    assert read_result(bytes(data)) == "frame header checksum does not match"


@pytest.mark.parametrize(
    ("synced", "result"),
    [(False, [b"first"]), (True, "bytes are missing in front of frames that were written later")],
)
def test_hole_before_a_frame_that_was_written_after_a_sync_is_damage(
    synced: bool, result: list[bytes] | str
) -> None:
    builder = SegmentBuilder().add(b"first").add(b"x" * 1500, synced=False).add(b"third", synced=synced)
    assert read_result(zeroed(builder.data, 2 * SECTOR, 3 * SECTOR)) == result


def test_hole_before_a_damaged_later_frame_proves_nothing() -> None:
    builder = SegmentBuilder().add(b"first").add(b"x" * 1500, synced=False).add(b"third", synced=True)
    data = bytearray(zeroed(builder.data, 2 * SECTOR, 3 * SECTOR))
    data[builder.starts[2] + FRAME_HEADER.size + 1] ^= 1
    assert read_result(bytes(data)) == [b"first"]


def test_document_cannot_pretend_to_be_a_later_frame() -> None:
    """A client that knows the format puts the image of a frame into its metadata; a seed it cannot know stops it."""
    image = SegmentBuilder(base_lsn=3)
    image.header = image.header.__class__(3, 0, 1000, bytes(16))  # the attacker's guess of the salt
    forged = bytes(image.add(b"x", synced=True).clear)
    filler = bytes(SECTOR - SEGMENT_HEADER.size - 64 - FRAME_HEADER.size - 1)
    builder = SegmentBuilder().add(b"first").add(filler + forged + b"x" * 1500, synced=False)
    assert (builder.starts[1] + FRAME_HEADER.size + 1 + len(filler)) % 32 == 0
    assert read_result(zeroed(builder.data, 3 * SECTOR, 4 * SECTOR)) == [b"first"]


def test_kind_and_flag_are_told_apart() -> None:
    frames = SegmentBuilder().add(b"a", synced=True).add(b"b", synced=False).read().frames
    assert [(frame.kind, frame.synced) for frame in frames] == [(OPERATION, True), (OPERATION, False)]
    assert SYNCED & OPERATION == 0
