"""A data directory that is locked, moved, removed or written to by others while it is open."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.embedded.test_opening import documents_of, fill

import pykyro
from pykyro import DataDamaged, StorageError, Unavailable
from pykyro.embedded.database import Database
from pykyro.model.limits import GRAPH_ROWS_MIN
from pykyro.storage.files import local_files
from pykyro.storage.files.lock import owner_of

_VECTOR = [1.0, 2.0, 3.0, 4.0]


def opened(path: Path) -> Database:
    return pykyro.open(path, dimension=4)


def other_process(path: Path) -> str:
    """What another process meets that opens the directory and inserts a document."""
    program = (
        "import pykyro, sys\n"
        "try:\n"
        "    with pykyro.open(sys.argv[1], dimension=4) as db:\n"
        "        db.insert(1000, [1, 2, 3, 4])\n"
        "        print(db.stats().documents)\n"
        "except pykyro.KyroError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True, timeout=120
    ).stdout.strip()


def _unlink(path: Path) -> None:
    (path / "LOCK").unlink()


def _replace(path: Path) -> None:
    (path / "LOCK").unlink()
    (path / "LOCK").write_text("1\n")


@pytest.mark.parametrize("tampering", [_unlink, _replace])
def test_a_lock_file_that_is_removed_or_replaced_lets_nobody_in(
    tmp_path: Path, tampering: Callable[[Path], None]
) -> None:
    with opened(tmp_path / "data") as db:
        fill(db, 10)
        tampering(tmp_path / "data")
        answer = other_process(tmp_path / "data")
        assert answer.startswith("DataDirInUse")
        if owner_of(tmp_path / "data") is not None:  # not where the kernel names another device
            assert f"in use by process {os.getpid()}" in answer
        fill(db, 10, first_id=11)
    assert other_process(tmp_path / "data") == "21"


def test_an_earlier_version_that_locks_the_file_alone_is_seen(tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "data").mkdir()
    with open(tmp_path / "data" / "LOCK", "w") as lock:
        lock.write("4711\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "DataDirInUse" in other_process(tmp_path / "data")


def test_a_directory_that_is_moved_takes_its_documents_along_and_its_successor_is_left_alone(
    tmp_path: Path,
) -> None:
    path, moved = tmp_path / "data", tmp_path / "moved"
    db = opened(path)
    fill(db, 10)
    path.rename(moved)
    assert other_process(path) == "1"
    with pytest.raises(StorageError, match="was moved, removed or replaced while the database was open"):
        db.insert(50, _VECTOR)
    assert db.get(1) is not None
    with pytest.raises(Unavailable, match="was moved"):
        db.flush()
    with pytest.raises(StorageError, match="was moved"):
        db.close()
    assert documents_of(path) == 1
    assert documents_of(moved) >= 10


def test_a_directory_that_was_put_back_is_written_to_again(tmp_path: Path) -> None:
    path, moved = tmp_path / "data", tmp_path / "moved"
    db = opened(path)
    fill(db, 10)
    path.rename(moved)
    with pytest.raises(StorageError):
        db.insert(50, _VECTOR)
    moved.rename(path)
    db.close()  # tries the disk once more
    assert documents_of(path) == 10


def test_a_directory_that_is_removed_and_made_anew_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "data"
    db = opened(path)
    fill(db, 10)
    shutil.rmtree(path)
    assert other_process(path) == "1"
    with pytest.raises(StorageError, match="was moved, removed or replaced"):
        db.insert(50, _VECTOR)
    with pytest.raises(StorageError):
        db.close()
    assert other_process(path) == "1"


def test_a_manifest_of_somebody_else_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "data"
    db = opened(path)
    fill(db, 10)
    with opened(tmp_path / "other") as other:
        fill(other, 3)
    shutil.copy(tmp_path / "other" / "MANIFEST", path / "MANIFEST")  # in place: the file is the same
    theirs = (path / "MANIFEST").read_bytes()
    with pytest.raises(StorageError, match="was changed by somebody else"):
        db.flush()
    with pytest.raises(StorageError, match="was changed by somebody else"):
        db.close()
    assert (path / "MANIFEST").read_bytes() == theirs


def test_a_second_process_that_saw_no_lock_stops_the_first_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data"
    first = opened(path)
    fill(first, 10)
    (path / "LOCK").unlink()
    monkeypatch.setattr(local_files.DirectoryLock, "_take_directory", lambda *_: None)
    second = opened(path)
    fill(second, 5, first_id=11)
    with pytest.raises(StorageError, match="was moved, removed or replaced"):
        first.insert(99, _VECTOR)
    with pytest.raises(StorageError, match="was changed by somebody else"):
        first.close()
    second.close()
    monkeypatch.undo()
    assert documents_of(path) == 15


def test_a_manifest_that_alone_was_removed_is_written_again(tmp_path: Path) -> None:
    db = opened(tmp_path / "data")
    fill(db, 10)
    (tmp_path / "data" / "MANIFEST").unlink()
    db.close()
    assert documents_of(tmp_path / "data") == 10


@pytest.mark.parametrize("count", [10, GRAPH_ROWS_MIN + 10], ids=["few", "with a graph"])
def test_log_files_that_were_removed_are_made_up_for_at_the_end(tmp_path: Path, count: int) -> None:
    db = opened(tmp_path / "data")
    fill(db, count)
    for file in (tmp_path / "data").glob("wal_*.wal"):
        file.unlink()
    with pytest.raises(StorageError, match="was moved, removed or replaced"):
        db.insert(count + 1, _VECTOR)
    db.close()
    assert documents_of(tmp_path / "data") == count


def test_the_last_resort_asks_for_a_directory_without_any_log_file(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with opened(path) as db:
        fill(db, 10)
        db.flush()
        fill(db, 5, first_id=11)
    logs = sorted(path.glob("wal_*.wal"))
    logs[-1].rename(path / "wal_000000009999.wal")
    for log in logs[:-1]:
        log.unlink()
    with pytest.raises(DataDamaged, match="names none of the 1 log files that are there"):
        opened(path)
    (path / "wal_000000009999.wal").unlink()
    with opened(path) as db:
        assert db.stats().documents == 10
        assert db._engine.recovered.from_checkpoint_only


def _cut_short(path: Path) -> None:
    os.truncate(path, 0)


def _copied_over(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _replaced(path: Path) -> None:
    path.with_name("new").write_bytes(b"other")
    path.with_name("new").replace(path)


def _appended_to(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"a line of a program\n")


@pytest.mark.parametrize("tampering", [_cut_short, _copied_over, _replaced, _appended_to])
def test_a_log_file_that_others_write_to_is_noticed_and_made_up_for(
    tmp_path: Path, tampering: Callable[[Path], None]
) -> None:
    db = opened(tmp_path / "data")
    fill(db, 10)
    (log,) = (tmp_path / "data").glob("wal_*.wal")
    tampering(log)
    with pytest.raises(StorageError, match="while the database was open"):
        db.insert(11, _VECTOR)
    db.close()
    assert documents_of(tmp_path / "data") == 10
