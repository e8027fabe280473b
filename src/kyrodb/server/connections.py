"""What keeps connections from piling up on the ports, whichever server it is that accepts them.

Neither gRPC server bounds how many there are, and each costs a file and memory. A process out of files cannot write
its log either. So the sockets of this process are looked at through the kernel every second: which belong to the
ports, and how long nothing has come in on each (TCP_INFO, see tcp(7)). Beyond what is allowed, or while memory is
short, those that have been silent longest are shut down; a client in good faith connects again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import resource
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from kyrodb.limits import CONNECTION_SILENT_S, MEMORY_SHARE_HIGH, OPEN_CONNECTIONS_MAX
from kyrodb.observe.process import ProcessProbe
from kyrodb.server.own_sockets import connections_to, handle_of, open_files

_log: Final = logging.getLogger(__name__)

_SWEEP_S: Final = 1.0
_LOOKING_SHARE: Final = 0.01
"""Of the time, spent on looking at connections that are within what is allowed."""
_LOOK_AGAIN_S_MAX: Final = 10.0
"""Looking takes long while others want the interpreter; the number of connections is not to be that old."""
_LAST_DATA_RECEIVED: Final = struct.Struct("=52xI")
"""In struct tcp_info of linux/tcp.h: milliseconds since data came in."""
_FALLEN: Final = 0.5
_WAVE: Final = 64
_TRIM_AFTER: Final = (1, 5, 15)
"""Sweeps from the one on that saw a wave of connections fallen to this share of its peak: servers let go of some of
their memory late."""


class _Accepted(NamedTuple):
    """A connection of a client; `peer` tells whether a descriptor is still the same one."""

    silent_s: float
    descriptor: int
    peer: object


def raise_file_limit() -> int:
    """Let the process open as many files as it may; how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft if soft != resource.RLIM_INFINITY else 2 * OPEN_CONNECTIONS_MAX


class Connections:
    """The connections to some ports of this process."""

    def __init__(self, ports: Sequence[int], *, files_max: int, process: ProcessProbe) -> None:
        """At most half of `files_max` may be connections: the database needs files too."""
        self.connections_max = min(OPEN_CONNECTIONS_MAX, files_max // 2)
        self.open = 0
        """Connections there were at the last look."""
        self.shed_total = 0
        self._ports = frozenset(ports)
        self._process = process
        self._look_at_s = 0.0
        self._files_before = open_files()
        self._peak = 0
        self._trim_after: tuple[int, ...] = ()

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.to_thread(self.sweep)
            await asyncio.sleep(_SWEEP_S)

    def sweep(self) -> int:
        """Look whether there are too many connections; how many were shut down."""
        files, memory_is_short = open_files(), self._memory_is_short()
        self._trim(files - self._files_before)
        started_s = time.monotonic()
        if files <= self.connections_max and not memory_is_short and started_s < self._look_at_s:
            return 0
        shed = self._shed(memory_is_short=memory_is_short)
        ended_s = time.monotonic()
        self._look_at_s = ended_s + min(_LOOK_AGAIN_S_MAX, (ended_s - started_s) / _LOOKING_SHARE)
        return shed

    def _shed(self, *, memory_is_short: bool) -> int:
        accepted = sorted(self._accepted(), reverse=True)
        self.open = len(accepted)
        surplus = accepted[: max(0, self.open - self.connections_max)]
        if memory_is_short:
            surplus = [one for one in accepted if one.silent_s >= CONNECTION_SILENT_S] or surplus
        shed = sum(_shut_down(one) for one in surplus)
        if shed:
            _log.warning("%d of %d connections were shut down, those silent longest", shed, self.open)
        self.shed_total += shed
        return shed

    def _trim(self, files: int) -> None:
        """What a wave of connections left behind stays with the allocator unless it is told otherwise; `files` is
        how many more there are than before the first came."""
        self._peak = max(self._peak, files)
        if files < _FALLEN * self._peak and self._peak >= _WAVE:
            self._peak, self._trim_after = files, _TRIM_AFTER
        if 1 in self._trim_after:
            _give_memory_back()
        self._trim_after = tuple([sweeps - 1 for sweeps in self._trim_after if sweeps > 1])

    def _memory_is_short(self) -> bool:
        return self._process.resident_bytes() > MEMORY_SHARE_HIGH * self._process.memory_limit_bytes()

    def _accepted(self) -> Iterator[_Accepted]:
        for descriptor, connection in connections_to(self._ports):
            with contextlib.suppress(OSError):
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECEIVED.size)
                (silent_ms,) = _LAST_DATA_RECEIVED.unpack(info)
                yield _Accepted(silent_ms / 1000, descriptor, connection.getpeername())


def _shut_down(one: _Accepted) -> bool:
    """End a connection under the feet of whoever serves it, as if its client had left."""
    with contextlib.suppress(OSError), handle_of(one.descriptor) as connection:
        if connection.getpeername() == one.peer:
            connection.shutdown(socket.SHUT_RDWR)
            return True
    return False


def _give_memory_back() -> None:
    # malloc_trim(3) is of glibc; elsewhere freed memory goes back by itself, or stays.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
