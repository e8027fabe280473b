"""Making backups: what goes in, what is left to earlier ones, and a database that does not stand still."""

from __future__ import annotations

import pytest
from tests.backup.played import BACKUPS, DATA, DIMENSION, Played, operations, played, write
from tests.crash.clock import FakeClock
from tests.crash.disk import AllLost
from tests.crash.fault_filesystem import FaultFS

from pykyro.backup import filename
from pykyro.backup.archive.reader import open_archive
from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.timeline import plan_backup
from pykyro.backup.target.target import DirectoryTarget
from pykyro.backup.verify import verify_backup
from pykyro.engine.engine import open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions
from pykyro.model.errors import (
    DataDamaged,
    DataDirInUse,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
)
from pykyro.storage.manifest import read_manifest
from pykyro.storage.wal.log import SyncPolicy


def member_names(past: Played, at: int = -1) -> list[str]:
    return sorted(open_archive(past.target, past.backups[at].id).record.members)


def require_good(past: Played) -> None:
    """Every backup verifies, and restores to the state of its position."""
    for entry in past.catalog.entries:
        verify_backup(past.target, past.catalog, entry.id, FakeClock())
        plan = plan_backup(past.catalog, entry.id)
        assert past.restored(plan) == past.state_at(entry.record.position.lsn)


# --- identity and refusals ------------------------------------------------------------------------


def test_ids_are_utc_stamps_and_a_number_when_a_second_has_several() -> None:
    past = Played(clock=FakeClock(wall_s=1_748_779_200, tick_us=1))
    past.write(next(iter(operations(1, seed=0))))
    assert [past.back_up().id for _ in range(3)] == [
        "20250601T120000Z",
        "20250601T120000Z-2",
        "20250601T120000Z-3",
    ]
    assert [entry.id for entry in past.catalog.entries] == [
        "20250601T120000Z-3", "20250601T120000Z-2", "20250601T120000Z",
    ]  # fmt: skip


def test_directory_without_a_database_is_refused_and_nothing_is_created() -> None:
    disk = FaultFS()
    with pytest.raises(FailedPrecondition, match="No recoverable state found"):
        create_backup(disk, DATA, DirectoryTarget(disk, BACKUPS), FakeClock(), CreateOptions())
    assert not disk.exists(BACKUPS)


def test_incremental_without_anything_to_build_on_is_refused() -> None:
    past = played(3)
    with pytest.raises(FailedPrecondition, match="Reference backup ID required"):
        past.back_up(incremental=True)
    with pytest.raises(InvalidArgument, match="Backup 20200101T000000Z not found"):
        past.back_up(incremental=True, reference="20200101T000000Z")
    with pytest.raises(InvalidArgument, match="--reference needs --incremental"):
        past.back_up(reference="20200101T000000Z")
    assert past.catalog.entries == []


def test_reference_whose_own_parent_is_gone_is_refused() -> None:
    past = played(10, flush_at=(5,))
    past.back_up()
    past.back_up(incremental=True)
    past.target.remove(filename.archive(past.backups[0].id))
    past.target.remove(filename.entry(past.backups[0].id))
    with pytest.raises(FailedPrecondition, match="it needs"):
        past.back_up(incremental=True, reference=past.backups[1].id)
    instead = past.back_up(incremental=True)
    assert instead.record.backup_type == "Full"
    assert instead.record.full_because.startswith(f"backup {past.backups[1].id} cannot be built on: it needs")


def test_second_writer_is_refused_while_the_first_holds_the_target() -> None:
    past = played(3)
    lock = past.target.lock()
    with pytest.raises(DataDirInUse, match="is changing the backups"):
        past.back_up()
    lock.release()
    past.back_up()


def test_target_without_room_is_refused_before_anything_is_written() -> None:
    past = played(3)
    past.disk.total_bytes = 1000
    with pytest.raises(ResourceExhausted, match="prune"):
        past.back_up()
    assert [name for name in past.disk.names(BACKUPS) if name != "LOCK"] == []


def test_damaged_segment_is_refused_by_name_and_leaves_no_archive() -> None:
    past = played(10, flush_at=(5,))
    (rows,) = (name for name in past.disk.names(DATA) if name.endswith(".rows"))
    past.disk.flip(DATA / rows, 8 * 70)
    with pytest.raises(DataDamaged, match=rows):
        past.back_up()
    assert [name for name in past.disk.names(BACKUPS) if name != "LOCK"] == []


def test_damaged_log_is_refused_by_name() -> None:
    past = played(10)
    past.close()
    (wal,) = (name for name in past.disk.names(DATA) if name.endswith(".wal"))
    past.disk.flip(DATA / wal, 8 * 200)
    with pytest.raises(DataDamaged, match=wal):
        past.back_up()


# --- contents -------------------------------------------------------------------------------------


def test_nothing_but_the_database_goes_in() -> None:
    past = played(10, flush_at=(5,))
    for name in ("api_keys.yaml", "config.yaml", "tenant_usage.state", "wal_000000000999.wal", "x.tmp"):
        file = past.disk.create(DATA / name)
        file.write(b"secret")
        file.close()
    past.back_up()
    names = member_names(past)
    assert "tenant_usage.state" in names
    manifest = read_manifest(past.disk, DATA)
    assert set(names) <= {"MANIFEST", "tenant_usage.state"} | manifest.file_names


