"""Pruning a real target: what goes, what is left alone, and what a dry run touches."""

from __future__ import annotations

import pytest
from tests.backup.played import BACKUPS, Played, operations
from tests.crash.clock import FakeClock
from tests.crash.fault_filesystem import CHANGES

from pykyro.backup import filename
from pykyro.backup.history.retention import Retention, prune_backups
from pykyro.model.errors import DataDirInUse

LAST_ONLY = Retention(0, 0, 0, 0)


def with_backups(count: int) -> Played:
    past = Played()
    for operation in operations(count, seed=1):
        past.write(operation)
        past.back_up()
    return past


def test_pruned_backups_are_gone_with_their_labels_oldest_first() -> None:
    past = with_backups(3)
    ids = [entry.id for entry in past.backups]
    assert prune_backups(past.target, LAST_ONLY, past.clock) == ids[:2]
    assert sorted(past.target.sizes()) == [filename.entry(ids[2]), filename.archive(ids[2])]
    assert prune_backups(past.target, LAST_ONLY, past.clock) == []


def test_dry_run_says_the_same_and_changes_nothing() -> None:
    past = with_backups(3)
    calls = len(past.disk.calls)
    said = prune_backups(past.target, LAST_ONLY, past.clock, dry_run=True)
    assert not [call for call in past.disk.calls[calls:] if call.name in CHANGES]
    assert said == prune_backups(past.target, LAST_ONLY, past.clock)


def test_files_of_others_and_damaged_archives_are_left_alone() -> None:
    past = with_backups(2)
    for name in ("notes.txt", "backup_old.tar", "backup_20200101T000000Z.tar"):
        file = past.disk.create(BACKUPS / name)
        file.write(b"not ours, or not whole")
        file.close()
    prune_backups(past.target, LAST_ONLY, past.clock)
    assert {"notes.txt", "backup_old.tar", "backup_20200101T000000Z.tar"} <= set(past.disk.names(BACKUPS))


def test_labels_without_archives_and_leftovers_go() -> None:
    past = with_backups(2)
    past.disk.remove(BACKUPS / filename.archive(past.backups[0].id))
    past.disk.create(BACKUPS / "backup_20200101T000000Z.tar.tmp").close()
    assert prune_backups(past.target, LAST_ONLY, past.clock) == []
    ours = {filename.entry(past.backups[1].id), filename.archive(past.backups[1].id)}
    assert set(past.disk.names(BACKUPS)) == ours


def test_backup_whose_label_is_gone_is_pruned_like_any_other() -> None:
    past = with_backups(2)
    past.disk.remove(BACKUPS / filename.entry(past.backups[0].id))
    assert prune_backups(past.target, LAST_ONLY, past.clock) == [past.backups[0].id]


def test_prune_is_refused_while_a_backup_is_being_made() -> None:
    past = with_backups(2)
    lock = past.target.lock()
    with pytest.raises(DataDirInUse):
        prune_backups(past.target, LAST_ONLY, FakeClock())
    lock.release()
