"""Restoring: what is refused, what is replaced, and what is never followed or left behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tests.backup.played import BACKUPS, DATA, RESTORED, Played, operations, read_files
from tests.crash.clock import FakeClock
from tests.crash.fault_filesystem import CHANGES, FaultFS

from pykyro.backup.archive import writer
from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.directory_swap import ASIDE_SUFFIX, clear_directory, remove_tree
from pykyro.backup.history.catalog import read_catalog
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import RestorePlan, plan_backup, plan_position
from pykyro.backup.restore import STAGING_SUFFIX, describe_restore, restore
from pykyro.backup.target import target as target_module
from pykyro.backup.target.target import DirectoryTarget
from pykyro.backup.verify import check_recovery, verify_backup, verify_deep
from pykyro.model.errors import DataDamaged, DataDirInUse, FailedPrecondition, ResourceExhausted
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.files.lock import lock_directory
from pykyro.storage.manifest import read_manifest, write_manifest
from pykyro.system.clock import SystemClock

from tests.engine.opening import fill, open_small, vectors  # isort: skip


def with_backup(disk: FaultFS | None = None) -> tuple[Played, RestorePlan]:
    """A stopped database, a backup of an earlier state, and the plan to go back there."""
    past = Played(disk=disk or FaultFS())
    for number, operation in enumerate(operations(40, seed=2), 1):
        past.write(operation)
        assert past.engine is not None
        if number in (10, 30):
            past.engine.flush()
        if number == 20:
            past.back_up()
    past.close()
    return past, plan_backup(past.catalog, past.backups[0].id)


def go_back(past: Played, plan: RestorePlan, *, allow_clear: bool = True, place: Path = DATA) -> None:
    restore(past.disk, place, Store(past.target), plan, past.clock, allow_clear=allow_clear)


def require_untouched(past: Played) -> None:
    assert read_files(past.disk, DATA) == past.states[max(past.states)]


def test_directory_that_holds_files_needs_the_word() -> None:
    past, plan = with_backup()
    with pytest.raises(FailedPrecondition, match=r"requires explicit confirmation.*BACKUP_ALLOW_CLEAR=true"):
        go_back(past, plan, allow_clear=False)
    require_untouched(past)
    go_back(past, plan)
    assert read_files(past.disk, DATA) == past.state_at(plan.lsn)


def test_absent_and_empty_directories_need_no_word() -> None:
    past, plan = with_backup()
    go_back(past, plan, allow_clear=False, place=RESTORED)
    past.disk.make_directory(Path("/var/empty"))
    go_back(past, plan, allow_clear=False, place=Path("/var/empty"))
    for place in (RESTORED, Path("/var/empty")):
        assert read_files(past.disk, place) == past.state_at(plan.lsn)
    go_back(past, plan, allow_clear=False, place=Path("/new/below"))


def test_directory_that_a_server_holds_is_refused() -> None:
    past, plan = with_backup()
    past.open()
    with pytest.raises(DataDirInUse):
        go_back(past, plan)
    past.disk.create(DATA / "LOCK").close()
    with pytest.raises(DataDirInUse):
        describe_restore(past.disk, DATA, plan)
    past.close()
    require_untouched(past)


def test_second_restore_of_the_same_directory_is_refused_while_the_first_runs() -> None:
    past, plan = with_backup()
    staging = DATA.with_name(DATA.name + STAGING_SUFFIX)
    past.disk.make_directory(staging)
    lock = lock_directory(past.disk, staging)
    with pytest.raises(DataDirInUse):
        go_back(past, plan)
    lock.release()
    go_back(past, plan)


def test_dry_run_tells_and_changes_nothing() -> None:
    past, plan = with_backup()
    calls = len(past.disk.calls)
    report = describe_restore(past.disk, DATA, plan)
    assert not [call for call in past.disk.calls[calls:] if call.name in CHANGES]
    assert report.lsn == plan.lsn
    assert report.archives == [past.backups[0].id]
    assert report.replaced == past.disk.names(DATA)
    assert describe_restore(past.disk, RESTORED, plan).replaced == []


def test_disk_without_room_is_refused_and_nothing_stays_behind() -> None:
    past, plan = with_backup()
    past.disk.total_bytes = 1000
    with pytest.raises(ResourceExhausted, match="are free"):
        go_back(past, plan)
    require_untouched(past)
    assert past.disk.names(DATA.parent) == [DATA.name]


def test_everything_else_in_the_directory_goes_too() -> None:
    past, plan = with_backup()
    past.disk.make_directory(DATA / "snapshots")
    past.disk.make_directory(DATA / "snapshots" / "20250101T000000Z")
    past.disk.create(DATA / "snapshots" / "20250101T000000Z" / "MANIFEST").close()
    past.disk.create(DATA / "notes").close()
    go_back(past, plan)
    assert set(past.disk.names(DATA)) == {"MANIFEST"} | read_manifest(past.disk, DATA).file_names


def test_position_between_two_frames_cuts_the_log_there() -> None:
    past, _ = with_backup()
    past.back_up()
    first, last = past.backups[1].record.sealed_lsn, past.backups[1].record.position.lsn
    for lsn in range(first, last + 1):
        go_back(past, plan_position(past.catalog, lsn), place=RESTORED)
        assert check_recovery(past.disk, RESTORED).lsn == lsn


def test_tenants_that_came_later_keep_their_numbers() -> None:
    past, _ = with_backup()
    manifest = read_manifest(past.disk, DATA).with_tenants(["early", "late"])
    write_manifest(past.disk, DATA, manifest)
    past.back_up()
    plan = plan_position(past.catalog, past.backups[0].record.position.lsn + 1)
    assert plan.base.id == past.backups[0].id
    go_back(past, plan)
    assert read_manifest(past.disk, DATA).tenants == manifest.tenants != {}


def test_manifest_that_does_not_fit_its_files_is_noticed_before_the_swap() -> None:
    past, plan = with_backup()
    short = plan.base.model_copy(
        update={"files": [f for f in plan.base.files if not f.name.endswith(".rows")]}
    )
    with pytest.raises(DataDamaged, match="the restored directory is damaged"):
        go_back(past, RestorePlan(short, plan.latest, plan.log, plan.lsn))
    with pytest.raises(DataDamaged, match="ends at position"):
        go_back(past, RestorePlan(plan.base, plan.latest, plan.log, plan.lsn + 5))
    require_untouched(past)
    assert past.disk.names(DATA.parent) == [DATA.name]


# --- the swap -------------------------------------------------------------------------------------


class _NoExchange(FaultFS):
    """A file system without renameat2, such as NFS; `refusal` is what it says."""

    refusal = errno.EINVAL

    def exchange(self, one: Path, other: Path) -> None:
        raise OSError(self.refusal, os.strerror(self.refusal), str(other))


def test_two_renames_do_where_names_cannot_be_exchanged() -> None:
    past, plan = with_backup(_NoExchange())
    go_back(past, plan)
    assert read_files(past.disk, DATA) == past.state_at(plan.lsn)
    assert past.disk.names(DATA.parent) == [DATA.name]


def test_directory_that_two_interrupted_renames_left_aside_is_not_lost() -> None:
    past, plan = with_backup(_NoExchange())
    aside = DATA.with_name(DATA.name + ASIDE_SUFFIX)
    past.disk.make_directory(aside)
    with pytest.raises(FailedPrecondition, match=r"data\.replaced exists: a restore was interrupted"):
        go_back(past, plan)
    require_untouched(past)


def test_mounted_directory_is_refused_with_the_way_out() -> None:
    disk = _NoExchange()
    disk.refusal = errno.EBUSY
    past, plan = with_backup(disk)
    with pytest.raises(FailedPrecondition, match="mounted file system"):
        go_back(past, plan)
    require_untouched(past)


def test_old_directory_that_cannot_be_removed_is_reported_and_no_failure() -> None:
    class Stubborn(FaultFS):
        def remove(self, path: Path) -> None:
            if path.name == "stubborn":
                raise PermissionError(errno.EPERM, "Operation not permitted", str(path))
            super().remove(path)

    past, plan = with_backup(Stubborn())
    past.disk.create(DATA / "stubborn").close()
    report = restore(past.disk, DATA, Store(past.target), plan, past.clock, allow_clear=True)
    assert report.leftover == DATA.with_name(DATA.name + STAGING_SUFFIX)
    assert read_files(past.disk, DATA) == past.state_at(plan.lsn)


def test_links_are_removed_and_never_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    inside.mkdir()
    (inside / "to_directory").symlink_to(outside)
    (inside / "to_file").symlink_to(outside / "precious")
    (inside / "to_nothing").symlink_to("nowhere")
    (inside / "below").mkdir()
    (inside / "below" / "up").symlink_to(tmp_path)
    (inside / "keep").write_text("x")
    clear_directory(LocalFileSystem(), inside, keep="keep")
    assert [path.name for path in inside.iterdir()] == ["keep"]
    remove_tree(LocalFileSystem(), inside)
    assert (outside / "precious").read_text() == "x"


def test_real_files_go_there_and_back(tmp_path: Path) -> None:
    """The same on the real file system, with graphs in the segments, and a search through the restored server."""
    data, target = tmp_path / "data", DirectoryTarget(LocalFileSystem(), tmp_path / "backups")
    engine = open_small(data)
    rows = vectors(1500)
    fill(engine, rows)
    engine.flush()
    fill(engine, rows[:100] + 1, first_id=5001)
    create_backup(LocalFileSystem(), data, target, SystemClock(), CreateOptions())
    fill(engine, rows[:50], first_id=9001)
    engine.close()
    catalog = read_catalog(target)
    plan = plan_backup(catalog, catalog.entries[0].id)
    trial = verify_deep(LocalFileSystem(), tmp_path / "scratch", target, catalog, plan.base.id, SystemClock())
    assert (trial.documents, trial.searches) == (1600, 8)
    assert not (tmp_path / "scratch").exists()
    restore(LocalFileSystem(), data, Store(target), plan, SystemClock(), allow_clear=True)
    engine = open_small(data)
    assert engine.stats().documents == 1600
    found = engine.get(5001)
    assert found is not None
    assert found.vector.tobytes() == (rows[0] + 1).tobytes()
    engine.close()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("data")] == ["data"]


def test_files_longer_than_a_piece_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (target_module, writer):
        monkeypatch.setattr(module, "CHUNK_BYTES", 100)
    past, plan = with_backup()
    verify_backup(past.target, past.catalog, plan.base.id, FakeClock())
    go_back(past, plan)
    assert read_files(past.disk, DATA) == past.state_at(plan.lsn)


def test_deep_verification_notices_a_wrong_count() -> None:
    past, _ = with_backup()
    catalog = past.catalog
    entry = catalog.entries[0]
    object.__setattr__(entry, "record", entry.record.model_copy(update={"documents": 999}))
    with pytest.raises(DataDamaged, match="the backup was made of 999"):
        verify_deep(past.disk, RESTORED, past.target, catalog, entry.id, FakeClock())
    assert not past.disk.exists(RESTORED)
    assert BACKUPS.name in past.disk.names(BACKUPS.parent)
