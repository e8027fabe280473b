"""Making backups: what goes in, what is left to earlier ones, and a database that does not stand still."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest
from tests.backup.played import BACKUPS, DATA, DIMENSION, Played, operations
from tests.crash.checker import read_state
from tests.crash.clock import FakeClock
from tests.crash.disk import AllKept, AllLost
from tests.crash.fault_filesystem import FaultFS
from tests.engine.opening import fill, open_small, vectors

from kyrodb.backup import filename
from kyrodb.backup.archive_reader import open_archive
from kyrodb.backup.catalog import read_catalog
from kyrodb.backup.create import CreateOptions, create_backup
from kyrodb.backup.recovered import Recovered
from kyrodb.backup.restore import restore
from kyrodb.backup.source import capture
from kyrodb.backup.store import Store
from kyrodb.backup.target import DirectoryTarget
from kyrodb.backup.timeline import plan_backup
from kyrodb.backup.trial import try_recovery
from kyrodb.backup.verify import verify_backup
from kyrodb.clock import SystemClock
from kyrodb.engine.builder import InlineBuilder
from kyrodb.engine.engine import open_engine
from kyrodb.engine.options import EngineOptions
from kyrodb.errors import DataDamaged, DataDirInUse, FailedPrecondition, InvalidArgument, ResourceExhausted
from kyrodb.storage import filename as data_filename
from kyrodb.storage.filesystem import LocalFileSystem
from kyrodb.storage.log import SyncPolicy
from kyrodb.storage.manifest import Manifest, read_manifest, write_manifest


def played(writes: int, *, flush_at: tuple[int, ...] = ()) -> Played:
    past = Played()
    write(past, writes, flush_at=flush_at)
    return past


def write(past: Played, writes: int, *, seed: int = 4, flush_at: tuple[int, ...] = ()) -> None:
    for number, operation in enumerate(operations(writes, seed=seed, ids=12), 1):
        past.write(operation)
        if number in flush_at:
            assert past.engine is not None
            past.engine.flush()


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
    with pytest.raises(FailedPrecondition, match="Reference backup ID required"):
        past.back_up(incremental=True)


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


# --- a database that does not stand still ---------------------------------------------------------


class _Vanishing(FaultFS):
    """Removes the mapped file's directory entry just before it is opened, once: a merge in the meantime."""

    meanwhile = staticmethod(lambda: None)

    def map(self, path: Path) -> memoryview:
        if path.name.endswith(".rows"):
            happen, self.meanwhile = self.meanwhile, lambda: None
            happen()
        return super().map(path)


def test_files_that_a_merge_takes_away_meanwhile_are_no_trouble() -> None:
    past = Played(disk=_Vanishing())
    write(past, 30, flush_at=(10, 20))
    engine = past.engine
    assert engine is not None
    before = read_manifest(past.disk, DATA)

    def merge() -> None:
        while engine.maintain():
            pass

    past.disk.meanwhile = merge  # type: ignore[attr-defined]
    source = capture(past.disk, DATA, 0)
    assert source.manifest.segments == read_manifest(past.disk, DATA).segments != before.segments


def test_file_that_is_really_missing_is_named() -> None:
    past = played(10, flush_at=(5,))
    (rows,) = (name for name in past.disk.names(DATA) if name.endswith(".rows"))
    past.disk.remove(DATA / rows)
    with pytest.raises(DataDamaged, match=f"{rows}.*is missing"):
        past.back_up()


def test_tenant_numbered_between_manifest_and_log_is_in_the_backup() -> None:
    past = played(10, flush_at=(5,))
    manifest = read_manifest(past.disk, DATA)

    class Numbering(FaultFS):
        def map(self, path: Path) -> memoryview:
            if path.name.endswith(".wal"):
                write_manifest(self, DATA, manifest.with_tenants(["late"]))
            return super().map(path)

    disk = Numbering(past.disk.crash(AllKept()).root)
    source = capture(disk, DATA, 0)
    assert "late" in source.manifest.tenants


def test_backups_of_a_database_under_load_are_states_it_really_had(tmp_path: Path) -> None:
    """Real threads, real files, sealing and merging in the background: document n is written after n - 1."""
    data, target = tmp_path / "data", DirectoryTarget(LocalFileSystem(), tmp_path / "backups")
    engine = open_small(data, background=True, hot_rows_max=40)
    rows = vectors(1000)
    stop = threading.Event()

    def load() -> None:
        for at in itertools.cycle(range(0, len(rows), 4)):
            if stop.is_set():
                return
            fill(engine, rows[at : at + 4], first_id=engine.stats().documents + 1)

    writer = threading.Thread(target=load)
    writer.start()
    entries = []
    try:
        for number in range(12):
            options = CreateOptions(incremental=number not in (0, 7))
            entries.append(create_backup(LocalFileSystem(), data, target, SystemClock(), options))
            sealed = engine.stats().hot_flushes
            while engine.stats().hot_flushes < sealed + 2:
                time.sleep(0.001)
    finally:
        stop.set()
        writer.join()
        engine.close()
    catalog = read_catalog(target)
    for number, entry in enumerate(reversed(catalog.entries)):
        place = tmp_path / f"restored-{number}"
        restore(
            LocalFileSystem(),
            place,
            Store(target),
            plan_backup(catalog, entry.id),
            SystemClock(),
            allow_clear=False,
        )
        assert try_recovery(LocalFileSystem(), place).documents == entry.record.documents
        ids = sorted(document.doc_id for document in Recovered(LocalFileSystem(), place).documents())
        assert ids == list(range(1, len(ids) + 1)), "a later write is there and an earlier one is not"
    counts = [entry.record.documents for entry in entries]
    assert counts == sorted(set(counts))
    assert len({entry.record.sealed_lsn for entry in entries}) > 6


def test_restored_database_goes_on_under_a_history_of_its_own() -> None:
    past = played(20, flush_at=(10,))
    past.back_up()
    past.close()
    plan = plan_backup(past.catalog, past.backups[0].id)
    restore(past.disk, DATA, Store(past.target), plan, past.clock, allow_clear=True)
    before: Manifest = read_manifest(past.disk, DATA)
    assert before.history != past.backups[0].record.history
    assert data_filename.largest_number(past.disk.names(DATA)) < before.next_number
    past.states = {lsn: state for lsn, state in past.states.items() if lsn <= plan.lsn}
    write(past, 10, seed=8)
    assert past.engine is not None
    assert read_state(past.engine) == past.states[max(past.states)]
    past.back_up(incremental=True)
    record = past.backups[1].record
    assert record.needs == {past.backups[0].id}, "the segments are the same"
    assert record.continues is None
    assert past.restored(plan_backup(past.catalog, record.id)) == past.states[max(past.states)]
