"""The signals that end the server: the first asks it to finish, the second not to wait."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable


class Stop:
    """Made on the event loop of the main thread; SIGTERM and SIGINT set it off."""

    def __init__(self) -> None:
        self._first = asyncio.Event()
        self._second = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)

    async def wait(self) -> None:
        """Return at the first signal."""
        await self._first.wait()

    async def comes_before(self, work: Awaitable[object]) -> bool:
        """Wait for `work` or the first signal; True when the signal was first. `work` goes on."""
        return await _first_of(self._first, asyncio.ensure_future(work))

    async def unless_again(self, work: Awaitable[object]) -> None:
        """Wait for `work`, and give it up at the second signal."""
        task = asyncio.ensure_future(work)
        if await _first_of(self._second, task):
            task.cancel()
        else:
            await task

    def _signalled(self) -> None:
        (self._second if self._first.is_set() else self._first).set()


async def _first_of(event: asyncio.Event, work: asyncio.Future[object]) -> bool:
    """Whether `event` was set while `work` was not done."""
    waiting: asyncio.Future[object] = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([waiting, work], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    return not work.done()
