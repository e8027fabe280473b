"""How much of the sealed log stays, and that neither recovery nor a snapshot needs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.crash.clock import FakeClock
from tests.crash.disk import AllKept
from tests.crash.fault_filesystem import Fault, FaultFS, PowerCut

from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions
from pykyro.model.limits import DISK_FREE_SHARE_LOW, WAL_SEGMENTS_RETAINED_MAX
from pykyro.model.requests import Put
from pykyro.model.types import Document, Metric
from pykyro.storage.manifest import WalEntry, read_manifest
from pykyro.storage.recovery import Recovery
from pykyro.storage.verify import verify_directory
from pykyro.storage.wal.log import LogOptions
from pykyro.storage.wal.retention import is_sealed, kept_wal, retained_bytes_max

DATA = Path("/data")


def entries(lengths: list[int], *, open_last: bool) -> tuple[WalEntry, ...]:
    """Closed segments of ten positions each, and an open one if wanted."""
    closed = [
        WalEntry(name=f"wal_{n:012d}.wal", base_lsn=n * 10 + 1, last_lsn=n * 10 + 10, end_offset=length)
        for n, length in enumerate(lengths)
    ]
    if open_last:
        closed.append(WalEntry(name=f"wal_{len(lengths):012d}.wal", base_lsn=len(lengths) * 10 + 1))
    return tuple(closed)


@given(
    st.lists(st.integers(64, 1000), max_size=12),
    st.booleans(),
    st.integers(0, 120),
    st.integers(0, 8000),
)
def test_kept_is_what_recovery_needs_and_the_longest_tail_that_fits(
    lengths: list[int], open_last: bool, sealed_lsn: int, budget: int
) -> None:
    before = entries(lengths, open_last=open_last)
    kept = kept_wal(before, sealed_lsn, budget)
    assert before[len(before) - len(kept) :] == kept
    needed = [entry for entry in before if not is_sealed(entry, sealed_lsn)]
    retained = kept[: len(kept) - len(needed)]
    assert list(kept[len(retained) :]) == needed
    assert sum(entry.end_offset or 0 for entry in retained) <= budget
    if len(kept) < len(before):
        dropped = before[len(before) - len(kept) - 1]
        assert sum(entry.end_offset or 0 for entry in (dropped, *retained)) > budget


def test_number_of_retained_segments_is_bounded() -> None:
    many = entries([64] * (WAL_SEGMENTS_RETAINED_MAX + 10), open_last=True)
    assert len(kept_wal(many, 10**9, 1 << 40)) == WAL_SEGMENTS_RETAINED_MAX


class _SmallDisk(FaultFS):
    free = 0

    def free_bytes(self, path: Path) -> tuple[int, int]:
        return self.free, 10_000


@pytest.mark.parametrize(("free", "expected"), [(5000, 700), (1000, 700), (900, 500), (500, 100), (100, 0)])
def test_short_disk_keeps_only_so_much_that_the_share_stays_free(free: int, expected: int) -> None:
    disk = _SmallDisk()
    disk.free = free
    assert DISK_FREE_SHARE_LOW == 0.1
    segments = entries([300, 300, 900], open_last=True)
    assert retained_bytes_max(disk, DATA, segments, 20, 700) == expected


def opened(disk: FaultFS, retention: int = 1 << 30) -> Engine:
    options = EngineOptions(dimension=4, background=False, wal_retention_bytes=retention)
    return open_engine(DATA, options, filesystem=disk, clock=FakeClock(), builder=InlineBuilder(disk))


def put(engine: Engine, doc_id: int) -> None:
    engine.write(Put(Document(doc_id, np.full(4, doc_id, np.float32))))


def sealed_thrice(disk: FaultFS, retention: int = 1 << 30) -> None:
    engine = opened(disk, retention)
    for doc_id in range(1, 4):
        put(engine, doc_id)
        engine.flush()
    engine.close()


def test_sealed_segments_stay_named_whole_and_chained() -> None:
    disk = FaultFS()
    sealed_thrice(disk)
    manifest = read_manifest(disk, DATA)
    assert [entry.base_lsn for entry in manifest.wal] == [1, 3, 5]
    report = verify_directory(disk, DATA)
    assert report.damage == []
    assert report.last_lsn == 6


def test_zero_retention_keeps_what_recovery_needs() -> None:
    disk = FaultFS()
    sealed_thrice(disk, retention=0)
    manifest = read_manifest(disk, DATA)
    assert [entry.base_lsn for entry in manifest.wal] == [7]
    assert manifest.file_names < set(disk.names(DATA))


@pytest.mark.parametrize("gone", [[0], [0, 1], [0, 1, 2]])
def test_retained_segment_that_vanished_is_no_damage(gone: list[int]) -> None:
    disk = FaultFS()
    sealed_thrice(disk)
    engine = opened(disk)
    put(engine, 4)  # or the log would end with what is retained, and nothing of it be left
    engine.close()
    for at in gone:
        disk.remove(DATA / read_manifest(disk, DATA).wal[at].name)
    assert verify_directory(disk, DATA).damage == []
    engine = opened(disk)
    assert engine.stats().documents == 4
    assert not engine.recovered.from_checkpoint_only
    engine.close()


def test_log_goes_on_from_the_retained_one_when_nothing_came_after_it() -> None:
    disk = FaultFS()
    engine = opened(disk)
    put(engine, 1)
    engine.flush()
    # The process dies with an empty open segment; the next one dies once MANIFEST has let go of that.
    disk.kill_process()
    recovery = Recovery(disk, DATA, FakeClock(), dimension=4, metric=Metric.COSINE)
    assert list(recovery.replay()) == []
    disk.faults = [Fault(len(disk.calls) + 5, "cut")]
    with pytest.raises(PowerCut):
        recovery.start_log(LogOptions())
    disk = disk.crash(AllKept())
    assert [entry.last_lsn for entry in read_manifest(disk, DATA).wal] == [2]
    engine = opened(disk)
    put(engine, 2)
    engine.close()
    assert verify_directory(disk, DATA).damage == []


def test_snapshot_leaves_the_retained_log_behind() -> None:
    disk = FaultFS()
    engine = opened(disk)
    for doc_id in range(1, 4):
        put(engine, doc_id)
        engine.flush()
    snapshot = Path(engine.snapshot().path)
    engine.close()
    assert not [name for name in disk.names(snapshot) if name.endswith(".wal")]
