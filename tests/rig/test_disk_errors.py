"""The real server on disks that fail under load: a full one, and system calls that return errors."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.operations.faults import Ext4Disk, fill, injected, small_disk, wait_until
from tests.rig.conftest import Start, kill, unmount
from tests.rig.load import Load
from tests.server.running import RunningServer


def accepted_again(server: RunningServer, load: Load) -> None:
    """Writes go through again, without a restart."""
    before = load.acknowledged
    load.start(server)
    wait_until(lambda: load.acknowledged > before + 20, "writes are accepted again")
    load.stop()


def fill_and_mend(start: Start, directory: Path, load: Load, cycles: Iterator[int]) -> None:
    server = start(directory)
    for _ in cycles:
        load.start(server)
        wait_until(lambda: load.acknowledged > 50, "writes are accepted")
        enough_failures = load.failed + 5
        filler = fill(directory, leaving_bytes=0)
        wait_until(functools.partial(_has_failed, load, enough_failures), "the disk is full")
        load.stop()
        load.check(server)
        filler.unlink()
        accepted_again(server, load)
    kill(server)
    again = start(directory)
    load.check(again)
    kill(again)


def _has_failed(load: Load, times: int) -> bool:
    return load.failed >= times


@pytest.mark.timeout(0)
def test_full_tmpfs_and_space_back(start: Start, tmp_path: Path, cycles: Iterator[int]) -> None:
    with small_disk(tmp_path / "disk", 48 << 20) as disk:
        fill_and_mend(start, disk, Load(11), cycles)


@pytest.mark.timeout(0)
def test_full_ext4_and_space_back(start: Start, tmp_path: Path, cycles: Iterator[int]) -> None:
    disk = Ext4Disk(tmp_path / "disk", 64 << 20)
    try:
        fill_and_mend(start, disk.path, Load(12), cycles)
    finally:
        unmount(disk)


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    "fault",
    [
        "fdatasync:error=EIO:when=5+9",
        "fsync:error=EIO:when=3+4",
        "rename:error=EIO:when=2+2",
        "fsync,fdatasync:error=EIO",
        "fdatasync:signal=KILL:when=30",
        "rename:signal=KILL:when=3",
    ],
)
def test_system_calls_that_return_errors_or_kill(
    start: Start, tmp_path: Path, cycles: Iterator[int], fault: str
) -> None:
    """Errors: writes go on once they end. A signal: the process dies in the middle of that very call."""
    rng, load = random.Random(fault), Load(13)
    server = start(tmp_path)
    for _ in cycles:
        with injected(server.process.pid, fault):
            load.start(server)
            time.sleep(rng.uniform(1.0, 2.0))
            load.stop()
        if server.process.poll() is not None:
            server = start(tmp_path)
        load.check(server)
        accepted_again(server, load)
    rng.choice((kill, RunningServer.stop))(server)
    load.check(start(tmp_path))
