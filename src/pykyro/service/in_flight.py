"""Stopping without cutting anybody off: which calls are under way, and whether their answers have left.

A stream on which nothing happens is not under way: it would hold the server up for as long as its client likes.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import termios
from typing import Final

from pykyro.service.open_streams import OpenStreams
from pykyro.system.descriptors import connections_to

SHUTTING_DOWN: Final = "the server is shutting down"
_LOOK_S: Final = 0.02
_QUIET_S: Final = 0.25
"""So long nothing was on its way to a client: every answer has been handed to the kernel, which delivers it even
after the connection was closed. Longer than the round trip to most clients, which a large answer takes many of."""
_QUIET_SOUGHT_S: Final = 5.0
"""Clients that call again and again get refusals, so it may never be quiet."""


class InFlightCalls:
    """Calls being served. Used on the event loop only."""

    def __init__(self) -> None:
        self.calls = 0
        self.streams = OpenStreams()
        self.draining = False
        """Whether new calls are to be refused."""

    def drain(self) -> None:
        """From now on new calls are refused."""
        self.draining = True
        self.streams.drain()


async def answers_have_left(in_flight: InFlightCalls, port: int, within_s: float) -> None:
    """Return when no call is under way and what they answered was sent to the clients of `port`, or after
    `within_s`."""
    now_s = asyncio.get_running_loop().time
    end_s = now_s() + within_s
    idle_since_s = quiet_since_s = now_s()
    while now_s() < min(end_s, idle_since_s + _QUIET_SOUGHT_S, quiet_since_s + _QUIET_S):
        await asyncio.sleep(_LOOK_S)
        in_flight.streams.end_silent()
        if in_flight.calls:
            idle_since_s = quiet_since_s = now_s()
        elif await asyncio.to_thread(_unsent_bytes, port):
            quiet_since_s = now_s()


def _unsent_bytes(port: int) -> int:
    """Bytes that the clients connected to this port have not yet acknowledged."""
    unsent = array.array("i", [0])
    total = 0
    for _, connection in connections_to((port,)):
        with contextlib.suppress(OSError):
            fcntl.ioctl(connection, termios.TIOCOUTQ, unsent)
            total += unsent[0]
    return total
