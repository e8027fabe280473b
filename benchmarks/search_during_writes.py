"""Search latency while rows arrive and are sealed and merged, against the same database at rest.

Threads hand the interpreter over as soon as the server's do.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks import dataset, store
from benchmarks.report import Row, arguments, p99_us, show
from pykyro.engine.engine import Engine, open_engine
from pykyro.model.requests import Put, SearchRequest
from pykyro.model.types import Document
from pykyro.server.app import SWITCH_INTERVAL_S

_RATE_PER_S = 500
_SECONDS = 30


def latencies(engine: Engine, data: dataset.Dataset, seconds: float) -> list[float]:
    """One caller asking as fast as it can."""
    taken = []
    deadline = time.monotonic() + seconds
    at = 0
    while time.monotonic() < deadline:
        started = time.perf_counter()
        engine.search(SearchRequest(data.queries[at % len(data.queries)], 10))
        taken.append(time.perf_counter() - started)
        at += 1
    return taken


def insert_steadily(engine: Engine, data: dataset.Dataset, first: int, stop: threading.Event) -> None:
    at, started = first, time.monotonic()
    while not stop.is_set():
        due = first + int((time.monotonic() - started) * _RATE_PER_S)
        if at < due:
            engine.commit([Put(Document(n + 1, data.rows[n % len(data.rows)])) for n in range(at, due)])
            at = due
        time.sleep(0.01)


def measure(data: dataset.Dataset, engine: Engine) -> list[Row]:
    latencies(engine, data, 2)
    idle = latencies(engine, data, 10)
    before = engine.stats()
    stop = threading.Event()
    writer = threading.Thread(target=insert_steadily, args=(engine, data, len(data.rows), stop))
    writer.start()
    busy = latencies(engine, data, _SECONDS)
    stop.set()
    writer.join()
    after = engine.stats()
    sealed = after.hot_flushes - before.hot_flushes
    return [
        Row(
            f"search p99 while {_RATE_PER_S} rows/s arrive ({sealed} seals, {after.merges - before.merges} merges)",
            f"{p99_us(busy):.0f} µs",
            f"at rest {p99_us(idle):.0f} µs",
            p99_us(busy) / p99_us(idle),
            "≤ 3",
        )
    ]


def main() -> None:
    options = arguments(__doc__)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    data = dataset.load(options.data, options.count)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "data"
        store.one_segment(path, data).close()
        engine = open_engine(path, store.options(data, background=True, threads=1))
        show(measure(data, engine))
        engine.close()


if __name__ == "__main__":
    main()
