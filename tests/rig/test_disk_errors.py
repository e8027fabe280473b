"""The real server on disks that fail under load: a full one, and system calls that return errors."""

from __future__ import annotations

import functools
import random
import time
from pathlib import Path

import pytest
from tests.operations.faults import ext4_disk, fill, injected, small_disk
from tests.patience import wait_until
from tests.rig.conftest import Cycles, Start, kill
from tests.rig.load import Load
from tests.server.running import RunningServer


def accepted_again(server: RunningServer, load: Load) -> None:
    """Writes go through again, without a restart."""
    before = load.acknowledged
    with load.running(server):
        wait_until(lambda: load.acknowledged > before + 20, "writes are accepted again")


def fill_and_mend(start: Start, directory: Path, load: Load, cycles: Cycles) -> None:
    server = start(directory)
    for _ in cycles(1):
        with load.running(server):
            wait_until(lambda: load.acknowledged > 50, "writes are accepted")
            enough_failures = load.failed + 5
            filler = fill(directory, leaving_bytes=0)
            wait_until(functools.partial(_has_failed, load, enough_failures), "the disk is full")
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
def test_full_tmpfs_and_space_back(start: Start, cycles: Cycles) -> None:
    with small_disk(48 << 20) as disk:
        fill_and_mend(start, disk, Load(11), cycles)


@pytest.mark.timeout(0)
def test_full_ext4_and_space_back(start: Start, cycles: Cycles) -> None:
    with ext4_disk(64 << 20) as disk:
        fill_and_mend(start, disk.path, Load(12), cycles)


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
    start: Start, tmp_path: Path, cycles: Cycles, fault: str
) -> None:
    """Errors: writes go on once they end. A signal: the process dies in the middle of that very call."""
    rng, load = random.Random(fault), Load(13)
    server = start(tmp_path)
    for _ in cycles(1):
        with injected(server.process.pid, fault), load.running(server):
            time.sleep(rng.uniform(1.0, 2.0))
        if server.process.poll() is not None:
            server = start(tmp_path)
        load.check(server)
        accepted_again(server, load)
    rng.choice((kill, RunningServer.stop))(server)
    load.check(start(tmp_path))
