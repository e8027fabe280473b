"""The power fails, or the disk refuses, at every call of create, restore and prune: nothing half-done is believed."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from tests.backup.played import BACKUPS, DATA, Played, operations, read_files
from tests.crash.clock import FakeClock
from tests.crash.disk import AllKept, AllLost, Loss, OneLost, RandomLoss, TornAt
from tests.crash.fault_filesystem import CHANGES, Fault, FaultFS, PowerCut, lasting
from tests.crash.oracle import State

from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.catalog import read_catalog
from pykyro.backup.history.retention import Retention, prune_backups
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_backup
from pykyro.backup.restore import STAGING_SUFFIX, restore
from pykyro.backup.target.target import DirectoryTarget
from pykyro.backup.verify import verify_backup
from pykyro.model.errors import KyroError

Action = Callable[[FaultFS], object]


@cache
def past() -> Played:
    """A stopped database with a full backup, an incremental one, and writes after both."""
    played = Played()
    for number, operation in enumerate(operations(90, seed=5, ids=20), 1):
        played.write(operation)
        if number in (30, 60, 75):
            assert played.engine is not None
            played.engine.flush()
        if number in (35, 65):
            played.back_up(incremental=number == 65)
    played.close()
    return played


def create(disk: FaultFS) -> None:
    clock = FakeClock(wall_s=1_800_000_000)
    create_backup(disk, DATA, DirectoryTarget(disk, BACKUPS), clock, CreateOptions(incremental=True))


def restore_first(disk: FaultFS) -> None:
    target = DirectoryTarget(disk, BACKUPS)
    plan = plan_backup(read_catalog(target), past().backups[0].id)
    restore(disk, DATA, Store(target), plan, FakeClock(), allow_clear=True)


def prune(disk: FaultFS) -> None:
    prune_backups(DirectoryTarget(disk, BACKUPS), Retention(1, 0, 0, 0), FakeClock(wall_s=1_800_000_001))


def fresh_disk() -> FaultFS:
    return past().disk.crash(AllKept())


def with_third_backup() -> FaultFS:
    """The third is full, so that the first two may go."""
    disk = fresh_disk()
    clock = FakeClock(wall_s=1_800_000_000)
    create_backup(disk, DATA, DirectoryTarget(disk, BACKUPS), clock, CreateOptions())
    return disk.crash(AllKept())


def indices(action: Action, start: Callable[[], FaultFS]) -> list[int]:
    """Every call of the action that changes the disk."""
    disk = start()
    action(disk)
    return [at for at, call in enumerate(disk.calls) if call.name in CHANGES]


def crashes(action: Action, start: Callable[[], FaultFS]) -> Iterator[tuple[str, FaultFS]]:
    """The disk after a power cut at every call, with all kinds of loss."""
    for at in indices(action, start):
        disk = start()
        disk.faults = [Fault(at, "cut")]
        with pytest.raises(PowerCut):
            action(disk)
        units = disk.pending_units
        losses: list[Loss] = [AllLost(), AllKept(), RandomLoss(at)]
        losses += [OneLost(unit) for unit in units[-4:]]
        losses += [TornAt(unit, grown=True) for unit in units[-2:]]
        for loss in losses:
            yield f"call {at}, {loss}", disk.crash(loss)


def failures(action: Action, start: Callable[[], FaultFS]) -> Iterator[tuple[str, FaultFS]]:
    """The disk after an error at every call, in the page cache and after a power cut."""
    for at in indices(action, start):
        for fault in (Fault(at, "error", errno.EIO), lasting(Fault(at, "error", errno.ENOSPC))):
            disk = start()
            disk.faults = [fault]
            with contextlib.suppress(OSError, KyroError):
                action(disk)
            disk.heal()
            disk.kill_process()
            yield f"{fault}, then a power cut", disk.crash(RandomLoss(at))
            yield str(fault), disk


@pytest.mark.parametrize("trouble", [crashes, failures])
def test_create_leaves_a_whole_backup_or_none(
    trouble: Callable[[Action, Callable[[], FaultFS]], Iterator[tuple[str, FaultFS]]],
) -> None:
    old = {entry.id for entry in past().backups}
    outcomes = set()
    for what, disk in trouble(create, fresh_disk):
        found = require_good_backups(disk, what)
        assert old <= found, what
        outcomes.add(len(found - old))
        create(disk)
        after = require_good_backups(disk.crash(AllLost()), what)
        assert len(after) == len(found) + 1, what
        assert not [name for name in disk.names(BACKUPS) if name.endswith(".tmp")], what
    assert outcomes == {0, 1}


@pytest.mark.parametrize("trouble", [crashes, failures])
def test_restore_leaves_the_old_directory_or_the_new_one(
    trouble: Callable[[Action, Callable[[], FaultFS]], Iterator[tuple[str, FaultFS]]],
) -> None:
    old, new = read_files(past().disk, DATA), past().state_at(past().backups[0].record.position.lsn)
    assert old != new
    outcomes: list[State] = []
    for what, disk in trouble(restore_first, fresh_disk):
        found = read_files(disk, DATA)
        assert found in (old, new), what
        if found not in outcomes:
            outcomes.append(found)
        restore_first(disk)
        assert read_files(disk, DATA) == new, what
        assert not disk.exists(DATA.with_name(DATA.name + STAGING_SUFFIX)), what
    assert len(outcomes) == 2


@pytest.mark.parametrize("trouble", [crashes, failures])
def test_prune_leaves_every_backup_it_keeps_and_finishes_next_time(
    trouble: Callable[[Action, Callable[[], FaultFS]], Iterator[tuple[str, FaultFS]]],
) -> None:
    newest = max(read_catalog(DirectoryTarget(with_third_backup(), BACKUPS)).ids_taken)
    counts = set()
    for what, disk in trouble(prune, with_third_backup):
        found = require_good_backups(disk, what)
        assert newest in found, what
        counts.add(len(found))
        prune(disk)
        assert require_good_backups(disk, what) == {newest}, what
        assert {name for name in disk.names(BACKUPS) if newest not in name} <= {"LOCK"}, what
    assert counts == {1, 2, 3}


def require_good_backups(disk: FaultFS, what: str) -> set[str]:
    """Every backup the catalog shows must verify, and the newest restore to the state of its position."""
    target = DirectoryTarget(disk, BACKUPS)
    catalog = read_catalog(target)
    assert not catalog.damaged, what
    for entry in catalog.entries:
        verify_backup(target, catalog, entry.id, FakeClock())
    for entry in catalog.entries[:1]:
        plan = plan_backup(catalog, entry.id)
        state = past().state_at(entry.record.position.lsn)
        place = DATA.with_name("tried")
        restore(disk, place, Store(target), plan, FakeClock(), allow_clear=True)
        assert read_files(disk, place) == state, what
    return {entry.id for entry in catalog.entries}
