"""From the event loop to worker threads and back, many requests at a time.

While a worker answers one batch, requests gather; then it takes all of them. So a batch is as large as the load
asks for, one request alone is not kept waiting, and the loop is woken once for a batch and not once for each.
One thread that commits this way is a group commit: one fsync for everybody who came during the last one.

The workers hold no more than they answer soon. What is beyond waits in a queue that serves its clients by turns
(pykyro.service.fair_queue), so one that sends much waits behind itself. When all places are taken, who has most that
waits gives one up to who has less.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar

from pykyro.model.errors import KyroError, ResourceExhausted
from pykyro.service.fair_queue import NOBODYS, FairQueue, Share

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_log: Final = logging.getLogger(__name__)

RETRY_AFTER_S: Final = 0.05
"""Hint to a caller that was shed: the time a full queue takes to move on, not a promise."""
_HANDED_S: Final = 0.02
"""The workers hold as many items as they answer in so long; what comes next is not kept waiting for more."""
_SMOOTHING: Final = 0.1
"""Weight of the last batch in the mean time of an item."""


@dataclass(slots=True)
class _Waiting(Generic[Item, Answer]):
    item: Item
    weight: int
    requests: int
    future: asyncio.Future[Answer]
    since_s: float
    share: Share
    cost: float


@dataclass(frozen=True, slots=True)
class PassedOn(Generic[Item, Answer]):
    """In the place of an answer: another queue answers the item, which is not shed there."""

    to: Batcher[Item, Answer]


class Batcher(Generic[Item, Answer]):
    """Answers items in batches on threads of its own.

    `answer` gets up to `batch_max` items, whose weights together exceed `weight_max` by one item at most, and
    returns one answer or error for each, or to which queue it is passed on. Beyond `waiting_max` requests not
    answered yet, `submit` refuses.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[list[Item]], Sequence[Answer | KyroError | PassedOn[Item, Answer]]],
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
        self._handed = 0
        """Items in that queue, and those being answered."""
        self._handed_max = self._handed_most = (batch_max + batch_max // 2) * threads
        self._item_s = 0.0
        self._lines: FairQueue[_Waiting[Item, Answer]] = FairQueue()
        """What is not handed to the workers yet."""
        self._loop = asyncio.get_running_loop()
        self._busy_since: dict[int, float] = {}
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        item: Item,
        *,
        share: Share = NOBODYS,
        cost: float = 1.0,
        weight: int = 1,
        requests: int = 1,
        may_shed: bool = True,
    ) -> asyncio.Future[Answer]:
        """The answer to come. Cancelling it before a worker takes the item withdraws the item.

        `share` says whose the item is, `cost` what it takes against others, and `requests` for how many it stands.
        Called on the event loop. Raises ResourceExhausted, unless `may_shed` is False because the caller bounds what
        it submits by itself; the future does when the item is given up for one of somebody who has less in the queue.
        """
        if may_shed and self.waiting + requests > self._waiting_max:
            self._make_room(share, requests)
        self.waiting += requests
        waiting = _Waiting(item, weight, requests, self._loop.create_future(), time.monotonic(), share, cost)
        if self._handed < self._handed_max and not self._lines.count:
            self._handed += 1
            self._queue.put(waiting)
        else:
            self._lines.put(share, cost, waiting)
        return waiting.future

    def _make_room(self, share: Share, requests: int) -> None:
        while self.waiting + requests > self._waiting_max:
            refusal = ResourceExhausted(
                self._full.format(waiting=self.waiting, max=self._waiting_max), retry_after_s=RETRY_AFTER_S
            )
            shed = self._lines.drop_for(share)
            if shed is None:
                raise refusal
            self.waiting -= shed.requests
            if not shed.future.done():
                shed.future.set_exception(refusal)

    def _take_over(self, waiting: _Waiting[Item, Answer]) -> None:
        """Answer what another queue passed on."""
        self.waiting += waiting.requests
        self._lines.put(waiting.share, waiting.cost, waiting)
        self._hand_over()

    def _hand_over(self) -> None:
        while self._lines.count and self._handed < self._handed_max:
            self._handed += 1
            self._queue.put(self._lines.take())

    def longest_batch_s(self) -> float:
        """How long the oldest batch being answered has been so. From any thread."""
        since = list(self._busy_since.values())
        return time.monotonic() - min(since) if since else 0.0

    async def close(self) -> None:
        """Answer what was submitted, then stop the threads. Nothing is submitted or passed on any more."""
        self._handed_max = self._handed_most = 2**63
        self._hand_over()
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            await self._loop.run_in_executor(None, thread.join)

    def _work(self, number: int) -> None:
        while (first := self._queue.get()) is not None:
            self._work_off(number, first)  # whose answers are not kept while the next is waited for
            del first

    def _work_off(self, number: int, first: _Waiting[Item, Answer]) -> None:
        requests, count, live, items = 0, 0, [], []
        for waiting in self._gather(first):
            count += 1
            requests += waiting.requests
            if not waiting.future.cancelled():
                live.append(waiting)
                items.append(waiting.item)
        self._busy_since[number] = taken_s = time.monotonic()
        answers: Sequence[Answer | Exception | PassedOn[Item, Answer]] = ()
        try:
            if items:
                answers = self._answer(items)
        except KyroError as error:
            answers = [error] * len(live)
        except Exception as error:
            _log.exception("a batch of %d failed unexpectedly", len(live))
            answers = [error] * len(live)
        del self._busy_since[number]
        waited_s, took_s = taken_s - first.since_s, time.monotonic() - taken_s
        self._loop.call_soon_threadsafe(self._resolve, requests, count, live, answers, waited_s, took_s)

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
        count: int,
        live: list[_Waiting[Item, Answer]],
        answers: Sequence[Answer | Exception | PassedOn[Item, Answer]],
        waited_s: float,
        took_s: float,
    ) -> None:
        self.waiting -= requests
        self._handed -= count
        self._item_s += _SMOOTHING * (took_s / count - self._item_s)
        soon = _HANDED_S * len(self._threads) / self._item_s if self._item_s > 0 else math.inf
        self._handed_max = int(max(2 * len(self._threads), min(self._handed_most, soon)))
        if self._lines.count:
            self._hand_over()
        self._observe_wait(waited_s)
        for waiting, answer in zip(live, answers, strict=True):
            if waiting.future.done():
                continue
            if isinstance(answer, PassedOn):
                answer.to._take_over(waiting)
            elif isinstance(answer, Exception):
                waiting.future.set_exception(answer)
            else:
                waiting.future.set_result(answer)
