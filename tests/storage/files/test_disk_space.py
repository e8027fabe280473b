"""The disk-space watch: two bounds for a refusal, one for a warning, one question a second."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.clock import FakeClock
from tests.crash.fault_filesystem import FaultFS

from pykyro.model.limits import DISK_FREE_BYTES_ENOUGH
from pykyro.storage.files.disk_space import INTERVAL_S, DiskSpace

GIB = 1 << 30
DIRECTORY = Path("/data")


class Disk(FaultFS):
    """A disk whose size and room a test sets."""

    total = 10 * GIB
    free = 10 * GIB
    asked = 0
    silent = False

    def free_bytes(self, path: Path) -> tuple[int, int]:
        self.asked += 1
        if self.silent:
            raise OSError(5, "Input/output error")
        return self.free, self.total


@pytest.mark.parametrize(
    ("total", "free", "warns", "refuses"),
    [
        (10 * GIB, GIB, False, False),
        (10 * GIB, GIB - 1, True, False),
        (10 * GIB, GIB // 2, True, False),
        (10 * GIB, GIB // 2 - 1, True, True),
        (1000 * GIB, DISK_FREE_BYTES_ENOUGH, True, False),
        (1000 * GIB, DISK_FREE_BYTES_ENOUGH - 1, True, True),
        (GIB, GIB // 2, False, False),
        (GIB, 0, True, True),
    ],
)
def test_a_refusal_needs_a_small_share_and_few_bytes(
    total: int, free: int, warns: bool, refuses: bool
) -> None:
    disk = Disk()
    disk.total, disk.free = total, free
    room = DiskSpace(disk, DIRECTORY, FakeClock()).room()
    assert (bool(room.warning), bool(room.refusal)) == (warns, refuses)
    assert (room.free_bytes, room.total_bytes) == (free, total)


def test_refusing_and_taking_documents_again_are_a_line_each(caplog: pytest.LogCaptureFixture) -> None:
    disk, clock = Disk(), FakeClock()
    watch = DiskSpace(disk, DIRECTORY, clock)
    for free in (GIB // 2, GIB // 4, GIB // 4, GIB // 2, 10 * GIB):
        disk.free = free
        clock.advance(INTERVAL_S)
        watch.room()
    lines = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
    beginnings = [
        "WARNING disk space low (< 10%)",
        "ERROR new documents are refused: disk space critically low (< 5%)",
        "WARNING new documents are accepted again",
        "WARNING the disk has room again",
    ]
    assert [line[: len(words)] for line, words in zip(lines, beginnings, strict=True)] == beginnings


def test_free_space_about_a_bound_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    disk, clock = Disk(), FakeClock()
    watch = DiskSpace(disk, DIRECTORY, clock)
    for second in range(600):
        disk.free = (GIB // 2) - second % 2
        clock.advance(INTERVAL_S)
        watch.room()
    assert len(caplog.records) <= 2 + 2 * 600 // 60


def test_the_texts_name_the_bound_the_room_and_the_way_out() -> None:
    disk = Disk()
    disk.free = 300 << 20
    refusal = DiskSpace(disk, DIRECTORY, FakeClock()).room().refusal
    assert "disk space critically low (< 5%): 300.0 MiB of 10.0 GiB free on the disk of /data" in refusal
    assert "only deletes are accepted" in refusal
    disk.free = 900 << 20
    assert "(< 10%): 900.0 MiB of 10.0 GiB" in DiskSpace(disk, DIRECTORY, FakeClock()).room().warning


def test_the_disk_is_asked_once_a_second_at_most() -> None:
    disk, clock = Disk(), FakeClock()
    space = DiskSpace(disk, DIRECTORY, clock)
    for _ in range(100):
        space.room()
    assert disk.asked == 1
    disk.free = 0
    assert not space.room().refusal
    clock.advance(INTERVAL_S)
    assert space.room().refusal
    assert disk.asked == 2


def test_a_disk_that_does_not_say_refuses_nothing() -> None:
    disk = Disk()
    disk.silent = True
    room = DiskSpace(disk, DIRECTORY, FakeClock()).room()
    assert (room.free_bytes, room.warning, room.refusal) == (0, "", "")
