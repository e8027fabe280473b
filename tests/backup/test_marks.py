"""What makes a frame the same frame, wherever and however often it is written."""

from __future__ import annotations

import dataclasses

import pytest

from pykyro.backup.archive.record import frame_mark
from pykyro.storage.wal.format import EPOCH_BYTES, OPERATION, PROBE, SEAL, SEAL_CONTENT, Frame

FRAME = Frame(7, 1000, OPERATION, True, b"content", 64, 99)
NONE, ONE, OTHER = bytes(EPOCH_BYTES), b"1" * EPOCH_BYTES, b"2" * EPOCH_BYTES


def test_place_checksum_and_sync_do_not_matter() -> None:
    moved = dataclasses.replace(FRAME, offset=4096, checksum=1, synced=False)
    for epoch in (NONE, ONE):
        assert frame_mark(FRAME, epoch) == frame_mark(moved, epoch)


@pytest.mark.parametrize(
    "change", [{"lsn": 8}, {"time_us": 1001}, {"kind": SEAL}, {"content": b"other"}, {"behind_us": 5}]
)
def test_what_it_says_matters(change: dict[str, object]) -> None:
    assert frame_mark(FRAME, ONE) != frame_mark(dataclasses.replace(FRAME, **change), ONE)  # type: ignore[arg-type]


def test_who_wrote_it_matters() -> None:
    assert len({frame_mark(FRAME, epoch) for epoch in (NONE, ONE, OTHER)}) == 3


def test_mark_of_a_frame_of_an_earlier_version_never_changes() -> None:
    """Backups hold them."""
    assert frame_mark(FRAME, NONE) == "2102d7bbf2ca393c97dbf21c7ffec3e1"


def test_seal_of_an_empty_segment_is_known_when_a_probe_holds_its_position() -> None:
    seal = Frame(7, 1000, SEAL, True, SEAL_CONTENT.pack(0), 64, 99)
    assert frame_mark(seal, NONE) == frame_mark(Frame(7, 1000, PROBE, True, b"", 200, 3), NONE)
    assert frame_mark(seal, NONE) != frame_mark(Frame(7, 1000, PROBE, True, bytes(9), 200, 3), NONE)
