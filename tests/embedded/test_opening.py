"""Opening a directory, whatever stands there: the database, or an error of the tree that names file and way out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pykyro
from pykyro import DataDamaged, InvalidArgument, KyroError, StorageError
from pykyro.embedded.collections import Database
from pykyro.storage import recovery
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.manifest import read_manifest
from pykyro.storage.wal.log import Log


def fill(db: Database, count: int, *, first_id: int = 1) -> None:
    """Insert `count` documents, each with a commit of its own."""
    for doc_id in range(first_id, first_id + count):
        db.insert(doc_id, [doc_id, 1, 2, 3])


def documents_of(path: Path | bytes | str) -> int:
    with pykyro.open(path, dimension=4) as db:
        return db.stats().documents


def _answer_of(path: Path) -> int | StorageError:
    """The number of documents, or the only kind of error that may come."""
    try:
        return documents_of(path)
    except StorageError as error:
        return error


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a running directory with files of every kind."""
    base = tmp_path_factory.mktemp("opening")
    with pykyro.open(base / "data", dimension=4) as db:
        db.insert_many([(n, [n, n % 7, n % 11, 3]) for n in range(1, 1500)])
        db.flush()
        db.delete(5)
        db.flush()
        fill(db, 3, first_id=5000)
        shutil.copytree(base / "data", base / "copy")
    kinds = {file.suffix for file in (base / "copy").iterdir()}
    assert kinds >= {"", ".rows", ".graph", ".dead", ".wal"}
    return base / "copy"


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


_INSTEAD: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "a directory": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link to nothing": _link("/nowhere/at/all"),
    "a link in a circle": lambda path: path.symlink_to(path.name),
    "an empty file": Path.touch,
}


@pytest.mark.parametrize("instead", _INSTEAD)
def test_whatever_stands_for_a_file_is_opened_or_named(copied: Path, tmp_path: Path, instead: str) -> None:
    names = sorted(file.name for file in copied.iterdir())
    for name in names:
        path = tmp_path / name
        shutil.copytree(copied, path)
        (path / name).unlink()
        _INSTEAD[instead](path / name)
        answer = _answer_of(path)
        if isinstance(answer, StorageError):
            assert name in str(answer)
            assert answer.hint
        else:
            assert answer == 1501, name
            assert name in ("LOCK", "POSITION") or name.startswith("wal_"), name
            assert name != names[-1], "the unsealed log is needed"


def test_a_copy_that_lacks_a_segment_file_is_damage(copied: Path, tmp_path: Path) -> None:
    for suffix in ("rows", "graph", "dead"):
        path = tmp_path / suffix
        shutil.copytree(copied, path)
        next(path.glob(f"*.{suffix}")).unlink()
        with pytest.raises(
            DataDamaged, match=r"MANIFEST names this file, but the file is missing.*Copy the directory"
        ):
            documents_of(path)


def test_directories_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "nowhere").symlink_to("not/there")
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path / "file", "a file stands where a directory is needed"),
        (tmp_path / "file" / "below", "a file stands where a directory is needed"),
        (tmp_path / "pipe", "a file stands where a directory is needed"),
        (tmp_path / "circle", "symbolic links"),
        (tmp_path / "nowhere", "No such file"),
        (Path("/proc"), "/proc: no file can be made in this directory"),
        (tmp_path / ("long" * 100), "name too long"),
    ):
        with pytest.raises(StorageError, match=message):
            documents_of(path)
    for wrong in (None, 5, "", "a\0b", b""):
        with pytest.raises(InvalidArgument, match="path must be"):
            documents_of(wrong)  # type: ignore[arg-type]


