"""Streams beyond the number that may be open at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from pykyro.model.errors import ResourceExhausted
from pykyro.service.open_streams import OpenStreams


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def messages(queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    while (payload := await queue.get()) != b"end":
        yield payload


async def read(streams: OpenStreams, queue: asyncio.Queue[bytes]) -> int:
    count = 0
    with streams.opened(messages(queue)) as opened:
        async for _ in opened:
            count += 1
    return count


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_the_stream_that_was_silent_longest_makes_room_or_the_new_one_is_refused() -> None:
    async def story() -> None:
        clock = Clock()
        streams = OpenStreams(2, clock)
        queues = [asyncio.Queue[bytes]() for _ in range(4)]
        first = asyncio.create_task(read(streams, queues[0]))
        second = asyncio.create_task(read(streams, queues[1]))
        await settled()

        clock.now_s = 9.0
        with pytest.raises(ResourceExhausted, match=r"2 streams are open \(max: 2\)") as refused:
            await read(streams, queues[2])
        assert refused.value.retry_after_s == 10.0
        queues[0].put_nowait(b"here I am")
        await settled()

        clock.now_s = 10.0
        third = asyncio.create_task(read(streams, queues[2]))
        with pytest.raises(
            ResourceExhausted, match="no message came for 10 s or more while 2 streams were open"
        ):
            await second
        assert second.cancelling() == 0
        for queue in (queues[0], queues[2]):
            queue.put_nowait(b"end")
        assert (await first, await third) == (1, 0)

    asyncio.run(story())


def test_a_stream_whose_client_left_is_cancelled_as_ever_and_leaves_its_place() -> None:
    async def story() -> None:
        streams = OpenStreams(1, Clock())
        for _ in range(3):
            task = asyncio.create_task(read(streams, asyncio.Queue()))
            await settled()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(story())
