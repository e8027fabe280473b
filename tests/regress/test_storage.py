"""Bugs the crash rigs or a review found in the storage package, each kept as the shortest way to show it."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.crash.clock import FakeClock
from tests.crash.disk import AllKept, AllLost, Loss, OneLost, TornAt
from tests.crash.fault_filesystem import Call, Fault, FaultFS, PowerCut
from tests.storage.opening import DATA, OpenLog, delete, open_log, put

from pykyro.model.errors import Unavailable, WriteFailed
from pykyro.model.types import BytesLike
from pykyro.storage.files.filesystem import WritableFile
from pykyro.storage.manifest import Manifest
from pykyro.storage.snapshot import link_snapshot, prune_snapshots, remove_snapshot, snapshot_names
from pykyro.storage.verify import verify_directory
from pykyro.storage.wal.log import LogOptions
from pykyro.storage.wal.reader import read_segment


def fail_next(disk: FaultFS, name: str, code: int = errno.EIO, kind: str = "error") -> None:
    """Make the next call of that name fail, once."""

    def strike(index: int, call: Call) -> None:
        if call.name == name:
            disk.before_change = None
            disk.faults = [Fault(index, kind, code)]

    disk.before_change = strike


def tripped(disk: FaultFS, clock: FakeClock) -> OpenLog:
    """A log with one acknowledged operation whose breaker was opened by a failed fsync."""
    opened = open_log(disk, clock=clock)
    opened.log.append([put(1)])
    fail_next(disk, "sync")
    with pytest.raises(WriteFailed):
        opened.log.append([put(2)])
    disk.heal()
    return opened


def test_breaker_closes_once_the_disk_works_again() -> None:
    """The read-back compared the probe frame with nothing, so no probe ever succeeded."""
    disk, clock = FaultFS(), FakeClock()
    opened = tripped(disk, clock)
    clock.advance(60)
    opened.log.append([put(3)])
    assert opened.log.breaker.closed
    assert open_log(disk.crash(AllLost())).contents == [put(1), put(3)]


def test_disk_that_gives_back_other_bytes_keeps_the_breaker_open() -> None:
    """Damage met by the read-back escaped from the probe and left the breaker half-open."""

    class Liar(FaultFS):
        def read(self, path: Path, *, limit: int | None = None) -> bytes:
            data = super().read(path, limit=limit)
            return data[:80] + bytes((data[80] ^ 1,)) + data[81:] if path.suffix == ".wal" else data

    disk, clock = Liar(), FakeClock()
    opened = tripped(disk, clock)
    clock.advance(60)
    with pytest.raises(Unavailable, match="gives back other bytes"):
        opened.log.append([put(3)])
    assert opened.log.breaker.seconds_to_probe == 60


def test_file_left_by_a_crash_does_not_block_the_next_start() -> None:
    """A file that no MANIFEST named kept its number, which the next start then gave out again."""
    disk = FaultFS()
    open_log(disk).log.append([put(1)])
    for _ in range(5):
        disk = disk.crash(AllKept())
        fail_next(disk, "replace", kind="cut")
        with pytest.raises(PowerCut):
            open_log(disk)
    assert open_log(disk.crash(AllKept())).contents == [put(1)]


class SlowDisk(FaultFS):
    """An fsync by another thread than the main one comes back only when the next file is created, or late."""

    def __init__(self) -> None:
        super().__init__()
        self.syncing = threading.Event()
        self.finish = threading.Event()
        self.timer: threading.Thread | None = None

    def start_timer(self, sync: Callable[[], None]) -> threading.Thread:
        self.timer = threading.Thread(target=sync)
        self.timer.start()
        self.syncing.wait()
        return self.timer

    def create(self, path: Path) -> WritableFile:
        self.finish.set()
        if self.timer is not None:
            self.timer.join(0.5)
        return SlowFile(super().create(path), self)


class SlowFile:
    def __init__(self, file: WritableFile, disk: SlowDisk) -> None:
        self._file = file
        self._disk = disk

    def write(self, data: BytesLike) -> int:
        return self._file.write(data)

    def sync(self, *, data_only: bool = True) -> None:
        self._file.sync(data_only=data_only)
        if threading.current_thread() is not threading.main_thread():
            self._disk.finish.clear()
            self._disk.syncing.set()
            self._disk.finish.wait(0.2)

    def close(self) -> None:
        self._file.close()


def test_sync_that_ends_after_a_rotation_does_not_move_the_seal_back() -> None:
    """The timer's sync set `synced` to where it had started, so the MANIFEST cut the seal off."""
    disk = SlowDisk()
    opened = open_log(disk, options=LogOptions(interval_ms=100))
    opened.log.append([put(1)])
    timer = disk.start_timer(opened.log.sync)
    opened.log.rotate()
    timer.join()
    assert verify_directory(disk, DATA).damage == []
    assert open_log(disk.crash(AllLost())).contents == [put(1)]


