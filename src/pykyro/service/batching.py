"""From the event loop to worker threads and back, many requests at a time.

While a worker answers one batch, requests gather; then it takes all of them. So a batch is as large as the load
asks for, one request alone is not kept waiting, and the loop is woken once for a batch and not once for each.
Writes have a queue of their own, see commits.py.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar

from pykyro.model.errors import KyroError, ResourceExhausted

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_log: Final = logging.getLogger(__name__)

RETRY_AFTER_S: Final = 0.05
"""Hint to a caller that was shed: the time a full queue takes to move on, not a promise."""


@dataclass(slots=True)
class _Waiting(Generic[Item, Answer]):
    item: Item
    future: asyncio.Future[Answer]
    since_s: float


class Batcher(Generic[Item, Answer]):
    """Answers items in batches on threads of its own.

    `answer` gets up to `batch_max` items and returns one answer or error for each. Beyond `waiting_max` requests not
    answered yet, `submit` refuses.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[list[Item]], Sequence[Answer | KyroError]],
        *,
        threads: int,
        batch_max: int,
        waiting_max: int,
        full: str,
        observe_wait: Callable[[float], None] = lambda waited_s: None,
    ) -> None:
        """`full` is the text of a refusal; `{waiting}` and `{max}` in it are filled in. `observe_wait` is told, on
        the event loop, how many seconds the oldest item of each batch had waited."""
        self._answer = answer
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._full = full
        self._observe_wait = observe_wait
        self.waiting = 0
        """Requests submitted and not answered."""
        self._queue: SimpleQueue[_Waiting[Item, Answer] | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, item: Item) -> asyncio.Future[Answer]:
        """The answer to come. Cancelling it before a worker takes the item withdraws the item.

        Called on the event loop. Raises ResourceExhausted.
        """
        if self.waiting >= self._waiting_max:
            raise ResourceExhausted(
                self._full.format(waiting=self.waiting, max=self._waiting_max), retry_after_s=RETRY_AFTER_S
            )
        self.waiting += 1
        waiting = _Waiting(item, self._loop.create_future(), time.monotonic())
        self._queue.put(waiting)
        return waiting.future

    async def close(self) -> None:
        """Answer what was submitted, then stop the threads."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            await self._loop.run_in_executor(None, thread.join)

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, live, items = self._gather(first), [], []
            for waiting in batch:
                if not waiting.future.cancelled():
                    live.append(waiting)
                    items.append(waiting.item)
            waited_s = time.monotonic() - first.since_s
            answers: Sequence[Answer | Exception] = ()
            try:
                if items:
                    answers = self._answer(items)
            except KyroError as error:
                answers = [error] * len(live)
            except Exception as error:
                _log.exception("a batch of %d failed unexpectedly", len(live))
                answers = [error] * len(live)
            self._loop.call_soon_threadsafe(self._resolve, len(batch), live, answers, waited_s)

    def _gather(self, first: _Waiting[Item, Answer]) -> list[_Waiting[Item, Answer]]:
        batch = [first]
        # An equal share of what waits, so that the other threads get some of it.
        share = min(self._batch_max, self._queue.qsize() // len(self._threads) + 1)
        while len(batch) < share:
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                break
            if waiting is None:
                self._queue.put(None)
                break
            batch.append(waiting)
        return batch

    def _resolve(
        self,
        count: int,
        live: list[_Waiting[Item, Answer]],
        answers: Sequence[Answer | Exception],
        waited_s: float,
    ) -> None:
        self.waiting -= count
        self._observe_wait(waited_s)
        for waiting, answer in zip(live, answers, strict=True):
            if waiting.future.done():
                continue
            if isinstance(answer, Exception):
                waiting.future.set_exception(answer)
            else:
                waiting.future.set_result(answer)
