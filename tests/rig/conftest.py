"""How long the rigs run.

In the suite each goes through the few cycles it names. With KYRODB_RIG_CYCLES it goes through so many, with
KYRODB_RIG_SECONDS until its share of the time is over. What a rig needs beyond that, root or strace, it asks for
where it uses it, and is skipped with the reason.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.rig.load import SETTINGS
from tests.server.running import RunningServer, start_server

CYCLES, SECONDS = "KYRODB_RIG_CYCLES", "KYRODB_RIG_SECONDS"
_RIGS = 11
"""Tests that share the seconds."""


Cycles: TypeAlias = Callable[[int], Iterator[int]]


@pytest.fixture
def cycles() -> Cycles:
    """Numbers of the cycles a rig goes through; it says how many they are in the suite."""

    def numbers(in_the_suite: int) -> Iterator[int]:
        if SECONDS in os.environ:
            return _until(time.monotonic() + float(os.environ[SECONDS]) / _RIGS)
        return iter(range(int(os.environ.get(CYCLES, in_the_suite))))

    return numbers


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
