"""Segments must continue each other and the sealed position."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.fault_filesystem import FaultFS
from tests.storage.segments import SegmentBuilder

from pykyro.model.errors import DataDamaged
from pykyro.model.types import Metric
from pykyro.storage.manifest import Manifest, WalEntry
from pykyro.storage.wal.chain import WalChain

ROOT = Path("/")


def manifest(sealed_lsn: int, *wal: WalEntry) -> Manifest:
    return Manifest(
        dimension=4, metric=Metric.COSINE, history="h", next_number=9, sealed_lsn=sealed_lsn, wal=wal
    )


def stored(disk: FaultFS, number: int, builder: SegmentBuilder, *, closed: bool = True) -> WalEntry:
    name = f"wal_{number:012d}.wal"
    file = disk.create(ROOT / name)
    file.write(builder.data)
    file.close()
    base = builder.header.base_lsn
    if not closed:
        return WalEntry(name=name, base_lsn=base)
    return WalEntry(name=name, base_lsn=base, last_lsn=builder.lsn, end_offset=len(builder.data))


def read_all(disk: FaultFS, state: Manifest) -> int:
    chain = WalChain(disk, ROOT, state)
    return sum(len(chain.read(entry).frames) for entry in state.wal)


@pytest.mark.parametrize(("sealed_lsn", "whole"), [(3, False), (4, True), (5, True), (6, True)])
def test_first_segment_must_reach_back_to_the_sealed_position(sealed_lsn: int, whole: bool) -> None:
    disk = FaultFS()
    state = manifest(sealed_lsn, stored(disk, 1, SegmentBuilder(base_lsn=5).add().add()))
    if whole:
        assert read_all(disk, state) == 2
    else:
        with pytest.raises(DataDamaged, match="log starts at position 5, what comes before it ends at 3"):
            read_all(disk, state)


@pytest.mark.parametrize(
    ("base_lsn", "previous", "whole"), [(3, None, True), (4, None, False), (2, None, False), (3, 1, False)]
)
def test_second_segment_must_continue_the_first(base_lsn: int, previous: int | None, whole: bool) -> None:
    disk = FaultFS()
    first = SegmentBuilder().add().add()
    second = SegmentBuilder(
        base_lsn=base_lsn, previous=first.previous if previous is None else previous
    ).add()
    state = manifest(0, stored(disk, 1, first), stored(disk, 2, second, closed=False))
    if whole:
        assert read_all(disk, state) == 3
    else:
        with pytest.raises(DataDamaged, match="does not continue position 2"):
            read_all(disk, state)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"base_lsn": 2}, "starts at position 1, the manifest says 2"),
        ({"last_lsn": 3}, "ends at position 2, the manifest says 3"),
        ({"end_offset": 128}, "ends at position 1, the manifest says 2"),
        ({"end_offset": 100}, "does not end with a whole frame"),
        ({"end_offset": 1000}, "has 192 bytes, the manifest knows 1000"),
    ],
)
def test_segment_must_be_the_one_the_manifest_describes(change: dict[str, int], reason: str) -> None:
    disk = FaultFS()
    entry = stored(disk, 1, SegmentBuilder().add().add()).model_copy(update=change)
    with pytest.raises(DataDamaged, match=reason):
        read_all(disk, manifest(1, entry))


def test_only_the_last_segment_may_be_open() -> None:
    disk = FaultFS()
    first = SegmentBuilder().add()
    second = SegmentBuilder(base_lsn=2, previous=first.previous).add()
    state = manifest(0, stored(disk, 1, first, closed=False), stored(disk, 2, second, closed=False))
    with pytest.raises(DataDamaged, match="an open segment is followed by another"):
        read_all(disk, state)


def test_frame_that_is_whole_but_holds_no_records_is_named() -> None:
    disk = FaultFS()
    entry = stored(disk, 1, SegmentBuilder().add(b"not records"))
    state = manifest(0, entry)
    chain = WalChain(disk, ROOT, state)
    (frame,) = chain.read(entry).frames
    with pytest.raises(DataDamaged, match=r"wal_000000000001.wal at byte 64"):
        chain.decode(entry, frame)
