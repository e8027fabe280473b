"""Writes of the event loop gather in groups, are refused when too many wait, and show how long a group takes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from tests.engine.opening import open_small, put, vectors
from tests.patience import PATIENCE_S

from pykyro.engine import write_path
from pykyro.engine.pending_write import PendingWrite
from pykyro.model.errors import ResourceExhausted
from pykyro.model.requests import Ack, Put
from pykyro.service.commits import Commits
from pykyro.telemetry.counters import Counters


class Rig:
    """Commits over a real engine; the first write is held until `gate` is set, and sizes of groups are noted."""

    def __init__(self, commits: Commits) -> None:
        self.commits = commits
        self.gate, self.taken = threading.Event(), threading.Event()
        self.groups: list[int] = []

    def held(self) -> Sequence[Put]:
        self.taken.set()
        assert self.gate.wait(PATIENCE_S)
        return [put(1, vectors(1)[0])]

    async def first_group_taken(self) -> None:
        assert await asyncio.to_thread(self.taken.wait, PATIENCE_S)


@contextlib.asynccontextmanager
async def rig(directory: Path, waiting_max: int = 100) -> AsyncIterator[Rig]:
    engine = open_small(directory)
    made = Rig(Commits(engine, Counters(), waiting_max=waiting_max))
    answered = engine.writes.on_answered

    def noted(writes: list[PendingWrite], taken_s: float) -> None:
        made.groups.append(len(writes))
        answered(writes, taken_s)

    engine.writes.on_answered = noted
    try:
        yield made
    finally:
        made.gate.set()
        await made.commits.close()
        engine.close()


def test_more_than_may_wait_is_refused_at_once_with_a_hint(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path, waiting_max=2) as made:
            row = vectors(1)[0]
            accepted = [
                made.commits.submit(made.held, weight=1),
                made.commits.submit([put(2, row)], weight=1),
            ]
            with pytest.raises(ResourceExhausted, match=r"2 writes waiting \(max: 2\)") as refused:
                made.commits.submit([put(3, row)], weight=1)
            assert refused.value.retry_after_s is not None
            accepted.append(made.commits.submit([put(4, row)], weight=1, may_shed=False))
            made.gate.set()
            for outcomes in await asyncio.gather(*accepted):
                assert [type(outcome) for outcome in outcomes] == [Ack]
            assert made.commits.waiting == 0
            assert type((await made.commits.submit([put(3, row)], weight=1))[0]) is Ack

    asyncio.run(scenario())


@pytest.mark.parametrize("bound", ["limit", "memory"])
def test_groups_are_bounded_by_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    if bound == "limit":
        monkeypatch.setattr(write_path, "COMMIT_BYTES_MAX", 10)

    async def scenario() -> list[int]:
        async with rig(tmp_path) as made:
            if bound == "memory":
                made.commits._writes._memory.group_bytes_max = 10
            futures = [made.commits.submit(made.held, weight=10)]
            await made.first_group_taken()
            for doc_id, weight in enumerate([5, 5, 5, 20, 1], 2):
                futures.append(made.commits.submit([put(doc_id, vectors(1)[0])], weight=weight))
            made.gate.set()
            await asyncio.gather(*futures)
        return made.groups

    assert asyncio.run(scenario()) == [1, 2, 2, 1]


def test_group_under_way_shows_how_long_it_takes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with rig(tmp_path) as made:
            assert made.commits.longest_group_s() == 0.0
            future = made.commits.submit(made.held, weight=1)
            await made.first_group_taken()
            assert made.commits.longest_group_s() > 0.0
            made.gate.set()
            await future
            assert made.commits.longest_group_s() == 0.0

    asyncio.run(scenario())