def test_sync_under_way_during_a_probe_does_not_give_frames_two_positions() -> None:
    """The frames to write again and the position to write them at came from two looks at `synced`."""
    disk, clock = SlowDisk(), FakeClock()
    opened = open_log(disk, clock=clock, options=LogOptions(interval_ms=100))
    opened.log.append([put(1), put(2)])
    timer = disk.start_timer(opened.log.sync)
    opened.log.breaker.trip(OSError(errno.EIO, "Input/output error"), "sealing")
    clock.advance(60)
    opened.log.append([put(3)])
    timer.join()
    opened.log.sync()
    assert open_log(disk.crash(AllLost())).contents == [put(1), put(2), put(3)]


@pytest.mark.parametrize("call", ["write", "sync"])
def test_interrupt_in_the_middle_of_a_write_opens_the_breaker(call: str) -> None:
    """Ctrl-C between a write and the note that it happened made every later frame unreadable."""
    disk, clock = FaultFS(), FakeClock()
    opened = open_log(disk, clock=clock)
    opened.log.append([put(1)])

    def interrupt(index: int, met: Call) -> None:
        if met.name == call:
            disk.before_change = None
            raise KeyboardInterrupt

    disk.before_change = interrupt
    with pytest.raises(KeyboardInterrupt):
        opened.log.append([put(2)])
    with pytest.raises(Unavailable, match="Interrupted"):
        opened.log.append([put(3)])
    clock.advance(60)
    opened.log.append([put(4)])
    assert open_log(disk.crash(AllLost())).contents == [put(1), put(4)]


def test_segments_of_failed_probes_do_not_pile_up() -> None:
    """A probe that failed at the MANIFEST left its segment behind, once a minute, on a disk that was full."""
    disk, clock = FaultFS(), FakeClock()
    opened = tripped(disk, clock)
    for _ in range(5):
        clock.advance(60)
        fail_next(disk, "replace")
        with pytest.raises(Unavailable):
            opened.log.append([delete(1)])
    assert len([n for n in disk.names(DATA) if n.endswith(".wal")]) == 6
    disk.heal()
    disk.before_change = None
    clock.advance(60)
    opened.log.append([put(3)])
    wal = {entry.name for entry in opened.recovery.manifest.wal}
    assert {n for n in disk.names(DATA) if n.endswith(".wal")} == wal


def test_file_that_cannot_be_removed_does_not_keep_the_database_shut() -> None:
    """A file of nobody's that could not be removed failed the whole start, after the log was open."""
    disk = FaultFS()
    open_log(disk).log.append([put(1)])
    disk = disk.crash(AllKept())
    disk.create(DATA / "wal_000000999999.wal").close()
    fail_next(disk, "remove")
    opened = open_log(disk)
    assert "belongs to nothing" in opened.recovery.report.warnings[0]
    assert opened.contents == [put(1)]


# --- snapshots ------------------------------------------------------------------------------------


def with_snapshot(disk: FaultFS, name: str) -> tuple[OpenLog, Manifest]:
    opened = open_log(disk)
    opened.log.append([put(1)])
    opened.log.rotate()
    manifest = opened.recovery.manifest
    link_snapshot(disk, DATA, manifest, name)
    return opened, manifest


def test_second_snapshot_of_the_same_name_leaves_the_first_alone() -> None:
    """The links of the second failed, and what was then taken away was the first."""
    disk = FaultFS()
    _, manifest = with_snapshot(disk, "20260101T000000Z")
    with pytest.raises(FileExistsError):
        link_snapshot(disk, DATA, manifest, "20260101T000000Z")
    assert verify_directory(disk, DATA / "snapshots" / "20260101T000000Z").damage == []


@pytest.mark.parametrize("doing", ["link", "remove"])
def test_power_cut_never_leaves_a_snapshot_with_a_manifest_and_missing_files(doing: str) -> None:
    """Links and the MANIFEST's name waited for the same directory sync, so the MANIFEST could come first."""
    name, checked = "20260101T000000Z", 0
    for at in range(1000):
        disk = FaultFS()
        if doing == "link":
            opened = open_log(disk)
            opened.log.append([put(1)])
            opened.log.rotate()
            manifest = opened.recovery.manifest
        else:
            _, manifest = with_snapshot(disk, name)
        disk.faults = [Fault(len(disk.calls) + at, "cut")]
        try:
            if doing == "link":
                link_snapshot(disk, DATA, manifest, name)
            else:
                remove_snapshot(disk, DATA, name)
        except PowerCut:
            pass
        else:
            break
        losses: list[Loss] = [AllKept(), *map(OneLost, disk.pending_units)]
        for after in map(disk.crash, losses):
            for snapshot in snapshot_names(after, DATA):
                checked += 1
                assert verify_directory(after, DATA / "snapshots" / snapshot).damage == [], f"cut at {at}"
    assert checked > 0


