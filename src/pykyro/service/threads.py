"""Threads for rare or long work: work that must not block the event loop, is too rare to batch, or may never end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Answer = TypeVar("Answer")


def in_thread_of_its_own(name: str, work: Callable[[], Answer]) -> asyncio.Future[Answer]:
    """Run `work` for its result. No thread has to wait for it: neither the loop's end nor that of the process does,
    as they do for the threads of a pool."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Answer] = loop.create_future()

    def set_outcome(answer: Answer | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(answer)  # type: ignore[arg-type]

    def run() -> None:
        answer = failure = None
        try:
            answer = work()
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(set_outcome, answer, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return outcome


class Threads:
    """A small pool. Work that was begun is finished even when its call is cancelled."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="slow")

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """The result or the error of `work`."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def close(self) -> None:
        """Wait for the running work."""
        await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)
