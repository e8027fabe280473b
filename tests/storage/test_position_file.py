"""What a reader may believe of POSITION, and that it never reads what the writer takes back."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from pykyro.engine.engine import open_engine
from pykyro.engine.options import EngineOptions
from pykyro.engine.reading.open_reader import open_reader
from pykyro.model.errors import KyroError
from pykyro.model.requests import Put
from pykyro.model.types import Document
from pykyro.storage import filename
from pykyro.storage.files.filesystem import LocalFileSystem
from pykyro.storage.files.local_files import LocalFile
from pykyro.storage.position_file import (
    SIZE,
    PositionReader,
    PublishedPosition,
    encode_position,
    head_of,
)

OPTIONS = EngineOptions(dimension=4, breaker_cooldown_s=0.0)


class Disk(LocalFileSystem):
    """A disk whose fsync fails when it is told to."""

    broken = False

    def create(self, path: Path) -> LocalFile:
        disk, file = self, super().create(path)

        class Failing(LocalFile):
            def sync(self, *, data_only: bool = True) -> None:
                if disk.broken:
                    raise OSError(errno.EIO, "Input/output error", str(path))
                file.sync(data_only=data_only)

            def write(self, data: bytes) -> int:  # type: ignore[override]
                return file.write(data)

            def close(self) -> None:
                file.close()

        return Failing(-1)


def _put(doc_id: int) -> Put:
    return Put(Document(doc_id, np.full(4, doc_id, np.float32), {}))


def test_a_frame_whose_fsync_fails_is_never_shown(tmp_path: Path) -> None:
    disk = Disk()
    writer = open_engine(tmp_path, OPTIONS, filesystem=disk)
    reader = open_reader(tmp_path, OPTIONS)
    assert reader.following is not None
    writer.write(_put(1))
    for doc_id in (2, 4, 6):
        disk.broken = True
        with pytest.raises(KyroError):
            writer.write(_put(doc_id))
        reader.following.catch_up()
        assert reader.get(doc_id) is None
        fresh = open_reader(tmp_path, OPTIONS)
        assert fresh.get(doc_id) is None
        fresh.close()
        disk.broken = False
        writer.write(_put(doc_id + 1))  # by way of a new log segment
        reader.following.catch_up()
        assert reader.get(doc_id) is None
        assert reader.get(doc_id + 1) is not None
    assert reader.documents == writer.documents == 4
    assert reader.reads._state.position == writer.reads._state.position
    reader.close()
    writer.close()


def test_frames_acknowledged_before_their_sync_are_shown_once_though_written_twice(tmp_path: Path) -> None:
    """With a sync interval the log writes accepted frames again, after an error, into another segment."""
    disk = Disk()
    options = EngineOptions(dimension=4, breaker_cooldown_s=0.0, sync_interval_ms=10_000, background=False)
    writer = open_engine(tmp_path, options, filesystem=disk)
    reader = open_reader(tmp_path, options)
    assert reader.following is not None
    for doc_id in range(1, 6):
        writer.write(_put(doc_id))
    reader.following.catch_up()
    assert reader.documents == 5
    disk.broken = True
    with pytest.raises(KyroError):
        writer.flush()
    disk.broken = False
    writer.write(_put(6))
    reader.following.catch_up()
    assert reader.documents == 6
    assert reader.following.rebuilt == 0
    reader.close()
    writer.close()


def test_a_note_of_another_boot_or_directory_or_half_replaced_means_nothing(tmp_path: Path) -> None:
    filesystem, path = LocalFileSystem(), tmp_path / filename.POSITION
    assert PositionReader(filesystem, tmp_path).read() is None
    head = head_of(filesystem, tmp_path)
    content = encode_position(head, 7, 4096, 12)
    assert len(content) == SIZE
    path.write_bytes(content)
    assert PositionReader(filesystem, tmp_path).read() == PublishedPosition(filename.wal(7), 4096, 12)
    for at in (0, 8, 24, 40, SIZE - 1):
        changed = bytearray(content)
        changed[at] ^= 1
        path.write_bytes(changed)
        assert PositionReader(filesystem, tmp_path).read() is None
    path.write_bytes(content[:-1])
    assert PositionReader(filesystem, tmp_path).read() is None


def test_a_reader_sees_the_note_change_in_place(tmp_path: Path) -> None:
    filesystem = LocalFileSystem()
    note = filesystem.open_note(tmp_path / filename.POSITION)
    head = head_of(filesystem, tmp_path)
    note.put(encode_position(head, 1, 64, 0))
    reader = PositionReader(filesystem, tmp_path)
    for number in range(1, 50):
        before = reader.raw()
        note.put(encode_position(head, 1, 64 + number, number))
        assert reader.raw() != before
        assert reader.read() == PublishedPosition(filename.wal(1), 64 + number, number)
    note.close()
    note.close()
