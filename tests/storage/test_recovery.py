"""Opening a directory: what is missing, damaged, strange or torn, and that opening twice is opening once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.clock import FakeClock
from tests.crash.disk import AllKept, AllLost
from tests.crash.fault_filesystem import Fault, FaultFS, PowerCut
from tests.storage.opening import DATA, delete, open_log, put

from pykyro.model.errors import DataDamaged, DataDirMismatch
from pykyro.model.types import Metric
from pykyro.storage.manifest import Manifest, read_manifest, write_manifest
from pykyro.storage.wal.format import EPOCH_BYTES, SECTOR
from pykyro.storage.wal.log import LogOptions
from pykyro.storage.wal.reader import SegmentContents, read_segment


def three_segments() -> tuple[FaultFS, Manifest]:
    """Two closed segments and an open one, four operations; the process has died."""
    disk = FaultFS()
    opened = open_log(disk)
    opened.log.append([put(1), put(2)])
    opened.log.rotate()
    opened.log.append([put(3)])
    opened.log.rotate()
    opened.log.append([delete(1)])
    disk.kill_process()
    return disk, opened.recovery.manifest


EVERYTHING = [put(1), put(2), put(3), delete(1)]


def test_new_directory() -> None:
    disk = FaultFS()
    opened = open_log(disk)
    report = opened.recovery.report
    assert (report.created, report.last_lsn, opened.contents) == (True, 0, [])
    assert read_manifest(disk.crash(AllLost()), DATA).dimension == 4


def test_whole_log_is_replayed_with_its_positions() -> None:
    disk, _ = three_segments()
    opened = open_log(disk)
    assert opened.contents == EVERYTHING
    assert [lsn for lsn, _ in opened.replayed] == [1, 2, 4, 6]  # 3 and 5 are seals
    report = opened.recovery.report
    assert (report.created, report.frames_replayed, report.last_lsn, report.torn_bytes) == (False, 4, 6, 0)


def test_opening_again_and_again_finds_the_same() -> None:
    disk, _ = three_segments()
    for _ in range(4):
        assert open_log(disk).contents == EVERYTHING
        disk.kill_process()
    assert len(open_log(disk.crash(AllLost())).contents) == 4


def test_operations_at_or_before_the_sealed_position_are_not_replayed() -> None:
    disk, manifest = three_segments()
    write_manifest(disk, DATA, manifest.model_copy(update={"sealed_lsn": 2}))
    assert [lsn for lsn, _ in open_log(disk).replayed] == [4, 6]


def test_segments_wholly_sealed_need_not_be_there() -> None:
    disk, manifest = three_segments()
    write_manifest(disk, DATA, manifest.model_copy(update={"sealed_lsn": 3}))
    disk.remove(DATA / manifest.wal[0].name)
    assert [lsn for lsn, _ in open_log(disk).replayed] == [4, 6]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_segment_that_is_needed_and_missing_is_refused_by_name(missing: int) -> None:
    disk, manifest = three_segments()
    disk.remove(DATA / manifest.wal[missing].name)
    with pytest.raises(DataDamaged, match="WAL segment is missing") as caught:
        open_log(disk)
    assert caught.value.path.name == manifest.wal[missing].name


def test_last_segment_missing_is_refused() -> None:
    """The one whose loss no chain shows, for nothing comes after it."""
    disk, manifest = three_segments()
    disk.remove(DATA / manifest.wal[-1].name)
    with pytest.raises(DataDamaged):
        open_log(disk)


def test_whole_log_removed_starts_from_the_checkpoint_and_says_so() -> None:
    disk, manifest = three_segments()
    for entry in manifest.wal:
        disk.remove(DATA / entry.name)
    opened = open_log(disk)
    report = opened.recovery.report
    assert (report.from_checkpoint_only, opened.contents, report.last_lsn) == (True, [], 0)
    assert "started from the last checkpoint, position 0" in report.warnings[0]
    assert opened.recovery.manifest.history != manifest.history
    assert opened.log.append([put(9)]) == [1]
    assert open_log(disk.crash(AllLost())).contents == [put(9)]


def test_manifest_missing_beside_data_is_refused() -> None:
    disk, _ = three_segments()
    disk.remove(DATA / "MANIFEST")
    with pytest.raises(
        DataDamaged, match=r"MANIFEST is missing, but the directory holds data \(wal_.*and 2 more"
    ):
        open_log(disk)


def test_creation_that_died_before_its_first_manifest_is_made_good() -> None:
    disk = FaultFS()
    disk.make_directory(DATA)
    disk.create(DATA / "MANIFEST.tmp").write(b"KYRO")
    assert open_log(disk).recovery.report.created


@pytest.mark.parametrize(
    ("dimension", "metric"), [(5, Metric.COSINE), (4, Metric.EUCLIDEAN), (4, Metric.INNER_PRODUCT)]
)
def test_other_dimension_or_distance_is_refused_with_the_way_out(dimension: int, metric: Metric) -> None:
    disk, _ = three_segments()
    with pytest.raises(DataDirMismatch, match=r"Set hnsw.dimension: 4 and hnsw.distance: cosine"):
        open_log(disk, dimension=dimension, metric=metric)
    assert open_log(disk).contents == EVERYTHING


@pytest.mark.parametrize(
    "name",
    [
        "wal_000000000777.wal",
        "segment_000000000777.rows",
        "segment_000000000777.graph.tmp",
        "segment_000000000777_000000000778.dead",
        "MANIFEST.tmp",
    ],
)
def test_unnamed_files_that_look_like_ours_are_removed(name: str) -> None:
    disk, _ = three_segments()
    disk.create(DATA / name).write(b"rubbish")
    opened = open_log(disk)
    assert not disk.exists(DATA / name)
    assert opened.contents == EVERYTHING
    assert name in opened.recovery.report.removed_files or name == "MANIFEST.tmp"


@pytest.mark.parametrize(
    "name", ["notes.txt", "wal_1.wal", "wal_000000000001.wal.bak", "LOCK2", "tenants.json"]
)
def test_files_of_others_are_left_alone(name: str) -> None:
    disk, _ = three_segments()
    disk.create(DATA / name).write(b"precious")
    open_log(disk)
    assert disk.read(DATA / name) == b"precious"


def test_number_of_an_unnamed_file_is_not_given_out() -> None:
    disk, _ = three_segments()
    disk.create(DATA / "segment_000000005000.rows.tmp").close()
    assert open_log(disk).recovery.manifests.take_number() > 5000


# --- the unsealed tail ----------------------------------------------------------------------------


def test_unsealed_segment_is_copied_before_anything_follows_it() -> None:
    """What the last process left may be in the page cache alone."""
    disk = FaultFS()
    opened = open_log(disk, options=LogOptions(interval_ms=100))
    opened.log.append([put(1)])
    name = opened.recovery.manifest.wal[-1].name
    disk.kill_process()
    again = open_log(disk)
    copy, _ = again.recovery.manifest.wal
    assert copy.name != name
    assert copy.last_lsn == 2
    assert not disk.exists(DATA / name)
    assert open_log(disk.crash(AllLost())).contents == [put(1)]


def _last_segment(disk: FaultFS, *, sealed: bool) -> SegmentContents:
    entries = [e for e in read_manifest(disk, DATA).wal if (e.last_lsn is not None) == sealed]
    return read_segment(disk.read(DATA / entries[-1].name), DATA / entries[-1].name)


def test_copy_of_an_unsealed_segment_keeps_times_and_epoch() -> None:
    disk = FaultFS()
    clock = FakeClock()
    opened = open_log(disk, clock=clock)
    opened.log.append([put(1)])
    clock.step_wall(-3600)
    opened.log.append([put(2)])
    disk.kill_process()
    before = _last_segment(disk, sealed=False)
    open_log(disk, clock=clock)
    after = _last_segment(disk, sealed=True)
    assert [(f.lsn, f.time_us, f.wall_us, f.content) for f in after.frames[:-1]] == [
        (f.lsn, f.time_us, f.wall_us, f.content) for f in before.frames
    ]
    assert before.frames[1].behind_us > 3500 * 10**6
    assert after.header.epoch == before.header.epoch != bytes(EPOCH_BYTES)


def test_openings_from_the_same_state_write_different_epochs() -> None:
    disk = FaultFS()
    open_log(disk).log.append([put(1)])
    disk.kill_process()
    epochs = set()
    for _ in range(3):
        image = disk.crash(AllKept())
        opened = open_log(image)
        opened.log.append([put(2)])
        opened.log.rotate()
        opened.log.append([put(3)])
        segments = [read_segment(image.read(DATA / e.name), DATA) for e in read_manifest(image, DATA).wal]
        own = {s.header.epoch for s in segments if s.header.base_lsn > 1}
        assert len(own) == 1, "one opening, one epoch, however many segments it writes"
        epochs |= own
    assert len(epochs) == 3


def test_torn_bytes_are_dropped_and_counted() -> None:
    disk = FaultFS()
    opened = open_log(disk)
    opened.log.append([put(1)])
    path = DATA / opened.recovery.manifest.wal[-1].name
    file = disk._file(path)
    file.visible = file.durable = bytes(file.durable) + bytes(2 * SECTOR)
    disk.kill_process()
    again = open_log(disk)
    assert (again.contents, again.recovery.report.torn_bytes) == ([put(1)], 2 * SECTOR)


def test_empty_unsealed_segments_do_not_pile_up() -> None:
    disk = FaultFS()
    open_log(disk).log.append([put(1)])
    for _ in range(5):
        disk.kill_process()
        manifest = open_log(disk).recovery.manifest
    assert len(manifest.wal) == 2


@pytest.mark.parametrize("call", range(0, 60, 3))
def test_dying_inside_the_start_changes_nothing(call: int) -> None:
    disk, _ = three_segments()
    for loss in (AllLost(), AllKept()):
        dying = disk.crash(AllLost())
        dying.faults = [Fault(call, "cut")]
        try:
            open_log(dying)
        except PowerCut:
            assert open_log(dying.crash(loss)).contents == EVERYTHING


def test_nothing_that_exists_is_removed_before_the_new_manifest_is_durable() -> None:
    disk, manifest = three_segments()
    start = len(disk.calls)
    open_log(disk)
    calls = [str(call) for call in disk.calls[start:]]
    first_removal = next(i for i, call in enumerate(calls) if call.startswith("remove wal_"))
    durable = max(i for i, call in enumerate(calls[:first_removal]) if call == "sync_directory data")
    assert "replace MANIFEST" in calls[:durable]
    assert manifest.wal


def test_segment_of_another_place_is_refused() -> None:
    """The right name, a valid segment, the wrong one."""
    disk, manifest = three_segments()
    first, second, _ = (DATA / entry.name for entry in manifest.wal)
    disk.remove(second)
    disk.link(first, second)
    with pytest.raises(DataDamaged):
        open_log(disk)


def test_directory_is_made_with_all_above_it_and_lasts() -> None:
    disk = FaultFS()
    deep = Path("/a/b/c")
    open_log(disk, directory=deep).log.append([put(1)])
    assert open_log(disk.crash(AllLost()), directory=deep).contents == [put(1)]
