"""Power cuts on a real file system: FS_IOC_SHUTDOWN drops what was not synced, data and names, as a cut does.

ioctl(2) X_IOC 125 of ext4 and XFS, see include/uapi/linux/fs.h (FS_IOC_SHUTDOWN) and fstests' src/godown.c.
"""

from __future__ import annotations

import fcntl
import os
import random
import struct
from functools import partial
from pathlib import Path

import pytest
from tests.operations.faults import ext4_disk
from tests.patience import wait_until
from tests.rig.conftest import Cycles, Start, kill
from tests.rig.load import Load, check_preloaded, preload
from tests.rig.test_kill import failing_as, work

_SHUTDOWN = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125
_NO_LOG_FLUSH = 2


def cut_power(disk: Path) -> None:
    """From now on the file system takes nothing, and what it had not written is gone."""
    descriptor = os.open(disk, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
    except OSError as error:
        pytest.skip(f"this kernel cannot shut a file system down: {error}")
    finally:
        os.close(descriptor)


@pytest.mark.timeout(0)
def test_power_cuts_lose_nothing_that_was_acknowledged(start: Start, cycles: Cycles) -> None:
    seed = 21
    rng, load = random.Random(seed), Load(seed)
    with ext4_disk(160 << 20) as disk:
        server = start(disk.path)
        preload(server)
        for cycle in cycles(1):
            with load.running(server):
                work(server, rng)
                wait_until(partial(load.has_acknowledged, 20 * (cycle + 1)))
                # An fsync that is under way while ext4 is shut down may find its transaction gone and report success.
                load.doubt()
                cut_power(disk.path)
                kill(server)
            disk.unmount()
            disk.mount()
            with failing_as(f"rig power cut, seed {seed}, cycle {cycle}"):
                server = start(disk.path)
                load.check(server)
                check_preloaded(server)
        kill(server)
    print(f"{cycle + 1} power cuts, {load.acknowledged} acknowledged writes, none lost")
