"""How long the rigs run, and what they need."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.operations.faults import Ext4Disk, wait_until
from tests.rig.load import SETTINGS
from tests.server.running import RunningServer, start_server

HERE = Path(__file__).parent


CYCLES, SECONDS = "KYRODB_RIG_CYCLES", "KYRODB_RIG_SECONDS"
_RIGS = 11
"""Tests that share the seconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips the rigs, with the reason, where they cannot run or nobody asked for them."""
    reason = ""
    if sys.platform != "linux" or os.geteuid() != 0:
        reason = "needs Linux and root"
    elif CYCLES not in os.environ and SECONDS not in os.environ:
        reason = f"takes minutes: set {CYCLES} or {SECONDS}, or use make rig"
    for item in items:
        if reason and HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def cycles() -> Iterator[int]:
    """Numbers of the cycles a rig goes through: as many as asked for, or until its share of the time is over."""
    if CYCLES in os.environ:
        return iter(range(int(os.environ[CYCLES])))
    return _until(time.monotonic() + float(os.environ[SECONDS]) / _RIGS)


def _until(end: float) -> Iterator[int]:
    for cycle in itertools.count():
        yield cycle
        if time.monotonic() > end:
            return


Start: TypeAlias = Callable[..., RunningServer]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a server with SETTINGS on a directory; whatever still runs at the end is killed."""
    started: list[RunningServer] = []

    def start_one(directory: Path, *, ready: bool = True, **settings: Any) -> RunningServer:
        server = start_server(directory, SETTINGS | settings)
        started.append(server)
        if ready:
            server.wait_ready()
        return server

    yield start_one
    for server in started:
        kill(server)
        server.channel.close()


def kill(server: RunningServer) -> None:
    """By SIGKILL; a dead one stays dead. Its clients find out by themselves."""
    server.process.kill()
    server.process.wait()


def unmount(disk: Ext4Disk) -> None:
    """A build process that outlived its server for a moment keeps the disk busy."""
    command = ["umount", str(disk.path)]
    wait_until(lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0, "umount")
