"""Calls at a fixed rate, whose latency counts from the moment they were due.

A client that waits for an answer before it sends the next request asks less of a slow server, and then reports how
fast that was ("coordinated omission": Gil Tene, How NOT to Measure Latency, 2013). Here the calls are due at times
fixed beforehand; a call that begins late, because all callers were still waiting, has waited since it was due.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import grpc

Call = Callable[[int], Awaitable[str]]
"""Makes call number n; how it ended: "" for success, else the name of what went wrong."""


@dataclass(slots=True)
class Outcome:
    """What became of a load."""

    offered_per_s: float
    duration_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    """Of the calls that succeeded, from when they were due."""
    failures: Counter[str] = field(default_factory=Counter)
    late_s: float = 0.0
    """By how much the latest call began late."""

    @property
    def calls(self) -> int:
        """All that were made."""
        return len(self.latencies_s) + self.failures.total()

    @property
    def failure_ratio(self) -> float:
        """The share that failed; 1 when none was made."""
        return self.failures.total() / self.calls if self.calls else 1.0

    @property
    def achieved_per_s(self) -> float:
        """Calls that succeeded in each second."""
        return len(self.latencies_s) / self.duration_s if self.duration_s else 0.0


async def offer(call: Call, *, per_s: float, duration_s: float, callers: int) -> Outcome:
    """Make calls for so long, so many each second, by so many callers of which each waits for its answer."""
    outcome, numbers = Outcome(per_s), itertools.count()
    clock = asyncio.get_running_loop().time
    began_s = clock()

    async def work() -> None:
        while (due_s := began_s + (number := next(numbers)) / per_s) < began_s + duration_s:
            ahead_s = due_s - clock()
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)
            else:
                outcome.late_s = max(outcome.late_s, -ahead_s)
            try:
                fault = await call(number)
            except grpc.aio.AioRpcError as error:
                fault = error.code().name
            if fault:
                outcome.failures[fault] += 1
            else:
                outcome.latencies_s.append(clock() - due_s)

    await asyncio.gather(*(work() for _ in range(callers)))
    outcome.duration_s = clock() - began_s
    return outcome
