"""The real disk behind the seam. That FaultFS answers alike is proved in tests/crash."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pykyro.model.types import BytesLike
from pykyro.storage.files.filesystem import LocalFileSystem, write_all

DISK = LocalFileSystem()


class Reluctant:
    """Takes at most 3 bytes at a time, and none at all after `enough`."""

    def __init__(self, enough: int) -> None:
        self.taken = b""
        self._enough = enough

    def write(self, data: BytesLike) -> int:
        piece = bytes(data)[: min(3, self._enough - len(self.taken))]
        self.taken += piece
        return len(piece)

    def sync(self, *, data_only: bool = True) -> None:
        raise AssertionError

    def close(self) -> None:
        raise AssertionError


def test_write_all_goes_on_after_short_writes_and_stops_at_none() -> None:
    file = Reluctant(100)
    write_all(file, memoryview(b"0123456789"))
    assert file.taken == b"0123456789"
    with pytest.raises(OSError, match="accepted no bytes"):
        write_all(Reluctant(4), b"0123456789")


def test_files_are_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "f"
    DISK.create(path).close()
    assert os.stat(path).st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        DISK.create(path)
    DISK.make_directory(tmp_path / "d")
    assert os.stat(tmp_path / "d").st_mode & 0o777 == 0o700


def test_closed_file_refuses_work(tmp_path: Path) -> None:
    file = DISK.create(tmp_path / "f")
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"x")
    with pytest.raises(ValueError, match="closed"):
        file.sync()


@pytest.mark.parametrize("data_only", [True, False])
def test_sync_reaches_the_kernel(tmp_path: Path, data_only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: called.append("fsync"))
    monkeypatch.setattr(os, "fdatasync", lambda fd: called.append("fdatasync"))
    file = DISK.create(tmp_path / "f")
    file.sync(data_only=data_only)
    DISK.sync_directory(tmp_path)
    file.close()
    assert called == ["fdatasync" if data_only else "fsync", "fsync"]


def test_mapping_outlives_the_name_and_empty_files_can_be_mapped(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"content")
    mapping = DISK.map(path)
    DISK.remove(path)
    assert bytes(mapping) == b"content"
    assert mapping.readonly
    path.write_bytes(b"")
    assert bytes(DISK.map(path)) == b""


def test_free_space_is_what_statvfs_says(tmp_path: Path) -> None:
    free, total = DISK.free_bytes(tmp_path)
    assert 0 < free <= total
    assert DISK.native_path(tmp_path) == str(tmp_path)
