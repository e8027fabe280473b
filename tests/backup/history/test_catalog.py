"""Labels are a convenience: damaged, missing or left over, they never hide a backup or invent one."""

from __future__ import annotations

import json

import pytest
from tests.backup.played import BACKUPS, Played, operations
from tests.crash.clock import FakeClock

from pykyro.backup import filename
from pykyro.backup.history.catalog import read_catalog, summary
from pykyro.backup.verify import verify_backup
from pykyro.model.errors import DataDamaged

KEYS_USERS_KNOW = {
    "id", "timestamp", "backup_type", "size_bytes", "vector_count", "checksum", "parent_id", "description",
}  # fmt: skip


def with_backups() -> Played:
    past = Played()
    for number, operation in enumerate(operations(20, seed=2), 1):
        past.write(operation)
        if number == 10:
            assert past.engine is not None
            past.engine.flush()
            past.back_up()
    past.back_up(incremental=True)
    return past


def write(past: Played, name: str, content: bytes) -> None:
    if past.disk.exists(BACKUPS / name):
        past.disk.remove(BACKUPS / name)
    file = past.disk.create(BACKUPS / name)
    file.write(content)
    file.close()


def test_newest_comes_first_with_the_keys_users_know() -> None:
    past = with_backups()
    shown = [summary(entry) for entry in past.catalog.entries]
    assert [item["id"] for item in shown] == [entry.id for entry in reversed(past.backups)]
    for item, entry in zip(shown, past.catalog.entries, strict=True):
        assert set(item) >= KEYS_USERS_KNOW
        assert item["size_bytes"] == past.disk.size(BACKUPS / filename.archive(entry.id))
    assert [item["backup_type"] for item in shown] == ["Incremental", "Full"]
    assert shown[0]["chain"] == [entry.id for entry in past.backups]


def test_label_has_the_same_keys_at_its_top() -> None:
    past = with_backups()
    label = json.loads(past.disk.read(BACKUPS / filename.entry(past.backups[0].id)))["record"]
    assert {key: label[key] for key in KEYS_USERS_KNOW} == {
        key: value for key, value in summary(past.catalog.entries[1]).items() if key in KEYS_USERS_KNOW
    }


def test_every_flipped_byte_of_a_label_is_noticed_and_the_archive_asked_instead() -> None:
    past = with_backups()
    name = filename.entry(past.backups[0].id)
    for at in range(0, past.disk.size(BACKUPS / name), 7):
        past.disk.flip(BACKUPS / name, at * 8 + at % 8)
        catalog = read_catalog(past.target)
        assert any(name in line and "damaged" in line for line in catalog.warnings), f"byte {at}"
        assert [entry.record for entry in catalog.entries] == [e.record for e in reversed(past.backups)]
        past.disk.flip(BACKUPS / name, at * 8 + at % 8)
    assert past.catalog.warnings == []


def test_missing_label_is_made_again_by_verify() -> None:
    past = with_backups()
    backup_id = past.backups[0].id
    past.disk.remove(BACKUPS / filename.entry(backup_id))
    assert past.catalog.find(backup_id).digest == ""
    verify_backup(past.target, past.catalog, backup_id, FakeClock())
    assert past.catalog.find(backup_id).digest == past.backups[0].digest
    assert past.catalog.find(backup_id).verified_us > 0


def test_label_of_another_backup_is_not_believed() -> None:
    past = with_backups()
    other = past.disk.read(BACKUPS / filename.entry(past.backups[1].id))
    write(past, filename.entry(past.backups[0].id), other)
    catalog = read_catalog(past.target)
    assert "belongs to" in catalog.warnings[0]
    assert [entry.record for entry in catalog.entries] == [e.record for e in reversed(past.backups)]


def test_label_without_an_archive_is_no_backup() -> None:
    past = with_backups()
    past.disk.remove(BACKUPS / filename.archive(past.backups[0].id))
    catalog = read_catalog(past.target)
    assert [entry.id for entry in catalog.entries] == [past.backups[1].id]
    assert "has no archive" in catalog.warnings[0]
    assert catalog.restorable() == []


def test_archive_that_was_cut_is_no_backup() -> None:
    past = with_backups()
    name = filename.archive(past.backups[0].id)
    write(past, name, past.disk.read(BACKUPS / name)[:-512])
    catalog = read_catalog(past.target)
    assert catalog.damaged == [past.backups[0].id]
    assert f"{past.backups[0].size_bytes} were written" in catalog.warnings[0]
    assert catalog.restorable() == []


def test_archive_of_the_right_length_with_other_bytes_is_noticed_by_verify() -> None:
    past = with_backups()
    name = filename.archive(past.backups[0].id)
    past.disk.flip(BACKUPS / name, 8 * (past.disk.size(BACKUPS / name) - 1100))
    with pytest.raises(DataDamaged):
        verify_backup(past.target, past.catalog, past.backups[0].id, FakeClock())


def test_target_that_does_not_exist_has_no_backups_and_stays_away() -> None:
    past = Played()
    assert read_catalog(past.target).entries == []
    assert not past.disk.exists(BACKUPS)
