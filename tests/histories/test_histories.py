"""Eight threads at once, while the database seals, merges, flushes and snapshots: no lost update, no deleted document
that comes back, no stale read after an acknowledgement."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.crash.checker import read_state
from tests.crash.disk import AllLost
from tests.crash.fault_filesystem import FaultFS
from tests.crash.oracle import Doc
from tests.crash.workload import DIMENSION
from tests.histories.history import History, Seen, Written
from tests.patience import wait_until

from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance import builder, segment_builder
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import EngineOptions
from pykyro.model.requests import Ack, Delete, DeleteMany, Put, SearchRequest, UpdateMetadata
from pykyro.model.types import Document, Metric

IDS = range(1, 25)
OPTIONS = EngineOptions(
    dimension=DIMENSION,
    metric=Metric.EUCLIDEAN,
    hot_rows_max=30,
    mutations_per_checkpoint=60,
    wal_segment_bytes_max=20_000,
)


class Client:
    """One thread's calls, each recorded."""

    def __init__(self, engine: Engine, history: History, seed: int) -> None:
        self.engine = engine
        self.history = history
        self.random = random.Random(seed)
        self.seed = seed
        self.serial = 0

    def run(self, calls: int) -> None:
        actions: list[Callable[[], None]] = [self.write] * 5 + [self.get] * 4 + [self.search] * 2
        for _ in range(calls):
            self.random.choice(actions)()

    def write(self) -> None:
        rng = self.random
        operations = [self._operation() for _ in range(rng.choice((1, 1, 2, 4)))]
        began = self.history.now()
        answers = self.engine.commit(operations)
        ended = self.history.now()
        for operation, answer in zip(operations, answers, strict=True):
            assert isinstance(answer, Ack), answer
            self.history.writes.append(Written(began, ended, operation, answer))

    def get(self) -> None:
        doc_id = self.random.choice(IDS)
        began = self.history.now()
        found = self.engine.get(doc_id)
        ended = self.history.now()
        doc = None if found is None else Doc.of(found.vector, found.metadata)
        self.history.reads.append(Seen(began, ended, doc_id, doc))

    def search(self) -> None:
        """Every document at once: one that is not among the hits was read as absent."""
        question = np.full(DIMENSION, self.random.randint(0, 3), dtype=np.float32)
        request = SearchRequest(question, k=100, exact=self.random.random() < 0.5, include_vectors=True)
        began = self.history.now()
        answer = self.engine.search(request)
        ended = self.history.now()
        hits = {hit.doc_id: hit for hit in answer.hits}
        assert len(hits) == len(answer.hits), "a document stands twice in an answer"
        for doc_id in IDS:
            hit = hits.get(doc_id)
            doc = None if hit is None or hit.vector is None else Doc.of(hit.vector, hit.metadata)
            self.history.reads.append(Seen(began, ended, doc_id, doc))

    def _operation(self) -> Put | Delete | DeleteMany | UpdateMetadata:
        rng = self.random
        self.serial += 1
        version = f"{self.seed}.{self.serial}"
        kind = rng.random()
        if kind < 0.5:
            vector = np.zeros(DIMENSION, dtype=np.float32)
            vector[:2] = self.seed, self.serial
            return Put(Document(rng.choice(IDS), vector, {"version": version}))
        if kind < 0.75:
            return UpdateMetadata(rng.choice(IDS), {"version": version}, merge=rng.random() < 0.5)
        if kind < 0.9:
            return Delete(rng.choice(IDS))
        return DeleteMany(tuple(rng.sample(IDS, 3)))


@pytest.fixture(autouse=True)
def _many_graphs_and_switches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in (segment_builder, builder):
        monkeypatch.setattr(module, "GRAPH_ROWS_MIN", 12)
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval_s)


def play(engine: Engine, seed: int, calls: int) -> History:
    """Eight clients, and one more that flushes and makes snapshots until they are done."""
    history, done, failures = History(), threading.Event(), []

    def guarded(action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:
            failures.append(error)

    def upkeep() -> None:
        rng = random.Random(seed)
        while not done.wait(0.002):
            if rng.random() < 0.3:
                engine.flush()
            elif rng.random() < 0.1:
                engine.snapshot()

    clients = [Client(engine, history, 100 * seed + number) for number in range(8)]
    threads = [threading.Thread(target=guarded, args=(lambda c=c: c.run(calls),)) for c in clients]
    keeper = threading.Thread(target=guarded, args=(upkeep,))
    for thread in (*threads, keeper):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    keeper.join()
    assert not failures, failures[0]
    return history


@pytest.mark.parametrize("seed", range(int(os.environ.get("KYRODB_HISTORIES", "4"))))
def test_history_in_memory_has_an_order_and_outlives_a_power_cut(seed: int) -> None:
    disk = FaultFS(seed=seed)
    engine = open_engine("/data", OPTIONS, filesystem=disk, builder=InlineBuilder(disk))
    history = play(engine, seed, calls=120)
    state = history.judge()
    assert read_state(engine) == state
    wait_until(lambda: engine.stats().merges > 0)
    stats = engine.stats()
    engine.close()
    quiet = replace(OPTIONS, background=False)
    after = disk.crash(AllLost())
    assert read_state(open_engine("/data", quiet, filesystem=after)) == state
    assert stats.hot_flushes > 3
    assert len(history.writes) > 300


def test_history_on_a_real_disk_with_a_build_process_has_an_order(tmp_path: Path) -> None:
    engine = open_engine(tmp_path, OPTIONS)
    history = play(engine, 9, calls=60)
    state = history.judge()
    assert read_state(engine) == state
    engine.close()
    engine = open_engine(tmp_path, replace(OPTIONS, background=False))
    assert read_state(engine) == state
    engine.close()
