"""Shipping to stores that work, fail, are slow and repeat; what readers of a damaged archive are told."""

from __future__ import annotations

import datetime
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tests.patience import wait_until
from tests.replication.faulty_store import FaultyStore

import pykyro
from pykyro import DataDamaged, FailedPrecondition, InvalidArgument, Unavailable
from pykyro.cli.kyrodb import main as kyrodb
from pykyro.embedded.collections import Database
from pykyro.memory.budget import MemoryBudget
from pykyro.replication.follower import Follower
from pykyro.replication.leading import Leading
from pykyro.replication.objects import ArchiveStore, DirectoryStore, open_archive
from pykyro.replication.promotion import promote
from pykyro.replication.records import COMMITS, read_commit
from pykyro.replication.shipping import LostLead
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.system.clock import SystemClock

DISK, CLOCK = LocalFileSystem(), SystemClock()
BUCKET = "archive"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a server that speaks S3."""
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    yield f"s3://{BUCKET}/some/prefix"
    moto.stop()


def leading(directory: Path, store: ArchiveStore, *, max_lag_ms: int = 40) -> Leading:
    charge = MemoryBudget(1 << 40, measure=None).account("archive").charge()
    return Leading(DISK, directory, store.location, CLOCK, charge, max_lag_ms=max_lag_ms, store=store)


def following(directory: Path, store: ArchiveStore) -> Follower:
    return Follower(DISK, directory, store.location, CLOCK, store=store, poll_s=0.02)


def fill(db: Database, first: int, count: int) -> None:
    db.insert_many((n, [n, 1, 2, 3], {"n": n}) for n in range(first, first + count))


def shown(directory: Path, position: int) -> dict[object, object]:
    """The documents of a follower, once it is at this position."""
    with pykyro.open(directory, read_only=True) as db:
        db.get(1, min_position=position, max_wait_s=60)
        return {one.id: one.metadata["n"] for one in db.documents()}


def everything(count: int) -> dict[object, object]:
    return {n: n for n in range(1, count + 1)}


def test_a_database_with_collections_goes_by_way_of_s3(tmp_path: Path, bucket: str) -> None:
    with pykyro.open(tmp_path / "leader", dimension=4) as db:
        fill(db, 1, 1500)
        db.flush()
        fill(db, 1501, 10)
        db.create_collection("texts", 4, id_type="text").insert("a", [1, 2, 3, 4], {"n": 1})
        leader = leading(tmp_path / "leader", open_archive(bucket))
        leader.start()
        wait_until(lambda: leader.commits)
        follower = following(tmp_path / "follower", open_archive(bucket))
        follower.start()
        assert shown(tmp_path / "follower", db.position) == everything(1510)
        db.delete(7)
        db.insert(8, [1, 2, 3, 4], {"n": 88})
        wanted = everything(1510) | {8: 88}
        del wanted[7]
        assert shown(tmp_path / "follower", db.position) == wanted
        with pykyro.open(tmp_path / "follower", read_only=True) as reader:
            assert [hit.id for hit in reader.search([3, 1, 2, 3], k=9)] == [
                hit.id for hit in db.search([3, 1, 2, 3], k=9)
            ]
            db.drop_collection("texts")
            wait_until(lambda: "texts" not in [info.name for info in reader.collections()])
        # A second promote meets the first, on a store that knows conditional requests.
        follower.stop()
        other = following(tmp_path / "other", open_archive(bucket))
        other.stop()
        assert promote(DISK, tmp_path / "follower", open_archive(bucket), CLOCK).epoch == 2
        assert promote(DISK, tmp_path / "follower", open_archive(bucket), CLOCK).epoch == 2
        db.insert(9, [1, 2, 3, 4], {"n": 99})
        wait_until(lambda: leader.lost_lead)
        assert "epoch 2" in leader.lost_lead
        leader.stop()


def test_a_store_that_fails_holds_up_no_write_and_is_caught_up_with(tmp_path: Path) -> None:
    store = FaultyStore(DirectoryStore(DISK, tmp_path / "archive", str(tmp_path / "archive")))
    with pykyro.open(tmp_path / "leader", dimension=4) as db:
        leader = leading(tmp_path / "leader", store)
        leader.start()
        fill(db, 1, 5)
        wait_until(lambda: leader.shipped_position(0) >= db.position)
        store.broken = True
        fill(db, 6, 5)
        wait_until(lambda: leader.warning)
        assert "the store does not answer" in leader.warning
        assert leader.failures > 0
        fill(db, 11, 5)
        lag_s = leader.lag_s
        wait_until(lambda: leader.lag_s > lag_s)
        store.broken = False
        wait_until(lambda: leader.shipped_position(0) >= db.position)
        assert not leader.warning
        # An answer that is lost: the commit is there, and must not be taken for another leader's.
        for calls in range(6):
            store.plan(calls, "error-after")
            fill(db, 16 + calls, 1)
            wait_until(lambda: leader.shipped_position(0) >= db.position)
            store.heal()
        assert not leader.lost_lead
        leader.stop()
        numbers = range(1, len(store.names(COMMITS)) + 1)
        assert {read_commit(store, number).epoch for number in numbers} == {1}  # type: ignore[union-attr]
        follower = following(tmp_path / "follower", store)
        assert shown(tmp_path / "follower", db.position) == everything(21)
        follower.stop()


def test_shipped_waits_for_the_archive_and_says_so_when_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykyro.replication.leading.SHIPPED_WAIT_S", 0.2)
    store = FaultyStore(DirectoryStore(DISK, tmp_path / "archive", str(tmp_path / "archive")))
    with pykyro.open(tmp_path / "leader", dimension=4) as db:
        leader = leading(tmp_path / "leader", store, max_lag_ms=10_000)
        leader.start()
        fill(db, 1, 5)
        monkeypatch.setattr("pykyro.replication.leading.SHIPPED_WAIT_S", 60.0)
        leader.wait_shipped(0, db.position)
        assert leader.shipped_position(0) >= db.position
        monkeypatch.setattr("pykyro.replication.leading.SHIPPED_WAIT_S", 0.2)
        store.broken = True
        fill(db, 6, 1)
        with pytest.raises(Unavailable, match="not yet shipped"):
            leader.wait_shipped(0, db.position)
        leader.stop()


def test_two_promotes_at_once_one_wins_and_the_other_says_who(tmp_path: Path) -> None:
    store = DirectoryStore(DISK, tmp_path / "archive", str(tmp_path / "archive"))
    with pykyro.open(tmp_path / "leader", dimension=4) as db:
        fill(db, 1, 5)
        leader = leading(tmp_path / "leader", store)
        leader.start()
        wait_until(lambda: leader.shipped_position(0) >= db.position)
        leader.stop()
    for name in ("one", "other"):
        following(tmp_path / name, store).stop()

    class Late(FaultyStore):
        """The other promote comes between the last look and the commit."""

        def create(self, name: str, data: bytes) -> None:
            promote(DISK, tmp_path / "one", store, CLOCK)
            super().create(name, data)

    with pytest.raises(LostLead) as lost:
        promote(DISK, tmp_path / "other", Late(store), CLOCK)
    winner = read_commit(store, len(store.names(COMMITS)))
    assert winner is not None
    assert winner.leader in str(lost.value)
    one = following(tmp_path / "one", store)
    assert one.promoted is not None
    one.stop()
    other = following(tmp_path / "other", store)
    assert other.promoted is None
    other.stop()


def test_a_damaged_or_missing_object_stops_a_follower_with_its_name(tmp_path: Path) -> None:
    store = DirectoryStore(DISK, tmp_path / "archive", str(tmp_path / "archive"))
    with pykyro.open(tmp_path / "leader", dimension=4) as db:
        fill(db, 1, 5)
        db.flush()
        fill(db, 6, 5)
        leader = leading(tmp_path / "leader", store)
        leader.start()
        wait_until(lambda: leader.shipped_position(0) >= db.position)
        leader.stop()
    for number, kind in enumerate(("segments", "log", "manifests", "commits")):
        (name, *_) = sorted(path for path in (tmp_path / "archive" / kind).rglob("*") if path.is_file())[-1:]
        whole = name.read_bytes()
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 1
        name.write_bytes(damaged)
        with pytest.raises(DataDamaged, match=name.name):
            following(tmp_path / f"damaged{number}", store)
        name.unlink()
        with pytest.raises((FileNotFoundError, DataDamaged, FailedPrecondition)):
            following(tmp_path / f"missing{number}", store)
        name.write_bytes(whole)
        following(tmp_path / f"whole{number}", store).stop()
        assert shown(tmp_path / f"whole{number}", 10) == everything(10)


def test_who_may_not_lead_or_follow_is_told_why(tmp_path: Path) -> None:
    store = DirectoryStore(DISK, tmp_path / "archive", str(tmp_path / "archive"))
    with pytest.raises(FailedPrecondition, match="holds no database"):
        following(tmp_path / "follower", store)
    with pykyro.open(tmp_path / "leader", dimension=4) as db:
        fill(db, 1, 5)
        leader = leading(tmp_path / "leader", store)
        leader.start()
        wait_until(lambda: leader.shipped_position(0) >= db.position)
        leader.stop()
    with pytest.raises(FailedPrecondition, match="directory of a leader"):
        following(tmp_path / "leader", store)
    pykyro.open(tmp_path / "another", dimension=4).close()
    with pytest.raises(FailedPrecondition, match="holds a database of its own"):
        following(tmp_path / "another", store)
    with pytest.raises(FailedPrecondition, match="is led by"):
        leading(tmp_path / "another", store)
    with pytest.raises(FailedPrecondition, match="never started with --follow"):
        promote(DISK, tmp_path / "another", store, CLOCK)
    follower = following(tmp_path / "follower", store)
    with pytest.raises(pykyro.DataDirInUse):
        pykyro.open(tmp_path / "follower")
    follower.stop()
    elsewhere = DirectoryStore(DISK, tmp_path / "elsewhere", str(tmp_path / "elsewhere"))
    with pytest.raises(FailedPrecondition, match=r"follows .*archive"):
        following(tmp_path / "follower", elsewhere)
    for url in ("ftp://host/path", "s3:/x", "gs://"):
        if "://" in url:
            with pytest.raises(InvalidArgument, match="an archive is kept at"):
                open_archive(url)


def test_a_follower_goes_on_from_its_directory(tmp_path: Path) -> None:
    store = FaultyStore(DirectoryStore(DISK, tmp_path / "archive", str(tmp_path / "archive")))
    with pykyro.open(tmp_path / "leader", dimension=4, wal_retention_bytes=0) as db:
        leader = leading(tmp_path / "leader", store)
        leader.start()
        fill(db, 1, 500)
        db.flush()
        for round_ in range(4):
            fill(db, 501 + round_ * 100, 100)
            wait_until(lambda: leader.shipped_position(0) >= db.position)
            follower = following(tmp_path / "follower", store)
            assert shown(tmp_path / "follower", db.position) == everything(600 + round_ * 100)
            follower.stop()
            # As a crash leaves it: the end of the log torn, or missing.
            for wal in (tmp_path / "follower").glob("*.wal"):
                with wal.open("r+b") as file:
                    file.truncate(max(0, wal.stat().st_size - round_ * 37))
            if round_ == 2:
                db.flush()
        leader.stop()
        following(tmp_path / "follower", store).stop()
        segments = sorted((tmp_path / "follower").glob("*.rows"))
        stamps = [path.stat().st_mtime_ns for path in segments]
        time.sleep(0.01)
        following(tmp_path / "follower", store).stop()
        assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "follower").glob("*.rows"))] == stamps


def test_a_directory_store_creates_once(tmp_path: Path) -> None:
    store = DirectoryStore(DISK, tmp_path, str(tmp_path))
    store.create("commits/1", b"one")
    with pytest.raises(FileExistsError):
        store.create("commits/1", b"other")
    assert store.read("commits/1") == b"one"
    (tmp_path / "file").write_bytes(b"content")
    store.upload("segments/a", tmp_path / "file")
    store.upload("segments/a", tmp_path / "file")
    assert b"".join(store.pieces("segments/a")) == b"content"
    assert store.exists("segments/a")
    assert not store.exists("segments/b")
    with pytest.raises(FileNotFoundError):
        store.read("segments/b")
    store.create("commits/2", b"two")
    assert store.names("commits") == ["commits/1", "commits/2"]
    assert store.names("commits", "commits/1") == ["commits/2"]
    assert store.names("nothing") == []


def test_an_embedded_database_follows_an_archive(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/archive"
    with pykyro.open(tmp_path / "leader", dimension=4) as db:
        fill(db, 1, 100)
        leader = leading(tmp_path / "leader", open_archive(url))
        leader.start()
        wait_until(lambda: leader.shipped_position(0) >= db.position)
        with pykyro.open(tmp_path / "follower", follow=url) as follower:
            assert follower.count(min_position=db.position, max_wait_s=60) == 100
            fill(db, 101, 10)
            assert follower.count(min_position=db.position, max_wait_s=60) == 110
            with pytest.raises(FailedPrecondition, match="send them to the leader"):
                follower.insert(1, [1, 2, 3, 4])
            with pytest.raises(FailedPrecondition, match="send them to the leader"):
                follower.create_collection("c", 4)
            assert follower.health().status == "healthy"
            with pykyro.open(tmp_path / "follower", read_only=True) as beside:
                assert beside.count() == 110
        promote(DISK, tmp_path / "follower", open_archive(url), CLOCK)
        with pytest.raises(FailedPrecondition, match="was made the leader"):
            pykyro.open(tmp_path / "follower", follow=url)
        leader.stop()
    with pytest.raises(InvalidArgument, match="hot_rows_max is about writing"):
        pykyro.open(tmp_path / "other", follow=url, hot_rows_max=5)
    with pytest.raises(InvalidArgument, match="an archive is kept at"):
        pykyro.open(tmp_path / "other", follow="ftp://somewhere/else")


def test_an_archive_is_fetched_as_it_was_at_a_moment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"file://{tmp_path}/archive"
    moments: list[tuple[int, dict[object, object]]] = []
    with pykyro.open(tmp_path / "leader", dimension=4, wal_retention_bytes=0) as db:
        leader = leading(tmp_path / "leader", open_archive(url))
        leader.start()
        other = db.create_collection("other", 4)
        for round_ in range(5):
            fill(db, 1 + 20 * round_, 20)
            other.insert(round_ + 1, [1, 2, 3, 4], {"n": round_})
            if round_ % 2:
                db.flush()
            wait_until(lambda: leader.shipped_position(0) >= db.position and not leader._shipping.has_news)
            moments.append((CLOCK.wall_us(), everything(20 * round_ + 20)))
            time.sleep(0.01)
        leader.stop()
    for number, (moment_us, documents) in enumerate(moments):
        directory = tmp_path / f"then{number}"
        when = datetime.datetime.fromtimestamp(moment_us / 1e6, datetime.UTC).isoformat()
        assert kyrodb(["fetch", url, "--data-dir", str(directory), "--at", when]) == 0
        assert "commit" in capsys.readouterr().out
        with pykyro.open(directory) as then:
            assert {one.id: one.metadata["n"] for one in then.documents()} == documents
            assert then.collection("other").count() == number + 1
            then.insert(1, [1, 2, 3, 4])
    assert kyrodb(["fetch", url, "--data-dir", str(directory)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert kyrodb(["fetch", url, "--data-dir", str(tmp_path / "x"), "--at", "2000-01-01T00:00:00Z"]) == 1
    assert "begins later" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        kyrodb(["fetch", url, "--data-dir", str(tmp_path / "x"), "--at", "yesterday"])


def test_a_leader_that_was_restored_to_an_earlier_moment_is_followed_there(tmp_path: Path) -> None:
    """Its files get the names of files that a follower has, with another content."""
    store = DirectoryStore(DISK, tmp_path / "archive", str(tmp_path / "archive"))
    path = tmp_path / "leader"

    def lead_and_follow(db: Database, documents: dict[object, object]) -> None:
        leader = leading(path, store)
        leader.start()
        wait_until(lambda: leader.shipped_position(0) >= db.position and not leader._shipping.has_news)
        leader.stop()
        follower = following(tmp_path / "follower", store)
        follower.stop()
        with pykyro.open(tmp_path / "follower", read_only=True) as reader:
            assert {one.id: one.metadata["n"] for one in reader.documents()} == documents

    with pykyro.open(path, dimension=4) as db:
        fill(db, 1, 50)
        db.flush()
    shutil.copytree(path, tmp_path / "before")
    with pykyro.open(path) as db:
        fill(db, 51, 50)
        db.flush()
        fill(db, 101, 10)
        lead_and_follow(db, everything(110))
    role = (path / "ARCHIVE").read_bytes()
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "before", path)
    (path / "ARCHIVE").write_bytes(role)
    for wal in path.glob("*.wal"):
        wal.unlink()  # the last resort, which begins another history
    with pykyro.open(path) as db:
        fill(db, 201, 50)
        db.flush()
        fill(db, 251, 10)
        lead_and_follow(db, everything(50) | {n: n for n in range(201, 261)})
