"""The same verbs against a server that speaks S3, over HTTP on loopback."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import boto3
import obstore
import pytest
from obstore.exceptions import GenericError
from tests.backup.conftest import BUCKET
from tests.backup.played import DATA, Played, played, write
from tests.crash.clock import FakeClock
from tests.engine.opening import fill, open_small, vectors

from pykyro.backup.create import CreateOptions, create_backup
from pykyro.backup.history.catalog import read_catalog
from pykyro.backup.history.retention import Retention, prune_backups
from pykyro.backup.history.store import Store
from pykyro.backup.history.timeline import plan_position
from pykyro.backup.restore import restore
from pykyro.backup.target import object_store
from pykyro.backup.target.locate import open_target
from pykyro.backup.target.object_store import ObjectStoreTarget
from pykyro.backup.verify import verify_backup
from pykyro.cli.kyrodb_backup import main
from pykyro.model.errors import DataDamaged, DataDirInUse, FailedPrecondition, InvalidArgument


def keys() -> list[str]:
    return sorted(
        item["Key"] for item in boto3.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", ())
    )


def back_up(past: Played, target: ObjectStoreTarget, *, incremental: bool) -> None:
    options = CreateOptions(incremental=incremental)
    past.backups.append(create_backup(past.disk, DATA, target, past.clock, options))


@pytest.mark.parametrize("prefix", ["", "production/main"])
def test_backups_are_made_listed_verified_restored_and_pruned(bucket: str, prefix: str) -> None:
    target, past = ObjectStoreTarget(bucket, prefix), played(20, flush_at=(10,))
    assert read_catalog(target).entries == []
    for number in range(3):
        back_up(past, target, incremental=number > 0)
        write(past, 10, seed=number)
    catalog = read_catalog(target)
    assert catalog.warnings == []
    assert [entry.record for entry in catalog.entries] == [e.record for e in reversed(past.backups)]
    assert all(key.startswith(prefix) and "LOCK" not in key for key in keys())
    for entry in catalog.entries:
        assert verify_backup(target, catalog, entry.id, FakeClock()).digest == entry.digest
    for lsn in range(past.backups[0].record.sealed_lsn, past.backups[2].record.position.lsn + 1, 3):
        plan = plan_position(catalog, lsn)
        restore(past.disk, Path("/var/restored"), Store(target), plan, past.clock, allow_clear=True)
    back_up(past, target, incremental=False)
    gone = prune_backups(target, Retention(0, 0, 0, 0), past.clock)
    assert gone == [entry.id for entry in past.backups[:3]]
    assert len(keys()) == 2


def test_object_larger_than_a_part_is_whole_and_read_by_ranges(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "PART_BYTES", 5 << 20)
    target, name = ObjectStoreTarget(bucket, "p"), "backup_20250601T120000Z.tar"
    content = os.urandom(12 << 20)
    upload = target.create(name)
    for start in range(0, len(content), 1_000_003):
        upload.write(content[start : start + 1_000_003])
    assert target.sizes() == {}
    upload.finish()
    assert target.sizes() == {name: len(content)}
    source = target.open(name)
    for start, length in (
        (0, 512),
        (100, 512),
        (5 << 20, 4 << 20),
        (len(content) - 5, 100),
        (len(content), 1),
    ):
        assert bytes(source.read(start, length)) == content[start : start + length]


def test_upload_that_is_abandoned_leaves_nothing(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "PART_BYTES", 5 << 20)
    upload = ObjectStoreTarget(bucket, "").create("backup_20250601T120000Z.tar")
    upload.write(bytes(6 << 20))
    upload.abandon()
    assert keys() == []
    assert boto3.client("s3").list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_upload_that_is_given_up_at_its_end_leaves_nothing(bucket: str) -> None:
    """Ctrl-C may come while the last request is on its way: the object is there, and nobody knows of it."""
    for size_bytes in (1, object_store.PART_BYTES + 1):
        upload = ObjectStoreTarget(bucket, "").create("backup_20250601T120000Z.tar")
        upload.write(bytes(size_bytes))
        upload.finish()
        assert keys() == ["backup_20250601T120000Z.tar"]
        upload.abandon()
        assert keys() == []


def test_upload_that_the_store_refuses_says_so_and_leaves_nothing(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "PART_BYTES", 1 << 20)
    upload = ObjectStoreTarget("nowhere", "").create("backup_20250601T120000Z.tar")
    with pytest.raises(OSError, match="NoSuchBucket"):
        upload.write(bytes(1 << 20))
    upload.abandon()
    # S3 takes no part below 5 MiB but for the last, which is said when the object is put together.
    upload = ObjectStoreTarget(bucket, "").create("backup_20250601T120000Z.tar")
    for _ in range(3):
        upload.write(bytes(1 << 20))
    with pytest.raises(OSError, match="EntityTooSmall"):
        upload.finish()
    upload.abandon()
    assert keys() == []


def test_parts_are_as_large_as_an_object_of_that_length_needs(bucket: str) -> None:
    target = ObjectStoreTarget(bucket, "")
    for expected_bytes, part_bytes in ((0, 16 << 20), (64 << 30, 16 << 20), (1 << 40, -(-(1 << 40) // 5000))):
        upload = target.create("backup_20250601T120000Z.tar", expected_bytes)
        assert isinstance(upload, object_store._PartsUpload)
        assert upload._part_bytes == part_bytes


def test_second_writer_is_refused_until_the_first_is_done_or_long_dead(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = ObjectStoreTarget(bucket, "")
    lock = target.lock()
    with pytest.raises(DataDirInUse, match="another process is changing the backups"):
        target.lock()
    with monkeypatch.context() as patch:
        patch.setattr(object_store, "LOCK_STALE_S", -1.0)
        taken = target.lock()
    assert keys() == ["LOCK"]
    taken.release()
    lock.release()


def test_lock_whose_answer_is_lost_is_neither_left_behind_nor_anothers(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, put = ObjectStoreTarget(bucket, ""), obstore.put

    def lost(*request: Any, **options: Any) -> None:
        put(*request, **options)
        raise GenericError("HTTP error: operation timed out")

    def sent_again(*request: Any, **options: Any) -> None:
        put(*request, **options)
        put(*request, **options)

    monkeypatch.setattr(obstore, "put", lost)
    with pytest.raises(OSError, match="timed out; check the endpoint"):
        target.lock()
    assert keys() == []
    monkeypatch.setattr(obstore, "put", sent_again)
    lock = target.lock()
    assert keys() == ["LOCK"]
    lock.release()
    assert keys() == []


def test_missing_objects_and_refused_requests_are_os_errors_that_say_what_to_do(bucket: str) -> None:
    with pytest.raises(FileNotFoundError, match="s3://backups/p/backup_x"):
        ObjectStoreTarget(bucket, "p").open("backup_x")
    nowhere = ObjectStoreTarget("nowhere", "")
    for request in (nowhere.sizes, nowhere.lock, lambda: nowhere.put("backup_x.json", b"{}")):
        with pytest.raises(OSError, match=r"NoSuchBucket: .*; make the bucket first") as refused:
            request()
        assert not isinstance(refused.value, FileNotFoundError)
        assert "\n" not in str(refused.value)


def test_damage_in_the_store_is_noticed(bucket: str) -> None:
    target, past = ObjectStoreTarget(bucket, ""), played(10)
    back_up(past, target, incremental=False)
    name = next(key for key in keys() if key.endswith(".tar"))
    s3 = boto3.client("s3")
    content = bytearray(s3.get_object(Bucket=bucket, Key=name)["Body"].read())
    content[700] ^= 1
    s3.put_object(Bucket=bucket, Key=name, Body=bytes(content))
    catalog = read_catalog(target)
    with pytest.raises(DataDamaged, match=r"s3://backups/backup_\w+\.tar at byte"):
        verify_backup(target, catalog, past.backups[0].id, FakeClock())


def test_command_takes_a_url(bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = open_small(tmp_path / "data")
    fill(engine, vectors(30))
    engine.close()
    where = ["--data-dir", str(tmp_path / "data"), "--backup-dir", f"s3://{bucket}/kyrodb"]
    assert main(["create", *where]) == 0
    backup_id = capsys.readouterr().out.splitlines()[1].removeprefix("Backup ID: ")
    assert main(["list", "--format", "json", *where]) == 0
    assert [entry["id"] for entry in json.loads(capsys.readouterr().out)] == [backup_id]
    assert main(["verify", backup_id, "--deep", *where]) == 0
    restored = ["--data-dir", str(tmp_path / "restored"), "--backup-dir", f"s3://{bucket}/kyrodb"]
    assert main(["restore", "--backup-id", backup_id, *restored]) == 0
    assert main(["prune", *where]) == 0
    engine = open_small(tmp_path / "restored")
    assert engine.stats().documents == 30
    engine.close()


@pytest.mark.parametrize(
    "place",
    [
        "http://host/x",
        "s3://",
        "s3:///p",
        "s3://b/p?x=1",
        "gs://",
        "az://c#x",
        "ftp://x",
        "file://host/x",
        "file://",
    ],
)
def test_other_urls_are_refused(place: str) -> None:
    with pytest.raises(InvalidArgument, match="s3://bucket/prefix"):
        open_target(place)


def test_without_the_extra_a_url_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    for place in ("s3://bucket/prefix", "gs://bucket", "az://container/prefix"):
        with pytest.raises(FailedPrecondition, match=r"pykyro\[cloud\]"):
            open_target(place)