def test_snapshot_directory_whose_name_may_not_last_is_made_again() -> None:
    """After a failed directory sync the next snapshot found `snapshots` there and never synced its name."""
    for seed in range(8):
        disk = FaultFS(seed=seed)
        opened = open_log(disk)
        opened.log.append([put(1)])
        opened.log.rotate()
        fail_next(disk, "sync_directory")
        with pytest.raises(OSError, match="Input/output"):
            link_snapshot(disk, DATA, opened.recovery.manifest, "20260101T000000Z")
        disk.heal()
        link_snapshot(disk, DATA, opened.recovery.manifest, "20260101T000001Z")
        assert snapshot_names(disk.crash(AllLost()), DATA) == ["20260101T000001Z"]


def test_snapshot_made_after_the_clock_was_set_back_is_not_pruned() -> None:
    """Pruning went by name, and the newest snapshot had the oldest."""
    disk = FaultFS()
    opened = open_log(disk)
    names = ["20260102T000000Z", "20260102T000001Z", "20260101T000000Z", "20260101T000001Z"]
    for number, name in enumerate(names):
        opened.log.append([put(number + 1)])
        opened.log.rotate()
        link_snapshot(disk, DATA, opened.recovery.manifest, name)
        prune_snapshots(disk, DATA, newest=name, kept=2)
        assert snapshot_names(disk, DATA) == names[: number + 1][-2:]


def test_pruning_takes_away_what_a_crash_left_and_nothing_of_others() -> None:
    """Half-made snapshots stayed for ever, and a directory somebody else put there counted as one."""
    disk = FaultFS()
    with_snapshot(disk, "20260102T000000Z")
    for name in ("20260101T000000Z", "kept by the operator"):
        disk.make_directory(DATA / "snapshots" / name)
        disk.create(DATA / "snapshots" / name / "wal_000000000001.wal").close()
    prune_snapshots(disk, DATA, newest="20260102T000000Z", kept=1)
    assert disk.names(DATA / "snapshots") == ["20260102T000000Z", "kept by the operator"]


# --- the tail of the log --------------------------------------------------------------------------


def test_file_that_ends_inside_the_padding_of_its_last_frame_is_torn_not_damaged() -> None:
    """The frame at the end, whole but for its padding, was taken for proof that bytes before it were missing."""
    disk = FaultFS()
    opened = open_log(disk)
    opened.log.append([put(1)])
    opened.log.append([delete(1)])  # 22 bytes of body, then 10 of padding
    path = DATA / opened.recovery.manifest.wal[-1].name
    whole = disk.read(path)
    for missing in range(1, 64):
        contents = read_segment(whole[:-missing], path)
        assert [frame.content for frame in contents.frames] == [put(1)]


def test_short_write_is_not_continued_in_the_same_segment() -> None:
    """After one, a sector could reach the disk with half a frame header, and the start called it damage."""
    for seed in range(20):
        disk = FaultFS(seed=seed)
        opened = open_log(disk)
        opened.log.append([put(1)])
        fail_next(disk, "write", kind="short")
        with pytest.raises(WriteFailed, match="took only a part"):
            opened.log.append([put(2)])
        for unit in disk.pending_units:
            for loss in (OneLost(unit), TornAt(unit, grown=True), AllKept()):
                assert open_log(disk.crash(loss)).contents == [put(1)]


def test_manifest_whose_name_may_not_last_is_written_again_before_there_is_a_log() -> None:
    """The fsync of the directory failed when the database was created, and the kernel forgot the MANIFEST's name. The
    next start believed it and made a log; a power cut left the log alone, as if the MANIFEST had been lost."""
    undisturbed, disk = FaultFS(), FaultFS()
    open_log(undisturbed)
    disk.faults = [Fault(undisturbed.calls.index(Call("sync_directory", DATA)), "error")]
    with pytest.raises(OSError, match="Input/output error"):
        open_log(disk)
    cuts = 0

    def start_after_a_cut(index: int, call: Call) -> None:
        nonlocal cuts
        cuts += 1
        assert open_log(disk.crash(AllLost())).contents == []
        assert open_log(disk.crash(AllKept())).contents == []

    disk.before_change = start_after_a_cut
    open_log(disk)
    assert cuts > 5
