"""kill -9 of the real server under load: while it writes, seals, merges, makes snapshots, and while it starts."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from tests.patience import wait_until
from tests.rig.conftest import Cycles, Start, kill
from tests.rig.load import Load, check_preloaded, preload
from tests.server.running import RunningServer

from pykyro.proto import kyrodb_pb2 as pb


@contextlib.contextmanager
def failing_as(where: str) -> Iterator[None]:
    """A failure inside says where it was."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{where}: {error}") from error


def work(server: RunningServer, rng: random.Random) -> None:
    """Let the load run for a moment, asking for what an operator may ask for at any time."""
    end = time.monotonic() + rng.uniform(0.2, 1.0)
    while time.monotonic() < end:
        time.sleep(0.1)
        _upkeep(server, rng)


def _upkeep(server: RunningServer, rng: random.Random) -> None:
    with contextlib.suppress(grpc.RpcError):
        match rng.choice(("flush", "snapshot", "nothing")):
            case "flush":
                server.stub.FlushHotTier(pb.FlushRequest(force=True), timeout=10)
            case "snapshot":
                server.stub.CreateSnapshot(pb.SnapshotRequest(), timeout=10)


@pytest.mark.timeout(0)
@pytest.mark.parametrize(("interval_ms", "in_the_suite"), [(0, 2), (20, 1)])
def test_killed_server_loses_nothing_it_acknowledged(
    start: Start, tmp_path: Path, cycles: Cycles, interval_ms: int, in_the_suite: int
) -> None:
    """A kill leaves the page cache alone, so a sync interval loses nothing either."""
    seed = 7
    rng, load = random.Random(seed), Load(seed)
    settings = {"persistence__wal_flush_interval_ms": interval_ms}
    server = start(tmp_path, **settings)
    preload(server)
    kills = 0
    for cycle in cycles(in_the_suite):
        with load.running(server):
            work(server, rng)
            wait_until(partial(load.has_acknowledged, 20 * (cycle + 1)), "writes are acknowledged")
            kill(server)
        kills += 1
        if rng.random() < 0.5:  # once more, inside the start
            dying = start(tmp_path, ready=False, **settings)
            time.sleep(rng.uniform(0.1, 1.2))
            kill(dying)
            kills += 1
        with failing_as(f"rig kill, seed {seed}, cycle {cycle}, data in {tmp_path}"):
            server = start(tmp_path, **settings)
            load.check(server)
            check_preloaded(server)
    assert server.stop() == 0
    print(f"{kills} kills, {load.acknowledged} acknowledged writes, none lost")
