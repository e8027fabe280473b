"""Searches offered to a server from a process of its own, at a rate or by callers, and how they ended.

python -m benchmarks.offered PORT KEY SECONDS rate 400        so many a second, answered or not
python -m benchmarks.offered PORT KEY SECONDS callers 16      so many callers, each waits for its answer
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import numpy as np

from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto.methods import METHODS

DIMENSION: Final = 384
_CONNECTIONS: Final = 8
_PAUSE_S: Final = 0.01
"""After a refusal, as a client that means well."""
_QUESTIONS: Final = 997
_GIVES_UP_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the searches of one process."""

    answered_per_s: float
    p50_ms: float
    """Of those that were answered, from when each was sent."""
    p99_ms: float
    ended: dict[str, int]


class Offering:
    """A process that offers searches; `outcome` waits for its end."""

    def __init__(self, port: int, key: str, seconds: float, kind: str, number: float) -> None:
        words = [str(word) for word in (port, key, seconds, kind, number)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.offered", *words], stdout=subprocess.PIPE, text=True
        )

    def outcome(self) -> Outcome:
        output, _ = self._process.communicate()
        return Outcome(**json.loads(output))


@dataclass(slots=True)
class _Tally:
    seconds: list[float] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    in_time: int = 0
    """Answers that came while searches were still offered; what queues held at the end is no goodput."""


async def _offer(port: int, key: str, seconds: float, kind: str, number: float) -> Outcome:
    channels: list[Any] = [
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(_CONNECTIONS)
    ]
    calls = [channel.unary_unary(METHODS["Search"].path) for channel in channels]
    questions = _requests()
    tally, metadata, end = _Tally(), (("x-api-key", key),), time.perf_counter() + seconds

    async def search() -> bool:
        call, question = random.choice(calls), random.choice(questions)
        sent_s = time.perf_counter()
        try:
            await call(question, metadata=metadata, timeout=_GIVES_UP_S)
        except grpc.aio.AioRpcError as error:
            tally.ended[error.code().name] += 1
            return False
        tally.ended["OK"] += 1
        now = time.perf_counter()
        tally.seconds.append(now - sent_s)
        tally.in_time += now <= end
        return True

    if kind == "rate":
        await _at_rate(search, number, end)
    else:
        await asyncio.gather(*(_in_turn(search, end) for _ in range(int(number))))
    for channel in channels:
        await channel.close()
    found = np.array(tally.seconds or [np.inf]) * 1e3
    return Outcome(
        tally.in_time / seconds,
        float(np.median(found)),
        float(np.percentile(found, 99)),
        dict(tally.ended),
    )


async def _at_rate(search: Callable[[], Any], rate: float, end: float) -> None:
    pending: set[asyncio.Task[bool]] = set()
    due_s = time.perf_counter()
    while due_s < end:
        # Behind time, those that are due are sent at once: an open loop does not slow down with the server.
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        task = asyncio.ensure_future(search())
        pending.add(task)
        task.add_done_callback(pending.discard)
        due_s += random.expovariate(rate)
    await asyncio.gather(*pending)


async def _in_turn(search: Callable[[], Any], end: float) -> None:
    while time.perf_counter() < end:
        if not await search():
            await asyncio.sleep(_PAUSE_S)


def _requests() -> list[bytes]:
    rng = np.random.default_rng(3)
    return [
        pb.SearchRequest(
            query_embedding=rng.standard_normal(DIMENSION).tolist(), k=10, exact=True
        ).SerializeToString()
        for _ in range(_QUESTIONS)
    ]


def main() -> None:
    port, key, seconds, kind, number = sys.argv[1:]
    random.seed(0)
    outcome = asyncio.run(_offer(int(port), key, float(seconds), kind, float(number)))
    json.dump(
        {name: getattr(outcome, name) for name in ("answered_per_s", "p50_ms", "p99_ms", "ended")}, sys.stdout
    )


if __name__ == "__main__":
    main()
