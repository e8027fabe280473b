"""Answers that have not left: how many bytes of them each connection has, and what becomes of one that does not read.

A call has ended for its client when its answer is there, and for the server when it has left; until then it takes
memory. So a connection whose client does not read gets no more answers once enough of them wait, and is closed when
nothing of them has moved for a while. Neither gRPC server can give up a single answer, so it is the connection that
goes; a client in good faith connects again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote

from pykyro.memory.budget import MemoryBudget, mebibytes
from pykyro.model.errors import ResourceExhausted
from pykyro.model.limits import (
    MEMORY_SHARE_HIGH,
    UNREAD_ANSWERS_BYTES_MAX,
    UNREAD_S_MAX,
    UNREAD_SHARE_MAX,
    UNREAD_SHORT_S_MAX,
)
from pykyro.system.descriptors import connections_to

_log: Final = logging.getLogger(__name__)

_LOOK_S: Final = 0.5
_BYTES_ACKNOWLEDGED: Final = struct.Struct("=120xQ")
"""In struct tcp_info of linux/tcp.h: bytes sent that the other side has acknowledged."""
_MOVED_BYTES: Final = 4096
"""Fewer are what HTTP/2 says by itself."""
_RETRY_AFTER_S: Final = 1.0


class AnswersOfConnection:
    """What waits on one connection. The event loop counts in its attributes."""

    __slots__ = ("acknowledged", "bytes", "calls", "is_told_apart", "moved_s", "peer")

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.is_told_apart = _address(peer) is not None
        """Whether its address is known."""
        self.calls = 0
        """Calls whose answer was made and has not left."""
        self.bytes = 0
        """Of those answers."""
        self.moved_s = 0.0
        """When an answer left or was made while none waited, on time.monotonic."""
        self.acknowledged = -1


class UnreadAnswers:
    """Those of all connections. Used on the event loop."""

    def __init__(self, budget: MemoryBudget, port: int) -> None:
        self._budget = budget
        self._port = port
        self.connections: dict[str, AnswersOfConnection] = {}
        """By the peer that gRPC names."""
        self.bytes_max = 0
        """What one connection may have waiting; nobody is refused below it."""
        self.closed_total = 0
        self._set_bound()

    def met(self, peer: str) -> AnswersOfConnection:
        """The answers of a connection that calls for the first time."""
        met = self.connections[peer] = AnswersOfConnection(peer)
        return met

    def refusal(self, of: AnswersOfConnection) -> ResourceExhausted:
        """What a call meets whose connection has too much waiting."""
        return ResourceExhausted(
            f"{of.calls} answers of {mebibytes(of.bytes)} wait on this connection for their client to read them "
            f"(max: {mebibytes(self.bytes_max)}): read them, or ask for less at once",
            retry_after_s=_RETRY_AFTER_S,
        )

    async def run(self) -> None:
        """Look after them until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await self.look()
            except Exception:
                _log.exception("unread answers could not be looked after")

    async def look(self) -> None:
        """Forget connections on which nothing waits, close those on which nothing has moved for too long."""
        self._set_bound()
        short = self._budget.pressure > MEMORY_SHARE_HIGH
        longest_s = UNREAD_SHORT_S_MAX if short else UNREAD_S_MAX
        now_s = time.monotonic()
        still: dict[tuple[str, int], AnswersOfConnection] = {}
        for peer, one in list(self.connections.items()):
            if not one.calls and not one.bytes:
                del self.connections[peer]
            elif (
                (one.calls or short)
                and one.moved_s < now_s - _LOOK_S
                and (address := _address(peer)) is not None
            ):
                still[address] = one
        if still:
            await asyncio.to_thread(self._close_stuck, still, now_s, longest_s)

    def _close_stuck(
        self, still: Mapping[tuple[str, int], AnswersOfConnection], now_s: float, longest_s: float
    ) -> None:
        for one, connection in self._accepted(still):
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKNOWLEDGED.size)
            (acknowledged,) = _BYTES_ACKNOWLEDGED.unpack(info)
            if acknowledged > one.acknowledged + _MOVED_BYTES:
                one.acknowledged, one.moved_s = acknowledged, max(one.moved_s, now_s)
            elif now_s - one.moved_s > longest_s:
                connection.shutdown(socket.SHUT_RDWR)
                self.closed_total += 1
                _log.warning(
                    "connection from %s was closed: %d answers of %s wait on it, and for %.0f s its client took none",
                    one.peer,
                    one.calls,
                    mebibytes(one.bytes),
                    now_s - one.moved_s,
                )

    def _accepted(
        self, wanted: Mapping[tuple[str, int], AnswersOfConnection]
    ) -> Iterator[tuple[AnswersOfConnection, socket.socket]]:
        for _, connection in connections_to((self._port,)):
            with contextlib.suppress(OSError):
                host, port = connection.getpeername()[:2]
                one = wanted.get((host.removeprefix("::ffff:"), port))
                if one is not None:
                    yield one, connection

    def _set_bound(self) -> None:
        self.bytes_max = min(UNREAD_ANSWERS_BYTES_MAX, int(UNREAD_SHARE_MAX * self._budget.limit_bytes))


def _address(peer: str) -> tuple[str, int] | None:
    """Host and port of a peer as gRPC writes it; None for one that is no TCP connection."""
    family, _, rest = unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    if family not in ("ipv4", "ipv6") or not port.isdigit():
        return None
    return host.strip("[]").removeprefix("::ffff:"), int(port)