def test_full_backup_holds_no_log_that_the_segments_hold() -> None:
    past = played(20, flush_at=(5, 10, 15))
    past.back_up()
    assert [name for name in member_names(past) if name.startswith("wal")] == [
        entry.name for entry in read_manifest(past.disk, DATA).wal if entry.last_lsn is None
    ]


def test_incremental_costs_what_changed() -> None:
    past = played(40, flush_at=(20,))
    past.back_up()
    past.back_up(incremental=True)
    assert member_names(past) == ["MANIFEST"]
    write(past, 1)
    past.back_up(incremental=True)
    (piece,) = (name for name in member_names(past) if name != "MANIFEST")
    assert piece.count(".") == 2, "the rest of a segment of which the beginning is there"
    require_good(past)


def test_incremental_builds_on_the_reference_alone() -> None:
    past = played(20, flush_at=(10,))
    past.back_up()
    write(past, 10, seed=5)
    past.back_up(incremental=True)
    write(past, 10, seed=6)
    past.back_up(incremental=True, reference=past.backups[0].id)
    assert past.backups[2].record.needs == {past.backups[0].id}
    assert past.backups[2].record.continues == past.backups[1].id
    require_good(past)


def test_full_backup_needs_no_other_and_yet_continues_the_log() -> None:
    past = played(20, flush_at=(10,))
    past.back_up()
    write(past, 20, seed=5, flush_at=(15,))
    past.back_up()
    record = past.backups[1].record
    assert record.needs == frozenset()
    assert record.continues == past.backups[0].id
    assert record.log[0].base_lsn <= past.backups[0].record.position.lsn + 1 < record.sealed_lsn
    past.target.remove(filename.archive(past.backups[0].id))
    past.target.remove(filename.entry(past.backups[0].id))
    require_good(past)


def test_log_that_was_not_retained_is_missed_and_nothing_else() -> None:
    past = Played(retention=0)
    write(past, 20, flush_at=(10,))
    past.back_up()
    write(past, 20, seed=5, flush_at=(5, 15))
    past.back_up(incremental=True)
    record = past.backups[1].record
    assert record.continues is None
    assert record.log[0].base_lsn == record.sealed_lsn + 1
    require_good(past)


def test_stopped_database_is_backed_up_with_the_seal_at_its_end() -> None:
    past = played(10, flush_at=(5,))
    past.close()
    past.back_up()
    assert past.backups[0].record.position.lsn == max(past.states) + 1
    require_good(past)


def test_torn_tail_of_a_database_that_died_is_cut() -> None:
    past = played(10)
    past.kill()
    (wal,) = (name for name in past.disk.names(DATA) if name.endswith(".wal"))
    content = past.disk.read(DATA / wal)
    past.disk.remove(DATA / wal)
    file = past.disk.create(DATA / wal)
    file.write(content[:-40])
    file.close()
    past.back_up()
    assert past.backups[0].record.position.lsn == max(past.states) - 1
    require_good(past)


def test_empty_database_is_backed_up_and_restored() -> None:
    past = Played()
    past.open()
    past.back_up()
    past.close()
    past.back_up(incremental=True)
    assert [entry.record.documents for entry in past.backups] == [0, 0]
    require_good(past)


def test_label_counts_live_documents_at_its_position() -> None:
    past = played(60, flush_at=(20, 40))
    past.back_up()
    assert past.backups[0].record.documents == len(past.states[max(past.states)])


# --- lines of writes ------------------------------------------------------------------------------


def test_log_lost_to_a_power_cut_is_not_continued() -> None:
    """The backup saw frames that were never synced; their numbers are given out again for other writes."""
    past = Played()
    past.write(next(iter(operations(1, seed=1))))
    past.close()
    unsynced = EngineOptions(dimension=DIMENSION, background=False, sync=SyncPolicy.NONE)
    engine = open_engine(
        DATA, unsynced, filesystem=past.disk, clock=past.clock, builder=InlineBuilder(past.disk)
    )
    engine.commit(list(operations(20, seed=2)))
    seen = past.back_up()
    assert seen.record.position.lsn > 10
    past.disk = past.disk.crash(AllLost())
    past.engine = None
    past.states = {lsn: state for lsn, state in past.states.items() if lsn <= 1}
    write(past, 20, seed=3)
    past.back_up(incremental=True)
    assert past.backups[1].record.continues is None
    assert past.backups[1].record.position.lsn > seen.record.position.lsn
    plan = plan_backup(past.catalog, past.backups[1].id)
    assert past.restored(plan) == past.states[max(past.states)]


def test_log_that_recovery_wrote_anew_is_continued() -> None:
    """After a kill the unsealed segment is copied under another name and salt; the frames are the same."""
    past = played(10)
    past.back_up()
    past.kill()
    write(past, 10, seed=5, flush_at=(5,))
    past.back_up(incremental=True)
    assert past.backups[1].record.continues == past.backups[0].id
    require_good(past)
