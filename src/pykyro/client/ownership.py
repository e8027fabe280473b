"""The process and the event loop that own a client, and the errors of a client that is used elsewhere.

gRPC does not survive a fork: a channel in the child hangs or takes the process down, because the threads that served
it stayed in the parent. And a channel of asyncio's gRPC lives on the event loop on which it was opened.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import weakref
from typing import Any, Final

from pykyro.model.errors import FailedPrecondition

_WAYS: Final = (
    "fork before the first client is made, or start processes with spawn "
    '(multiprocessing.set_start_method("spawn"))'
)


_channels: Final[weakref.WeakSet[Any]] = weakref.WeakSet()


def keep_after_fork(channel: Any) -> None:
    """Keep this channel alive in forked processes until they end: its destructor may wait for a thread that stayed in
    the parent."""
    _channels.add(channel)


def _keep_channels() -> None:
    # An extra reference, never returned, keeps the object past the end of the interpreter.
    for channel in list(_channels):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(channel))


os.register_at_fork(after_in_child=_keep_channels)


class OwnerProcess:
    """The process in which a client was made."""

    def __init__(self) -> None:
        self._pid: Final = os.getpid()

    @property
    def is_current(self) -> bool:
        """False in a process that was forked since."""
        return os.getpid() == self._pid

    def require(self) -> None:
        """Raises FailedPrecondition in any other process."""
        if os.getpid() != self._pid:
            raise FailedPrecondition(
                f"this client belongs to process {self._pid} and cannot be used in process {os.getpid()}, which was "
                f"forked from it: make a client of its own here"
            )


class OwnerLoop:
    """The event loop on which an asynchronous client is first used."""

    _pid_of_first_use: int | None = None
    """Process of the first use of any asynchronous client: after a fork no other can be used in the child."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None

    def require(self) -> None:
        """Take the running loop as the owner at the first use. Raises FailedPrecondition on any other."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            raise FailedPrecondition(
                "an AsyncClient needs a running asyncio event loop, and there is none here: use pykyro.Client "
                "outside of asyncio"
            ) from None
        if self.loop is None:
            self._bind(running)
        elif self.loop is not running:
            ended = "which has ended" if self.loop.is_closed() else "which is not the one running here"
            raise FailedPrecondition(
                f"this AsyncClient belongs to the event loop on which it was first used, {ended}: make one inside "
                f"each asyncio.run, and one for each thread that runs a loop"
            )

    def _bind(self, running: asyncio.AbstractEventLoop) -> None:
        first = OwnerLoop._pid_of_first_use
        if first is not None and first != os.getpid():
            raise FailedPrecondition(
                f"an AsyncClient was in use in process {first} when this one, {os.getpid()}, was forked from it, "
                f"and gRPC for asyncio cannot start again in a forked process: use pykyro.Client here; or {_WAYS}"
            )
        OwnerLoop._pid_of_first_use = os.getpid()
        self.loop = running
