"""When a search is answered on the event loop: only for a caller who has been alone for a while."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.patience import PATIENCE_S

from pykyro.service import lone_calls
from pykyro.service.lone_calls import LoneCalls


class Flights:
    """How many calls are under way."""

    def __init__(self) -> None:
        self.count = 1

    def __call__(self) -> int:
        return self.count


async def after_many_alone(flights: Flights) -> LoneCalls:
    calls = LoneCalls(flights)
    while not await calls.may_answer():
        pass
    return calls


def test_many_calls_alone_come_first() -> None:
    async def run() -> None:
        calls = LoneCalls(Flights())
        answers = [await calls.may_answer() for _ in range(40)]
        assert answers[0] is False
        assert answers == sorted(answers)
        assert answers[-1] is True

    asyncio.run(run())


def test_a_second_call_ends_it_and_it_begins_anew() -> None:
    async def run() -> None:
        flights = Flights()
        calls = await after_many_alone(flights)
        flights.count = 2
        assert not await calls.may_answer()
        flights.count = 1
        assert not await calls.may_answer()

    asyncio.run(run())


def test_a_call_that_came_at_the_same_time_is_seen() -> None:
    async def run() -> None:
        flights = Flights()
        calls = await after_many_alone(flights)

        def arrive() -> None:
            flights.count = 2

        asyncio.get_running_loop().call_soon(arrive)
        assert not await calls.may_answer()

    asyncio.run(run())


def test_after_a_long_one_the_loop_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        monkeypatch.setattr(lone_calls, "_REST_S", 0.2)
        calls = await after_many_alone(Flights())
        calls.took(time.monotonic() - 0.01)
        assert not await calls.may_answer()
        deadline = time.monotonic() + PATIENCE_S
        while not await calls.may_answer():
            assert time.monotonic() < deadline

    asyncio.run(run())
