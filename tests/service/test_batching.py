"""Requests gather while a batch is being answered, and each gets its own answer."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Sequence

import pytest
from tests.patience import PATIENCE_S

from pykyro.model.errors import InvalidArgument, KyroError, ResourceExhausted, Unavailable
from pykyro.service.batching import Batcher


class Desk:
    """Answers numbers with their doubles, a batch at a time, when the gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.batches: list[list[int]] = []
        self.at_work = threading.Semaphore(0)

    def answer(self, numbers: list[int]) -> Sequence[int | KyroError]:
        self.batches.append(numbers)
        self.at_work.release()
        assert self.gate.wait(PATIENCE_S)
        if 13 in numbers:
            raise Unavailable("thirteen breaks the whole batch")
        if 99 in numbers:
            raise ZeroDivisionError
        return [InvalidArgument(f"{number} is odd") if number % 2 else 2 * number for number in numbers]


@contextlib.asynccontextmanager
async def batcher(
    desk: Desk, *, threads: int = 1, batch_max: int = 100, waiting_max: int = 100, weight_max: int = 10**9
) -> AsyncIterator[Batcher[int, int]]:
    made: Batcher[int, int] = Batcher(
        "desk",
        desk.answer,
        threads=threads,
        batch_max=batch_max,
        waiting_max=waiting_max,
        weight_max=weight_max,
        full="full: {waiting} waiting (max: {max})",
    )
    try:
        yield made
    finally:
        desk.gate.set()
        await made.close()


async def first_batch_taken(desk: Desk) -> None:
    await asyncio.to_thread(desk.at_work.acquire)


def test_requests_gather_while_a_batch_is_answered() -> None:
    async def scenario() -> None:
        desk = Desk()
        async with batcher(desk) as made:
            first = made.submit(0)
            await first_batch_taken(desk)
            others = [made.submit(number) for number in (2, 4, 6)]
            desk.gate.set()
            assert await asyncio.gather(first, *others) == [0, 4, 8, 12]
        assert desk.batches == [[0], [2, 4, 6]]

    asyncio.run(scenario())


def test_each_request_gets_its_own_error() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.gate.set()
        async with batcher(desk) as made:
            good, bad = made.submit(4), made.submit(5)
            assert await good == 8
            with pytest.raises(InvalidArgument, match="5 is odd"):
                await bad

    asyncio.run(scenario())


@pytest.mark.parametrize(("poison", "error"), [(13, Unavailable), (99, ZeroDivisionError)])
def test_failure_of_a_batch_reaches_all_of_it_and_nobody_else(poison: int, error: type[Exception]) -> None:
    async def scenario() -> None:
        desk = Desk()
        async with batcher(desk) as made:
            first = made.submit(2)
            await first_batch_taken(desk)
            poisoned = [made.submit(4), made.submit(poison)]
            desk.gate.set()
            assert await first == 4
            for future in poisoned:
                with pytest.raises(error):
                    await future
            assert await made.submit(6) == 12

    asyncio.run(scenario())


def test_more_than_may_wait_is_refused_at_once_with_a_hint() -> None:
    async def scenario() -> None:
        desk = Desk()
        async with batcher(desk, waiting_max=2) as made:
            accepted = [made.submit(2), made.submit(4)]
            with pytest.raises(ResourceExhausted, match=r"full: 2 waiting \(max: 2\)") as refused:
                made.submit(6)
            assert refused.value.retry_after_s is not None
            accepted.append(made.submit(8, may_shed=False))
            desk.gate.set()
            assert await asyncio.gather(*accepted) == [4, 8, 16]
            assert made.waiting == 0
            assert await made.submit(6) == 12

    asyncio.run(scenario())


def test_cancelled_request_is_withdrawn_while_it_waits() -> None:
    async def scenario() -> None:
        desk = Desk()
        async with batcher(desk) as made:
            first = made.submit(0)
            await first_batch_taken(desk)
            cancelled, kept = made.submit(2), made.submit(4)
            cancelled.cancel()
            desk.gate.set()
            assert await first == 0
            assert await kept == 8
            assert made.waiting == 0
        assert desk.batches == [[0], [4]]

    asyncio.run(scenario())


def test_cancelled_request_that_was_taken_is_finished() -> None:
    async def scenario() -> None:
        desk = Desk()
        async with batcher(desk) as made:
            taken = made.submit(2)
            await first_batch_taken(desk)
            taken.cancel()
            desk.gate.set()
            assert await made.submit(4) == 8
        assert desk.batches[0] == [2]

    asyncio.run(scenario())


def test_batches_are_bounded_by_count_and_by_weight() -> None:
    async def scenario(weights: list[int], **bounds: int) -> list[list[int]]:
        desk = Desk()
        async with batcher(desk, **bounds) as made:
            futures = [made.submit(0)]
            await first_batch_taken(desk)
            futures += [made.submit(2 * number, weight=weight) for number, weight in enumerate(weights, 1)]
            desk.gate.set()
            await asyncio.gather(*futures)
        return desk.batches[1:]

    assert asyncio.run(scenario([1] * 5, batch_max=2)) == [[2, 4], [6, 8], [10]]
    assert asyncio.run(scenario([5, 5, 5, 20, 1], weight_max=10)) == [[2, 4], [6, 8], [10]]


def test_threads_share_what_waits() -> None:
    async def scenario() -> None:
        desk = Desk()
        async with batcher(desk, threads=2) as made:
            held = [made.submit(0)]
            await first_batch_taken(desk)
            held.append(made.submit(2))
            await first_batch_taken(desk)
            others = [made.submit(number) for number in range(4, 24, 2)]
            desk.gate.set()
            await asyncio.gather(*held, *others)
        assert max(len(batch) for batch in desk.batches) == len(others) // 2

    asyncio.run(scenario())


def test_closing_answers_what_was_submitted() -> None:
    async def scenario() -> None:
        desk = Desk()
        desk.gate.set()
        async with batcher(desk, batch_max=1) as made:
            futures = [made.submit(2 * number) for number in range(10)]
        assert await asyncio.gather(*futures) == [4 * number for number in range(10)]

    asyncio.run(scenario())


def test_batch_under_way_shows_how_long_it_takes() -> None:
    async def scenario() -> None:
        desk = Desk()
        async with batcher(desk) as made:
            assert made.longest_batch_s() == 0.0
            future = made.submit(2)
            await first_batch_taken(desk)
            assert made.longest_batch_s() > 0.0
            desk.gate.set()
            await future
            await made.submit(4)
            assert made.longest_batch_s() == 0.0

    asyncio.run(scenario())