def test_errors_of_the_disk_are_errors_of_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    documents_of(tmp_path / "data")
    for code, words in (
        (errno.EROFS, "read-only.*kyrodb export and kyrodb_backup create read it"),
        (errno.EACCES, "user .* may not"),
        (errno.ENOSPC, "No space left.*Free space"),
        (errno.EIO, "Input/output error.*dmesg"),
        (errno.EMFILE, "Too many open files.*ulimit"),
        (errno.ENOMEM, "Cannot allocate memory"),
    ):
        for call in ("create", "read", "map", "names", "replace", "sync_directory", "lock", "make_directory"):

            def fail(self: object, path: Path, *_: object, code: int = code, **__: object) -> None:
                raise OSError(code, os.strerror(code), str(path))

            with monkeypatch.context() as patched:
                patched.setattr(LocalFileSystem, call, fail)
                answer = _answer_of(tmp_path / "data")
                if isinstance(answer, KyroError):
                    assert os.strerror(code) in str(answer) or words.split(".*")[0] in str(answer)

    def refuse(self: object, path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(LocalFileSystem, "lock", refuse)
        with pytest.raises(StorageError, match=r"read-only.*kyrodb export and kyrodb_backup create read it"):
            documents_of(tmp_path / "data")
    assert documents_of(tmp_path / "data") == 0


_NAMES = [b"\xff\xfe caf\xe9", b"two words", b"new\nline", "äö漢字".encode(), b"n" * 255, b"\\x41 %s {}"]


@pytest.mark.parametrize("name", _NAMES)
def test_a_directory_may_have_any_name(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    with pykyro.open(path, dimension=4) as db:
        for first in (1, 2001):
            db.insert_many([(n, [n, n % 7, n % 11, 3]) for n in range(first, first + 1500)])
            db.flush()
        while db._collections.default_engine.maintain():
            pass
        assert len(db.search([1, 2, 3, 4], k=10)) == 10
        snapshot = db.snapshot().path
    assert documents_of(snapshot) == documents_of(os.fsdecode(path)) == 3000
    with pytest.raises(KyroError) as caught:
        pykyro.open(path, dimension=5)
    assert str(caught.value).encode("utf-8").isascii() or b"\xc3\xa4" in name
    assert "\n" not in str(caught.value)


def _command(*words: str | bytes) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        timeout=200,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    return ended.returncode, (ended.stdout + ended.stderr).decode()


def test_commands_take_a_directory_with_any_name(tmp_path: Path) -> None:
    base = os.path.join(os.fsencode(tmp_path), _NAMES[0])
    os.mkdir(base)
    data, backups, out = (os.path.join(base, name) for name in (b"data", b"backups", b"out"))
    with pykyro.open(data, dimension=4) as db:
        fill(db, 10)
    backup = "pykyro.cli.kyrodb_backup"
    for words in (
        (backup, "create", "--data-dir", data, "--backup-dir", backups),
        (backup, "list", "--format", "json", "--backup-dir", backups),
        ("pykyro.cli.kyrodb", "export", "--format", "jsonl", "--data-dir", data, "--out", out),
        ("pykyro.cli.kyrodb", "doctor", "--deep", "--data-dir", data),
    ):
        code, text = _command(*words)
        assert code == 0, (words, text)
        assert "Traceback" not in text
    code, text = _command(
        backup, "create", "--data-dir", os.path.join(base, b"none"), "--backup-dir", backups
    )
    assert code == 1
    assert "Traceback" not in text


def test_openings_without_a_write_leave_nothing_behind(tmp_path: Path) -> None:
    counts = []
    for _ in range(12):
        documents_of(tmp_path / "data")
        counts.append(len(os.listdir(tmp_path / "data")))
    assert max(counts) <= 4
    with pykyro.open(tmp_path / "data", dimension=4) as db:
        fill(db, 3)
    documents_of(tmp_path / "data")
    before = sorted(os.listdir(tmp_path / "data"))
    for _ in range(5):
        assert documents_of(tmp_path / "data") == 3
    assert sorted(os.listdir(tmp_path / "data")) == before


def test_empty_log_files_of_earlier_versions_become_one_and_backups_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, backups = tmp_path / "data", tmp_path / "backups"
    with monkeypatch.context() as patched:
        # As it was: every clean stop left its segment.
        patched.setattr(Log, "_has_predecessor", property(lambda log: False))
        patched.setattr(recovery, "tidy_log", lambda filesystem, directory, manifests, end: end)
        # Their openings had no name.
        patched.setattr("pykyro.storage.wal.log.EPOCH_BYTES", 0)
        for turn in range(30):
            with pykyro.open(data, dimension=4) as db:
                if turn in (3, 20):
                    fill(db, 5, first_id=turn * 100)
                if turn == 10:
                    db.flush()
    assert len(list(data.glob("wal_*"))) >= 30
    create = ("pykyro.cli.kyrodb_backup", "create", "--data-dir", str(data), "--backup-dir", str(backups))
    assert _command(*create)[0] == 0
    position = read_manifest(LocalFileSystem(), data).wal[-1].last_lsn
    with pykyro.open(data, dimension=4) as db:
        assert db.stats().documents == 10
        assert db._collections.default_engine.stats().position == position
        fill(db, 1, first_id=9000)
    assert len(list(data.glob("wal_*"))) < 10
    code, text = _command(*create, "--incremental")
    assert code == 0, text
    listed = _command("pykyro.cli.kyrodb_backup", "list", "--format", "json", "--backup-dir", str(backups))
    newest, oldest = json.loads(listed[1])
    assert newest["continues"] == oldest["id"]
    assert documents_of(data) == 11


def test_many_log_files_need_no_descriptor_each(tmp_path: Path) -> None:
    filesystem = LocalFileSystem()
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    before = len(os.listdir("/proc/self/fd"))
    mapped = [filesystem.map(tmp_path / "file") for _ in range(200)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert all(bytes(one[-5:]) == b"xxxxx" and one.readonly for one in mapped)
    filesystem.release_pages(mapped[0])
    assert bytes(mapped[0][:2]) == b"xx"
