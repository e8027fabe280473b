"""Durable inserts by 32 callers against appending and syncing the same bytes in groups, without a database."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import dataset, store
from benchmarks.report import Row, arguments, show
from pykyro.engine.engine import open_engine
from pykyro.model.requests import Put
from pykyro.model.types import Document

_CALLERS = 32


class GroupedFile:
    """The floor: callers hand bytes to a leader that writes what is there and syncs once."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._arrivals = threading.Condition()
        self._waiting: list[bytes] = []
        self._leading = False
        self._arrived = self._durable = 0
        self.syncs = 0

    def append(self, data: bytes) -> None:
        with self._arrivals:
            self._waiting.append(data)
            self._arrived += 1
            mine = self._arrived
            while self._leading and self._durable < mine:
                self._arrivals.wait()
            if self._durable >= mine:
                return
            self._leading = True
            group, self._waiting, upto = self._waiting, [], self._arrived
        os.write(self._descriptor, b"".join(group))
        os.fdatasync(self._descriptor)
        self.syncs += 1
        with self._arrivals:
            self._durable, self._leading = upto, False
            self._arrivals.notify_all()


def by_callers(count: int, call: Callable[[int], None]) -> float:
    """Calls a second when 32 threads share `count` calls."""

    def work(worker: int) -> None:
        for at in range(worker, count, _CALLERS):
            call(at)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(_CALLERS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count / (time.perf_counter() - started)


def measure(data: dataset.Dataset, directory: Path, count: int) -> list[Row]:
    payload = data.rows[0].tobytes() + bytes(96)
    metadata = {"source": "s1", "length": "512"}
    ours, floors = [], []
    for attempt in range(3):
        floor = GroupedFile(directory / f"floor-{attempt}")
        floors.append(by_callers(count, lambda at, floor=floor: floor.append(payload)))  # type: ignore[misc]
        engine = open_engine(directory / f"data-{attempt}", store.options(data))
        ours.append(
            by_callers(
                count,
                lambda at, engine=engine: engine.write(
                    Put(Document(at + 1, data.rows[at % len(data.rows)], metadata))
                ),  # type: ignore[misc]
            )
        )
        engine.close()
    best, floor_best = sorted(ours)[1], sorted(floors)[1]
    return [
        Row(
            f"durable inserts, {_CALLERS} callers, embedded",
            f"{best:,.0f}/s",
            f"append and sync in groups {floor_best:,.0f}/s",
            best / floor_best,
            "≥ 0.4",
        )
    ]


def main() -> None:
    options = arguments(__doc__, count=10_000)
    data = dataset.load(options.data, options.count)
    with tempfile.TemporaryDirectory(dir=".") as directory:
        show(measure(data, Path(directory), options.count))


if __name__ == "__main__":
    main()
