"""A view of a database that does not stand still, and backups of it under load."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest
from tests.backup.played import DATA, Played, operations, played, write
from tests.crash.checker import read_state
from tests.crash.disk import AllKept
from tests.crash.fault_filesystem import FaultFS
from tests.engine.opening import open_small, put, vectors
from tests.patience import PATIENCE_S
from tests.regress.test_storage import fail_next

from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.catalog import read_catalog
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_backup
from pykyro.backup.offline_reader import OfflineReader
from pykyro.backup.restore import restore
from pykyro.backup.source.source import capture
from pykyro.backup.target.target import DirectoryTarget
from pykyro.backup.verify import check_recovery
from pykyro.engine.engine import Engine
from pykyro.model.errors import DataDamaged, WriteFailed
from pykyro.storage import filename as data_filename
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import Manifest, read_manifest, write_manifest
from pykyro.system.clock import SystemClock


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


def with_refused_write(past: Played) -> None:
    """The disk takes the bytes of a write and fails its fsync: the writer is refused, the bytes can be seen."""
    disk, engine = past.disk, past.engine
    assert engine is not None
    (operation,) = operations(1, seed=77)
    fail_next(disk, "sync")
    with pytest.raises(WriteFailed):
        engine.write(operation)
    disk.heal()


def move_on(past: Played) -> None:
    """The breaker's time is over: the log goes on in a new segment, the old one ends before the refused write."""
    past.clock.advance(61)
    write(past, 5, seed=8)


def test_refused_write_that_a_backup_saw_is_not_continued() -> None:
    past = played(10, flush_at=(5,))
    with_refused_write(past)
    past.back_up()
    assert past.backups[0].record.position.lsn == max(past.states) + 1
    move_on(past)
    past.back_up(incremental=True)
    record = past.backups[1].record
    assert record.continues is None
    assert past.restored(plan_backup(past.catalog, record.id)) == past.states[max(past.states)]


def test_segment_that_ends_early_meanwhile_is_taken_to_its_end_alone() -> None:
    class Moving(FaultFS):
        meanwhile = staticmethod(lambda: None)

        def map(self, path: Path) -> memoryview:
            content = super().map(path)
            if path.name.endswith(".wal"):
                happen, self.meanwhile = self.meanwhile, lambda: None
                happen()
            return content

    past = Played(disk=Moving())
    write(past, 10, flush_at=(5,))
    acknowledged = max(past.states)
    with_refused_write(past)
    past.disk.meanwhile = lambda: move_on(past)  # type: ignore[attr-defined]
    assert capture(past.disk, DATA, 0).log.position.lsn == acknowledged


class _Load:
    """A thread that writes document n after document n - 1, as many as it is allowed to."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rows = vectors(1000)
        self._allowed = threading.Semaphore(0)
        self._over = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def allow(self, documents: int) -> None:
        self._allowed.release(documents)

    def require_seal_after(self, documents: int) -> None:
        """Return when something was sealed after so many more documents were allowed."""
        sealed = self._engine.stats().hot_flushes
        self.allow(documents)
        deadline_s = time.monotonic() + PATIENCE_S
        while self._engine.stats().hot_flushes == sealed:
            assert self._failure is None, self._failure
            assert time.monotonic() < deadline_s, "nothing was sealed"
            time.sleep(0.001)

    def stop(self) -> None:
        self._over = True
        self.allow(1)
        self._thread.join()
        assert self._failure is None, self._failure

    def _run(self) -> None:
        try:
            for doc_id in itertools.count(1):
                self._allowed.acquire()
                if self._over:
                    return
                self._engine.write(put(doc_id, self._rows[doc_id % len(self._rows)]))
        except BaseException as failure:
            self._failure = failure


def test_backups_of_a_database_under_load_are_states_it_really_had(tmp_path: Path) -> None:
    """Real threads, real files, sealing and merging in the background."""
    data, target = tmp_path / "data", DirectoryTarget(LocalFileSystem(), tmp_path / "backups")
    engine = open_small(data, background=True, hot_rows_max=40)
    load = _Load(engine)
    entries = []
    try:
        for number in range(12):
            load.allow(400)
            options = CreateOptions(incremental=number not in (0, 7))
            entries.append(create_backup(LocalFileSystem(), data, target, SystemClock(), options))
            for _ in range(2):
                load.require_seal_after(100)
    finally:
        load.stop()
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
        assert check_recovery(LocalFileSystem(), place).documents == entry.record.documents
        ids = sorted(document.doc_id for document in OfflineReader(LocalFileSystem(), place).documents())
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
