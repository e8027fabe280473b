"""The signals of the server: some end it, others start work that runs while the server serves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Final

from pykyro.engine.engine import Engine
from pykyro.model.errors import KyroError
from pykyro.telemetry import logs

_log: Final = logging.getLogger(__name__)

_LAST_WORDS_S: Final = 0.2


def on_signal(number: signal.Signals, work: Callable[[], object]) -> None:
    """Let the running event loop call `work` whenever the signal comes; once it has ended, the signal does nothing.

    `loop.add_signal_handler` would give the signal back to the system when the loop ends, and it would kill the
    process in its last steps.
    """
    loop = asyncio.get_running_loop()

    def signalled(*_: object) -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(work)

    signal.signal(number, signalled)


@contextlib.contextmanager
def signals_ask_for(works: Mapping[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Each signal calls its work; afterwards it is ignored, for good."""
    for number, work in works.items():
        on_signal(number, work)
    try:
        yield
    finally:
        # Not only done nothing about: the interpreter gives back what it handles before the process has ended.
        for number in works:
            signal.signal(number, signal.SIG_IGN)


class SignalledWork(ABC):
    """Work that a signal asks for. It is done once at a time; a signal during it asks for another time, so that a
    change in between is not missed. Made on the event loop."""

    def __init__(self) -> None:
        self._wanted = asyncio.Event()

    def request(self) -> None:
        """The handler of the signal."""
        self._wanted.set()

    async def run(self) -> None:
        """Work whenever it is asked for, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self.work()

    @abstractmethod
    async def work(self) -> None:
        """Do it once."""


class Stop:
    """SIGTERM and SIGINT end the server: the first asks it to finish, the second not to wait for any call, the third
    ends the process at once.

    Made on the event loop of the main thread.
    """

    def __init__(self) -> None:
        self._first = asyncio.Event()
        self._second = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            on_signal(number, partial(self._signalled, number))

    def ask(self) -> None:
        """As the first signal does."""
        self._first.set()

    @property
    def asked(self) -> bool:
        """Whether the first signal has come."""
        return self._first.is_set()

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

    def _signalled(self, number: signal.Signals) -> None:
        if self._second.is_set():
            _log.error("third signal: the process ends at once, as in a crash; no acknowledged write is lost")
            logs.flush(_LAST_WORDS_S)
            os._exit(128 + number)
        if self._first.is_set():
            _log.warning("second signal: the server stops without waiting any longer")
            self._second.set()
        self._first.set()


async def _first_of(event: asyncio.Event, work: asyncio.Future[object]) -> bool:
    """Whether `event` was set while `work` was not done."""
    waiting: asyncio.Future[object] = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([waiting, work], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    return not work.done()


class SealRequests(SignalledWork):
    """SIGUSR1 seals the hot tier of an engine, as FlushHotTier with force does. It is for a tool on the same machine,
    which needs no key for it."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    async def work(self) -> None:
        try:
            report = await asyncio.to_thread(self._engine.flush, force=True)
        except (KyroError, OSError) as error:
            _log.error("SIGUSR1: sealing failed: %s", error)
        else:
            _log.info("SIGUSR1: sealed %d documents in %.2f s", report.documents, report.duration_s)
