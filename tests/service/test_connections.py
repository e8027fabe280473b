"""The connections of a process beyond the number it should have."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE_S

from pykyro.memory.budget import MemoryBudget
from pykyro.model.errors import ConfigError
from pykyro.model.limits import FILES_OF_THE_SERVER
from pykyro.service import connections
from pykyro.service.connections import ConnectionBounds, Connections, raise_file_limit


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


class Pairs:
    """Connections to a port of this process, both ends."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.clients: list[socket.socket] = []
        self.accepted: list[socket.socket] = []

    def connect(self) -> None:
        client = socket.create_connection(self._listener.getsockname(), timeout=PATIENCE_S)
        self.clients.append(client)
        self.accepted.append(self._listener.accept()[0])

    def alive(self) -> list[bool]:
        """Which of the clients still have a server."""
        for client in self.clients:
            client.setblocking(False)
        return [_is_open(client) for client in self.clients]

    def close(self) -> None:
        for end in (*self.clients, *self.accepted):
            end.close()


def _is_open(client: socket.socket) -> bool:
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True


@pytest.fixture
def pairs(listener: socket.socket) -> Iterator[Pairs]:
    pairs = Pairs(listener)
    yield pairs
    pairs.close()


def watching(listener: socket.socket, tmp_path: Path, *, files_max: int) -> Connections:
    """Half of `files_max` may be connections, but for those that are kept free."""
    bounds = {listener.getsockname()[1]: files_max // 2}
    return Connections(bounds, files_max=files_max, memory=MemoryBudget(1 << 40))


def test_what_is_allowed_is_left_alone(listener: socket.socket, pairs: Pairs, tmp_path: Path) -> None:
    watch = watching(listener, tmp_path, files_max=8)
    for _ in range(3):
        pairs.connect()
    assert watch.sweep() == 0
    assert (watch.open, list(watch.connections_max.values())) == (3, [3])
    assert pairs.alive() == [True] * 3


def test_those_silent_longest_go_first(listener: socket.socket, pairs: Pairs, tmp_path: Path) -> None:
    watch = watching(listener, tmp_path, files_max=8)
    for _ in range(5):
        pairs.connect()
    # The kernel counts from the last byte, in milliseconds.
    while min(one.silent_s for one in watch._accepted()) < 0.05:
        pass
    for at in (0, 3, 4):
        pairs.clients[at].send(b"!")
    assert watch.sweep() == 2
    assert pairs.alive() == [True, False, False, True, True]
    assert watch.shed_total == 2


def test_other_sockets_are_not_touched(listener: socket.socket, pairs: Pairs, tmp_path: Path) -> None:
    pairs.connect()
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert watching(other, tmp_path, files_max=0).sweep() == 0
    assert pairs.alive() == [True]


def test_while_memory_is_short_the_silent_ones_go(
    listener: socket.socket, pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTION_SILENT_S", 0.0)
    watch = watching(listener, tmp_path, files_max=100)
    pairs.connect()
    assert watch.sweep() == 0
    monkeypatch.setattr(connections, "MEMORY_SHARE_HIGH", 0.0)
    assert watch.sweep() == 1
    assert pairs.alive() == [False]


def test_the_process_may_open_all_the_files_that_are_allowed() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        assert raise_file_limit() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_after_a_wave_of_connections_memory_is_given_back_now_and_a_little_later(
    listener: socket.socket, pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = watching(listener, tmp_path, files_max=100)
    given_back: list[bool] = []
    monkeypatch.setattr(connections, "_WAVE", 4)
    monkeypatch.setattr(connections, "_LOOKING_SHARE", math.inf)
    monkeypatch.setattr(connections, "give_memory_back", lambda: given_back.append(True))

    def gives_back() -> bool:
        given_back.clear()
        watch.sweep()
        return bool(given_back)

    for _ in range(5):
        pairs.connect()
    assert not any(gives_back() for _ in range(3))
    assert watch.open == 5
    pairs.close()
    assert [look for look in range(1, 31) if gives_back()] == [1, 5, 15]
    assert watch.open == 0


def test_connections_within_what_is_allowed_are_looked_at_a_small_share_of_the_time(
    listener: socket.socket, pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_LOOKING_SHARE", 1e-9)
    watch = watching(listener, tmp_path, files_max=100)
    (port,) = watch.connections_max
    watch.connections_max[port] = 3 + 4  # each pair is two files
    for _ in range(3):
        pairs.connect()
    assert (watch.sweep(), watch.open) == (0, 3)
    pairs.connect()
    assert (watch.sweep(), watch.open) == (0, 3)
    # With as many files more there may be too many connections.
    pairs.connect()
    assert (watch.sweep(), watch.open) == (0, 5)


def test_but_not_too_seldom(
    listener: socket.socket, pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_LOOKING_SHARE", 1e-9)
    monkeypatch.setattr(connections, "_LOOK_AGAIN_S_MAX", 0.0)
    watch = watching(listener, tmp_path, files_max=1000)
    for number in (1, 2):
        pairs.connect()
        assert (watch.sweep(), watch.open) == (0, number)


def test_one_in_eight_is_kept_free_for_those_who_come(
    listener: socket.socket, pairs: Pairs, tmp_path: Path
) -> None:
    watch = watching(listener, tmp_path, files_max=32)
    for _ in range(16):
        pairs.connect()
    assert watch.sweep() == 2
    assert sum(pairs.alive()) == 14
    assert "2 of 16 connections were closed" in watch.fault


def test_the_bounds_leave_files_to_the_database() -> None:
    for files_max in (96, 256, 1024, 4096, 1 << 20):
        bounds = ConnectionBounds.of(files_max)
        assert bounds.grpc >= bounds.http >= 1
        assert bounds.grpc + bounds.http <= 0.63 * (files_max - FILES_OF_THE_SERVER)


def test_too_few_files_are_refused_with_the_number_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (48, 48))
    with pytest.raises(ConfigError, match="may open 48 files, and the server needs 64"):
        raise_file_limit()


def test_without_a_file_left_connections_are_shed_and_the_guard_lives(
    listener: socket.socket, pairs: Pairs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = watching(listener, tmp_path, files_max=400)
    for _ in range(150):
        pairs.connect()
    assert watch.sweep() == 0
    taken: list[int] = []
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 4, before[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        shed = watch.sweep()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for descriptor in taken:
            os.close(descriptor)
    assert shed == 150 - 175 // 2
    assert any(
        record.levelname == "ERROR" and "has opened all of the" in record.message for record in caplog.records
    )
    assert watch.sweep() == 0


def test_whatever_a_look_meets_it_is_looked_again(listener: socket.socket, tmp_path: Path) -> None:
    watch = watching(listener, tmp_path, files_max=100)
    looks: list[None] = []

    def look() -> int:
        looks.append(None)
        raise OSError(5, "Input/output error") if len(looks) == 1 else ValueError("something else")

    async def story() -> None:
        watch.sweep = look  # type: ignore[method-assign]
        running = asyncio.create_task(watch.run())
        while len(looks) < 3:
            await asyncio.sleep(0.05)
        assert not running.done()
        running.cancel()

    asyncio.run(story())
    assert "could not be examined" in watch.fault
