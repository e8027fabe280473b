"""From the event loop to worker threads and back, many requests at a time.

While a worker answers one batch, requests gather; then it takes all of them. So a batch is as large as the load
asks for, one request alone is not kept waiting, and the loop is woken once for a batch and not once for each.
One thread that commits this way is a group commit: one fsync for everybody who came during the last one.
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
    weight: int
    requests: int
    future: asyncio.Future[Answer]
    since_s: float


class Batcher(Generic[Item, Answer]):
    """Answers items in batches on threads of its own.

    `answer` gets up to `batch_max` items, whose weights together exceed `weight_max` by one item at most, and
    returns one answer or error for each. Beyond `waiting_max` requests not answered yet, `submit` refuses.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[list[Item]], Sequence[Answer | KyroError]],
        *,
        threads: int,
        batch_max: int,
        waiting_max: int,
        weight_max: int = 2**63,
        full: str,
        observe_wait: Callable[[float], None] = lambda waited_s: None,
    ) -> None:
        """`full` is the text of a refusal; `{waiting}` and `{max}` in it are filled in. `observe_wait` is told, on
        the event loop, how many seconds the oldest item of each batch had waited."""
        self._answer = answer
        self._batch_max = batch_max
        self._weight_max = weight_max
        self._waiting_max = waiting_max
        self._full = full
        self._observe_wait = observe_wait
        self.waiting = 0
        """Requests submitted and not answered."""
        self._queue: SimpleQueue[_Waiting[Item, Answer] | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._busy_since: dict[int, float] = {}
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, item: Item, *, weight: int = 1, requests: int = 1, may_shed: bool = True
    ) -> asyncio.Future[Answer]:
        """The answer to come. Cancelling it before a worker takes the item withdraws the item.

        `requests` says for how many the item stands. Called on the event loop. Raises ResourceExhausted, unless
        `may_shed` is False because the caller bounds what it submits by itself.
        """
        if may_shed and self.waiting + requests > self._waiting_max:
            raise ResourceExhausted(
                self._full.format(waiting=self.waiting, max=self._waiting_max), retry_after_s=RETRY_AFTER_S
            )
        self.waiting += requests
        waiting = _Waiting(item, weight, requests, self._loop.create_future(), time.monotonic())
        self._queue.put(waiting)
        return waiting.future

    def longest_batch_s(self) -> float:
        """How long the oldest batch being answered has been so. From any thread."""
        since = list(self._busy_since.values())
        return time.monotonic() - min(since) if since else 0.0

    async def close(self) -> None:
        """Answer what was submitted, then stop the threads."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            await self._loop.run_in_executor(None, thread.join)

    def _work(self, number: int) -> None:
        while (first := self._queue.get()) is not None:
            requests, live, items = 0, [], []
            for waiting in self._gather(first):
                requests += waiting.requests
                if not waiting.future.cancelled():
                    live.append(waiting)
                    items.append(waiting.item)
            self._busy_since[number] = taken_s = time.monotonic()
            answers: Sequence[Answer | Exception] = ()
            try:
                if items:
                    answers = self._answer(items)
            except KyroError as error:
                answers = [error] * len(live)
            except Exception as error:
                _log.exception("a batch of %d failed unexpectedly", len(live))
                answers = [error] * len(live)
            del self._busy_since[number]
            waited_s = taken_s - first.since_s
            self._loop.call_soon_threadsafe(self._resolve, requests, live, answers, waited_s)

    def _gather(self, first: _Waiting[Item, Answer]) -> list[_Waiting[Item, Answer]]:
        batch, weight = [first], first.weight
        # An equal share of what waits, so that the other threads get some of it.
        share = min(self._batch_max, self._queue.qsize() // len(self._threads) + 1)
        while len(batch) < share and weight < self._weight_max:
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                break
            if waiting is None:
                self._queue.put(None)
                break
            batch.append(waiting)
            weight += waiting.weight
        return batch

    def _resolve(
        self,
        requests: int,
        live: list[_Waiting[Item, Answer]],
        answers: Sequence[Answer | Exception],
        waited_s: float,
    ) -> None:
        self.waiting -= requests
        self._observe_wait(waited_s)
        for waiting, answer in zip(live, answers, strict=True):
            if waiting.future.done():
                continue
            if isinstance(answer, Exception):
                waiting.future.set_exception(answer)
            else:
                waiting.future.set_result(answer)
