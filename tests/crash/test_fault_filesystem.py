"""The instrument itself: FaultFS loses what its model says, and nothing else."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.crash.disk import AllKept, AllLost, OneLost, RandomLoss, TornAt, loss_named
from tests.crash.fault_filesystem import Fault, FaultFS, PowerCut

from pykyro.storage.files.filesystem import FileSystem, LocalFileSystem, WritableFile, write_all

ROOT = Path("/")
FILE = ROOT / "f"


def durable_file(disk: FaultFS, content: bytes, path: Path = FILE) -> WritableFile:
    file = disk.create(path)
    write_all(file, content)
    file.sync()
    disk.sync_directory(path.parent)
    return file


def test_synced_bytes_and_names_survive_every_loss() -> None:
    disk = FaultFS()
    durable_file(disk, b"a" * 1500)
    assert disk.pending_units == []
    for loss in (AllLost(), AllKept(), TornAt(0, grown=True), RandomLoss(1)):
        assert disk.crash(loss).read(FILE) == b"a" * 1500


def test_file_sync_does_not_make_the_name_durable() -> None:
    disk = FaultFS()
    file = disk.create(FILE)
    file.write(b"x")
    file.sync()
    assert not disk.crash(AllLost()).exists(FILE)
    assert disk.crash(AllKept()).read(FILE) == b"x"


def test_each_unsynced_sector_is_lost_on_its_own_and_reads_as_zeros() -> None:
    disk = FaultFS()
    file = durable_file(disk, b"a" * 100)
    file.write(b"b" * 1200)  # sectors 0 (shared with the durable bytes), 1 and 2
    first, second, third = disk.pending_units
    assert disk.crash(OneLost(second)).read(FILE) == b"a" * 100 + b"b" * 412 + bytes(512) + b"b" * 276
    assert disk.crash(OneLost(first)).read(FILE) == b"a" * 100 + bytes(412) + b"b" * 788
    assert disk.crash(TornAt(third, grown=False)).read(FILE) == b"a" * 100 + b"b" * 924
    assert disk.crash(TornAt(third, grown=True)).read(FILE) == b"a" * 100 + b"b" * 924 + bytes(276)


def test_sector_written_twice_may_be_left_as_the_first_write_had_it() -> None:
    disk = FaultFS()
    file = durable_file(disk, b"")
    file.write(b"1" * 100)
    file.write(b"2" * 100)
    assert disk.crash(OneLost(disk.pending_units[1])).read(FILE) == b"1" * 100 + bytes(100)
    assert disk.crash(OneLost(disk.pending_units[0])).read(FILE) == b"1" * 100 + b"2" * 100


def test_rename_is_lost_or_kept_as_a_whole() -> None:
    disk = FaultFS()
    durable_file(disk, b"old").close()
    durable_file(disk, b"new", ROOT / "f.tmp").close()
    disk.replace(ROOT / "f.tmp", FILE)
    lost, kept = disk.crash(AllLost()), disk.crash(AllKept())
    assert (lost.names(ROOT), lost.read(FILE)) == (["f", "f.tmp"], b"old")
    assert (kept.names(ROOT), kept.read(FILE)) == (["f"], b"new")


def test_swap_of_two_names_is_lost_or_kept_as_a_whole() -> None:
    disk = FaultFS()
    durable_file(disk, b"f").close()
    durable_file(disk, b"g", ROOT / "g").close()
    disk.exchange(FILE, ROOT / "g")
    lost, kept = disk.crash(AllLost()), disk.crash(AllKept())
    assert (lost.read(FILE), lost.read(ROOT / "g")) == (b"f", b"g")
    assert (kept.read(FILE), kept.read(ROOT / "g")) == (b"g", b"f")


def test_removal_needs_a_directory_sync_and_hard_links_share_bytes() -> None:
    disk = FaultFS()
    file = durable_file(disk, b"a")
    disk.link(FILE, ROOT / "g")
    disk.remove(FILE)
    file.write(b"b")
    assert disk.read(ROOT / "g") == b"ab"
    assert disk.crash(AllLost()).names(ROOT) == ["f"]
    disk.sync_directory(ROOT)
    assert disk.crash(AllLost()).names(ROOT) == ["g"]


def test_directory_whose_name_is_lost_takes_its_files_along() -> None:
    disk = FaultFS()
    disk.make_directory(ROOT / "d")
    durable_file(disk, b"a", ROOT / "d" / "f")
    assert disk.crash(AllLost()).names(ROOT) == []
    disk.sync_directory(ROOT)
    assert disk.crash(AllLost()).read(ROOT / "d" / "f") == b"a"


def test_after_a_failed_fsync_the_next_one_reports_success_without_the_bytes() -> None:
    outcomes = set()
    for seed in range(40):
        disk = FaultFS(seed=seed)
        file = durable_file(disk, b"a" * 512)
        file.write(b"b" * 512)
        disk.faults = [Fault(len(disk.calls), "error")]
        with pytest.raises(OSError, match="Input/output error"):
            file.sync()
        file.write(b"c" * 512)
        file.sync()
        outcomes.add(disk.crash(AllLost()).read(FILE)[512:1024])
    assert outcomes == {b"b" * 512, bytes(512)}


def test_power_cut_ends_every_later_call() -> None:
    disk = FaultFS()
    file = disk.create(FILE)
    disk.faults = [Fault(1, "cut")]
    with pytest.raises(PowerCut):
        file.write(b"a")
    with pytest.raises(PowerCut):
        disk.names(ROOT)


def test_errors_strike_once_or_for_ever_and_short_writes_take_a_part() -> None:
    disk = FaultFS()
    file = disk.create(FILE)
    disk.faults = [Fault(1, "short"), Fault(2, "error", errno.ENOSPC)]
    assert 0 < file.write(b"a" * 100) < 100
    with pytest.raises(OSError, match="No space"):
        file.write(b"a")
    assert file.write(b"a") == 1
    disk.faults = [Fault(0, "error", lasting=True, calls=frozenset({"sync"}))]
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            file.sync()
    disk.heal()
    file.sync()


def test_rename_may_report_an_error_and_still_have_happened() -> None:
    disk = FaultFS()
    disk.create(ROOT / "a").close()
    disk.faults = [Fault(1, "late-error")]
    with pytest.raises(OSError, match="Input/output"):
        disk.replace(ROOT / "a", FILE)
    assert disk.names(ROOT) == ["f"]


def test_process_death_keeps_the_page_cache_and_frees_the_lock() -> None:
    disk = FaultFS()
    disk.lock(ROOT / "LOCK")
    disk.create(FILE).write(b"a")
    disk.kill_process()
    disk.lock(ROOT / "LOCK")
    assert disk.read(FILE) == b"a"
    assert not disk.crash(AllLost()).exists(FILE)


def test_same_calls_and_same_seed_give_the_same_disk() -> None:
    def run() -> bytes:
        disk = FaultFS(seed=3)
        file = durable_file(disk, b"")
        file.write(bytes(range(256)) * 20)
        return disk.crash(RandomLoss(9)).read(FILE)

    assert run() == run()


@pytest.mark.parametrize("text", ["all-kept", "all-lost", "one-lost:3", "torn:4", "torn-short:4", "random:9"])
def test_every_loss_has_a_name_that_brings_it_back(text: str) -> None:
    disk = FaultFS()
    durable_file(disk, b"").write(bytes(range(256)) * 20)
    assert disk.crash(loss_named(text)).read(FILE) == disk.crash(loss_named(text)).read(FILE)


def _exercise(disk: FileSystem, root: Path) -> list[object]:
    """Observations that must be the same on the real disk and in the model."""
    seen: list[object] = []

    def tell(action: Callable[[], object]) -> None:
        try:
            seen.append(action())
        except OSError as error:
            seen.append(type(error).__name__)

    disk.make_directory(root / "d")
    disk.make_directory(root / "d")
    file = disk.create(root / "a")
    write_all(file, b"hello")
    file.sync(data_only=False)
    file.close()
    file.close()
    tell(lambda: disk.create(root / "a"))
    tell(lambda: disk.read(root / "a", limit=2))
    tell(lambda: bytes(disk.map(root / "a")))
    tell(lambda: disk.read(root / "none"))
    tell(lambda: disk.names(root / "none"))
    tell(lambda: disk.make_directory(root / "none" / "d"))
    tell(lambda: disk.make_directory(root / "a"))
    tell(lambda: disk.link(root / "a", root / "d" / "b"))
    tell(lambda: disk.link(root / "a", root / "d" / "b"))
    tell(lambda: disk.remove_directory(root / "d"))
    tell(lambda: disk.replace(root / "a", root / "c"))
    tell(lambda: disk.replace(root / "a", root / "c"))
    tell(lambda: disk.exchange(root / "c", root / "d"))
    tell(lambda: disk.read(root / "d"))
    tell(lambda: disk.exchange(root / "c", root / "d"))
    tell(lambda: disk.exchange(root / "c", root / "none"))
    tell(lambda: disk.remove(root / "a"))
    tell(lambda: disk.size(root / "c"))
    tell(lambda: [disk.exists(root / name) for name in ("a", "c", "d")])
    tell(lambda: disk.names(root))
    tell(lambda: disk.sync_directory(root))
    tell(lambda: disk.remove(root / "d" / "b"))
    tell(lambda: disk.remove_directory(root / "d"))
    tell(lambda: disk.names(root))
    return seen


def test_model_answers_as_the_real_disk_does(tmp_path: Path) -> None:
    assert _exercise(FaultFS(), ROOT) == _exercise(LocalFileSystem(), tmp_path)
