"""Many engines of one process share their background: no thread and no build process each, and one hot tier."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.engine.opening import fill, open_small, vectors
from tests.patience import wait_until

from pykyro.engine.maintenance.maintenance import WORK
from pykyro.engine.memory import EngineMemory
from pykyro.engine.options import EngineOptions, RecallOptions
from pykyro.memory.budget import MemoryBudget

ENGINES = 12
OWN = ("kyrodb-maintenance", "kyrodb-recall", "kyrodb-wal-sync")


def background_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in OWN]


def test_open_engines_have_no_thread_each_and_all_are_sealed(tmp_path: Path) -> None:
    engines = [
        open_small(
            tmp_path / str(number),
            background=True,
            hot_rows_max=50,
            recall=RecallOptions(processor_share=0.1),
        )
        for number in range(ENGINES)
    ]
    try:
        for engine in engines:
            fill(engine, vectors(60))
        wait_until(lambda: all(engine.stats().hot_flushes for engine in engines))
        counts = {name: background_threads().count(name) for name in OWN}
        assert counts["kyrodb-recall"] == 1
        assert counts["kyrodb-maintenance"] <= WORK._threads_max < ENGINES
    finally:
        for engine in engines:
            engine.close()
    wait_until(lambda: not background_threads())


def test_a_closed_engine_holds_nothing_of_the_budget(tmp_path: Path) -> None:
    budget = MemoryBudget(1 << 30, measure=None)
    engine = open_small(tmp_path, memory=budget)
    fill(engine, vectors(200))
    engine.flush()
    fill(engine, vectors(200))
    assert budget.used_bytes > 0
    engine.close()
    del engine
    assert budget.used_bytes == 0


def test_when_the_hot_tiers_of_all_are_full_those_above_the_average_are_sealed() -> None:
    budget = MemoryBudget(64 << 20, measure=None)
    options = EngineOptions(dimension=4)
    memories = [EngineMemory(budget, options) for _ in range(100)]
    bound = memories[0].hot_bytes_max
    small, large = bound // 400, bound // 100
    for at, memory in enumerate(memories):
        memory.hot_tier.add(large if at % 2 else small)
    assert memories[0].hot_tier.used >= bound // 2
    assert [memory.should_seal(large if at % 2 else small) for at, memory in enumerate(memories)] == [
        bool(at % 2) for at in range(100)
    ]
    for memory in memories[1:]:
        memory.close()
    assert not memories[0].should_seal(large)
