"""Backups by the server itself: when they are due, what they are, and what a failure or a stop leaves."""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import boto3
import pytest
from tests.backup.played import Played, operations
from tests.crash.clock import FakeClock
from tests.engine.opening import fill, open_small, vectors
from tests.operations.observed import metric
from tests.patience import wait_until
from tests.server.running import running_server

from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.catalog import CatalogEntry, read_catalog
from pykyro.backup.history.retention import Retention
from pykyro.backup.schedule import BackupSchedule
from pykyro.backup.target.locate import open_target
from pykyro.backup.target.target import DirectoryTarget
from pykyro.model.errors import InvalidArgument
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.system.clock import SystemClock

WAIT_S = 60.0


def schedule(root: Path, interval_s: float = 3600.0, retention: Retention | None = None) -> BackupSchedule:
    return BackupSchedule(root / "data", str(root / "backups"), interval_s, retention, SystemClock())


def target(root: Path) -> DirectoryTarget:
    return DirectoryTarget(LocalFileSystem(), root / "backups")


def entries(root: Path) -> list[CatalogEntry]:
    return read_catalog(target(root)).entries


def database(root: Path) -> None:
    engine = open_small(root / "data")
    fill(engine, vectors(20))
    engine.close()


def test_first_is_full_and_the_next_are_incremental(tmp_path: Path) -> None:
    database(tmp_path)
    schedule_ = schedule(tmp_path)
    assert [schedule_.step() for _ in range(2)] == [True, True]
    assert [entry.record.backup_type for entry in entries(tmp_path)] == ["Incremental", "Full"]
    assert (schedule_.made, schedule_.failures, schedule_.last_failure) == (2, 0, "")
    assert schedule_.last_documents == 20
    assert schedule_.last_size_bytes == entries(tmp_path)[0].size_bytes
    assert schedule_.last_duration_s > 0
    assert schedule_.last_success_s >= entries(tmp_path)[0].record.created_us / 1e6


