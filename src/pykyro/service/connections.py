"""A guard that keeps the number of connections bounded, for every server implementation that accepts them.

Each costs a file and memory, and a process out of files cannot write its log either. The servers take no
connections beyond their bound, which those that never say anything would fill for ever. So the sockets of this
process are looked at through the kernel: which belong to the ports, and how long nothing has come in on each
(TCP_INFO, see tcp(7)). Near the bound, or while memory is short, those that have been silent longest are shut down; a
client in good faith connects again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
import os
import resource
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from pykyro.memory.budget import MemoryBudget
from pykyro.model.errors import ConfigError
from pykyro.model.limits import (
    CONNECTION_SILENT_S,
    FILES_OF_THE_SERVER,
    MEMORY_SHARE_HIGH,
    OPEN_CONNECTIONS_MAX,
)
from pykyro.system.descriptors import connections_to, handle_of, open_files
from pykyro.system.memory import give_memory_back

_log: Final = logging.getLogger(__name__)

_SWEEP_S: Final = 1.0
_SWEEP_CROWDED_S: Final = 0.1
_SWEEPING_SHARE: Final = 0.1
"""Of the time, spent on it then."""
_CROWDED: Final = 0.5
"""Of the files the process may open, from which on it is looked often."""
_ROOM: Final = 8
"""One in so many of the connections there may be, and one at least, is kept free for those who come."""
_RESERVE: Final = 8
_WHEN_OUT_OF_FILES: Final = 0.5
"""Of the connections there may be, so many stay when no file can be opened."""
_LOG_AGAIN_S: Final = 10.0
_TOLD_S: Final = 60.0
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
    port: int


class _Notice:
    """The last message about connections: once in a while in the log, for a minute in health."""

    def __init__(self) -> None:
        self._text = ""
        self._at_s = self._logged_s = -math.inf

    @property
    def lately(self) -> str:
        return self._text if time.monotonic() - self._at_s < _TOLD_S else ""

    def warning(self, text: str, *values: object) -> None:
        self._tell(logging.WARNING, text, values)

    def error(self, text: str, *values: object) -> None:
        self._tell(logging.ERROR, text, values)

    def _tell(self, level: int, text: str, values: tuple[object, ...]) -> None:
        now_s = time.monotonic()
        self._text, self._at_s = text % values, now_s
        if now_s - self._logged_s >= _LOG_AGAIN_S:
            self._logged_s = now_s
            _log.log(level, text, *values)


def raise_file_limit() -> int:
    """Let the process open as many files as it may; how many that are. Raises ConfigError when they are too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft == resource.RLIM_INFINITY:
        return 4 * OPEN_CONNECTIONS_MAX
    if soft < FILES_OF_THE_SERVER:
        raise ConfigError(
            f"the process may open {soft} files, and the server needs {FILES_OF_THE_SERVER} before any client "
            f"connects: raise the limit with ulimit -n, or LimitNOFILE= in the unit"
        )
    return soft


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """How many connections each server takes. Together they leave more than a third of the files to the database."""

    grpc: int
    http: int

    @classmethod
    def of(cls, files_max: int) -> ConnectionBounds:
        """Those of a process that may open so many files."""
        grpc = max(1, min(OPEN_CONNECTIONS_MAX, (files_max - FILES_OF_THE_SERVER) // 2))
        return cls(grpc, max(1, grpc // 4))


class Connections:
    """The connections to some ports of this process."""

    def __init__(self, bounds: Mapping[int, int], *, files_max: int, memory: MemoryBudget) -> None:
        """`bounds` is how many connections each port may have; some are always left for those who come."""
        self.connections_max = {
            port: max(1, bound - max(1, bound // _ROOM)) for port, bound in bounds.items()
        }
        self.open = 0
        """Connections there were at the last look."""
        self.shed_total = 0
        self._files_max = files_max
        self._memory = memory
        self._look_at_s = 0.0
        self._reserve: list[int] = []
        self._fill_reserve()
        self._files_before = open_files()
        self._files = self._files_at_look = self._files_before
        self._room = 0
        """Connections one of the ports could take before it had too many, as of the last look."""
        self._peak = 0
        self._trim_after: tuple[int, ...] = ()
        self._told = _Notice()

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            started_s = time.monotonic()
            try:
                await asyncio.to_thread(self.sweep)
            except Exception as error:
                self._told.error("the connections could not be examined: %s", error)
            crowded = self._files > _CROWDED * self._files_max
            pause_s = max(_SWEEP_CROWDED_S, (time.monotonic() - started_s) / _SWEEPING_SHARE)
            await asyncio.sleep(min(pause_s, _SWEEP_S) if crowded else _SWEEP_S)

    @property
    def fault(self) -> str:
        """A message for the operator about the last minute, "" for none."""
        return self._told.lately

    def sweep(self) -> int:
        """Look whether there are too many connections; how many were shut down."""
        try:
            return self._sweep()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._files = self._files_max
            self._told.error(
                "the process has opened all of the %d files it may open: connections are being closed",
                self._files_max,
            )
        finally:
            self._fill_reserve()
        self._give_reserve()
        try:
            return self._shed(memory_is_short=False, to_share=_WHEN_OUT_OF_FILES)
        finally:
            self._fill_reserve()

    def _sweep(self) -> int:
        self._files = files = open_files()
        memory_is_short = self._memory_is_short()
        self._trim(files - self._files_before)
        started_s = time.monotonic()
        few = files - self._files_at_look < self._room
        if few and not memory_is_short and started_s < self._look_at_s:
            return 0
        shed = self._shed(memory_is_short=memory_is_short)
        ended_s = time.monotonic()
        self._look_at_s = ended_s + min(_LOOK_AGAIN_S_MAX, (ended_s - started_s) / _LOOKING_SHARE)
        return shed

    def _shed(self, *, memory_is_short: bool, to_share: float = 1.0) -> int:
        accepted = sorted(self._accepted(), reverse=True)
        self.open = len(accepted)
        self._files_at_look = self._files
        surplus, room = [], []
        for port, most in self.connections_max.items():
            there = [one for one in accepted if one.port == port]
            surplus += there[: max(0, len(there) - int(most * to_share))]
            room.append(most - min(most, len(there)))
        self._room = min(room, default=0)
        if memory_is_short:
            surplus = [one for one in accepted if one.silent_s >= CONNECTION_SILENT_S] or surplus
        shed = sum(_shut_down(one) for one in surplus)
        self.shed_total += shed
        if shed:
            self._told.warning(
                "%d of %d connections were closed, those that were idle longest (%d since the start)",
                shed,
                self.open,
                self.shed_total,
            )
        return shed

    def _fill_reserve(self) -> None:
        """Hold some files, so that there are some to look with when others have taken all."""
        with contextlib.suppress(OSError):
            while len(self._reserve) < _RESERVE:
                self._reserve.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def _give_reserve(self) -> None:
        while self._reserve:
            os.close(self._reserve.pop())

    def _trim(self, files: int) -> None:
        """The allocator keeps the memory of a wave of connections unless it is asked to return it; `files` is
        how many more there are than before the first came."""
        self._peak = max(self._peak, files)
        if files < _FALLEN * self._peak and self._peak >= _WAVE:
            self._peak, self._trim_after = files, _TRIM_AFTER
        if 1 in self._trim_after:
            give_memory_back()
        self._trim_after = tuple([sweeps - 1 for sweeps in self._trim_after if sweeps > 1])

    def _memory_is_short(self) -> bool:
        return self._memory.pressure > MEMORY_SHARE_HIGH

    def _accepted(self) -> Iterator[_Accepted]:
        for descriptor, connection in connections_to(self.connections_max):
            with contextlib.suppress(OSError):
                port = connection.getsockname()[1]
                info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECEIVED.size)
                (silent_ms,) = _LAST_DATA_RECEIVED.unpack(info)
                yield _Accepted(silent_ms / 1000, descriptor, connection.getpeername(), port)


def _shut_down(one: _Accepted) -> bool:
    """End a connection without its server's help, as if its client had left."""
    with contextlib.suppress(OSError), handle_of(one.descriptor) as connection:
        if connection.getpeername() == one.peer:
            connection.shutdown(socket.SHUT_RDWR)
            return True
    return False