def test_nothing_that_lies_around_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database(tmp_path)
    here, mark = tmp_path / "here", tmp_path / "mark"
    here.mkdir()
    for name in ("queue", "json", "pykyro", "pydantic", "sitecustomize"):
        (here / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\nraise SystemExit(9)\n")
    monkeypatch.chdir(here)
    monkeypatch.setenv("PYTHONPATH", str(here))
    assert schedule(tmp_path).step()
    assert not mark.exists()


def test_without_a_python_a_backup_fails_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database(tmp_path)
    monkeypatch.setattr("sys.executable", "")
    schedule_ = schedule(tmp_path)
    assert not schedule_.step()
    assert "sys.executable is empty" in schedule_.last_failure


def test_retention_is_applied_after_each(tmp_path: Path) -> None:
    database(tmp_path)
    for _ in range(3):
        create_backup(LocalFileSystem(), tmp_path / "data", target(tmp_path), SystemClock(), CreateOptions())
    assert schedule(tmp_path, retention=Retention(0, 0, 0, 0)).step()
    newest = entries(tmp_path)[0]
    assert {entry.id for entry in entries(tmp_path)} == newest.record.needs | {newest.id}


def test_failure_is_counted_told_and_forgotten_after_a_success(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    schedule_ = schedule(tmp_path)
    assert not schedule_.step()
    assert schedule_.failures == 1
    assert "No recoverable state found" in schedule_.last_failure
    assert "scheduled backup failed" in caplog.text
    database(tmp_path)
    assert schedule_.step()
    assert (schedule_.failures, schedule_.last_failure) == (1, "")


def test_thread_makes_the_first_at_once_and_the_next_when_due(tmp_path: Path) -> None:
    database(tmp_path)
    schedule_ = schedule(tmp_path, interval_s=0.05)
    schedule_.start()
    try:
        wait_until(lambda: schedule_.made >= 3)
    finally:
        schedule_.stop()
    assert not schedule_.running
    assert len(entries(tmp_path)) >= 3


def test_young_backup_makes_the_first_wait_and_counts_as_the_last_good_one(tmp_path: Path) -> None:
    database(tmp_path)
    made = create_backup(
        LocalFileSystem(), tmp_path / "data", target(tmp_path), SystemClock(), CreateOptions()
    )
    schedule_ = schedule(tmp_path)
    schedule_.start()
    try:
        wait_until(lambda: schedule_.last_success_s > 0)
        assert schedule_.last_success_s == made.record.created_us / 1e6
        assert not schedule_.running
    finally:
        schedule_.stop()
    assert schedule_.made == 0


def test_stop_gives_up_what_is_under_way_and_the_next_cleans_up(tmp_path: Path) -> None:
    database(tmp_path)
    schedule_ = schedule(tmp_path)
    schedule_.start()
    wait_until(lambda: schedule_.running or schedule_.made > 0)
    schedule_.stop()
    assert schedule_.failures == 0
    assert schedule(tmp_path).step()
    assert not list((tmp_path / "backups").glob("*.tmp"))


# --- into an object store ---------------------------------------------------------------------------


def test_schedule_into_an_object_store_makes_prunes_and_finds_again(bucket: str, tmp_path: Path) -> None:
    database(tmp_path)
    place = f"s3://{bucket}/production"
    schedule_ = BackupSchedule(tmp_path / "data", place, 3600.0, Retention(0, 0, 0, 0), SystemClock())
    assert [schedule_.step() for _ in range(2)] == [True, True]
    newest, oldest = read_catalog(open_target(place)).entries
    assert (newest.record.backup_type, oldest.record.backup_type) == ("Incremental", "Full")
    after_restart = BackupSchedule(tmp_path / "data", place, 3600.0, None, SystemClock())
    after_restart.start()
    try:
        wait_until(lambda: after_restart.last_success_s > 0)
        assert after_restart.last_success_s == newest.record.created_us / 1e6
    finally:
        after_restart.stop()
    assert (after_restart.made, after_restart.failures) == (0, 0)


def test_backup_that_is_given_up_leaves_no_lock_in_the_object_store(bucket: str, tmp_path: Path) -> None:
    """A lock there outlives its owner by a day, and no backup would be made meanwhile."""
    database(tmp_path)
    s3 = boto3.client("s3")

    def locked() -> bool:
        return bool(s3.list_objects_v2(Bucket=bucket, Prefix="LOCK").get("Contents"))

    schedule_ = BackupSchedule(tmp_path / "data", f"s3://{bucket}", 0.001, None, SystemClock())
    schedule_.start()
    try:
        wait_until(locked)
    finally:
        schedule_.stop()
    assert not locked()
    assert schedule_.failures == 0
    s3.close()


def test_server_backs_itself_up_into_an_object_store(bucket: str, tmp_path: Path) -> None:
    place = f"s3://{bucket}/kyrodb"
    with running_server(tmp_path, hnsw__dimension=2, backup__interval_secs=1, backup__dir=place) as server:
        server.stub.Insert(pb.InsertRequest(doc_id=7, embedding=[1, 0]))
        # Not the one that may be under way now.
        enough = metric(server, "backups_made_total") + 2
        wait_until(lambda: metric(server, "backups_made_total") >= enough)
        assert metric(server, "backup_failures_total") == 0
        assert metric(server, "backup_newest_timestamp_seconds") > time.time() - 60
        assert server.http_json("/health")["status"] == "healthy"
    assert read_catalog(open_target(place)).entries[0].record.documents == 1


# --- when a full one is due -----------------------------------------------------------------------


def back_up(past: Played, **options: float | bool | str) -> CatalogEntry:
    entry = create_backup(
        past.disk,
        Path("/var/data"),
        past.target,
        past.clock,
        CreateOptions(**options),  # type: ignore[arg-type]
    )
    past.backups.append(entry)
    return entry


def test_chain_older_than_allowed_is_not_built_on() -> None:
    past = Played(clock=FakeClock())
    for operation in operations(10, seed=1):
        past.write(operation)
    kinds = []
    for _ in range(12):
        kinds.append(back_up(past, incremental=True, full_after_days=2.0).record.backup_type)
        past.clock.advance(datetime.timedelta(days=0.7).total_seconds())
    assert kinds == ["Full", "Incremental", "Incremental"] * 4


def test_age_of_the_full_one_needs_incremental() -> None:
    past = Played()
    past.open()
    with pytest.raises(InvalidArgument, match="needs --incremental"):
        back_up(past, full_after_days=2.0)
