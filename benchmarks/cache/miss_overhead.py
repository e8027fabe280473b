"""What the query cache costs a search that it cannot answer, and what a hit saves, with a full cache.

Searches with and without the cache take turns on the same engine, each on questions of its own.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import dataset, store
from benchmarks.report import Row, median_us, show
from pykyro.cache.query_cache import Mode
from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.options import CacheOptions
from pykyro.model.requests import SearchRequest


def timed(engine: Engine, question: dataset.Floats, mode: Mode) -> float:
    engine._context.caches.queries.mode = mode
    started = time.perf_counter()
    engine.search(SearchRequest(question, 10))
    return time.perf_counter() - started


def measure(engine: Engine, questions: dataset.Floats, entries: int) -> list[Row]:
    for question in questions[:entries]:
        timed(engine, question, Mode.CERTIFIED)
    on: list[float] = []
    off: list[float] = []
    for at, question in enumerate(questions[entries:]):
        if at % 2:
            off.append(timed(engine, question, Mode.OFF))
        else:
            on.append(timed(engine, question, Mode.CERTIFIED))
    latest = questions[-entries // 2 :: 2]
    again = [timed(engine, question, Mode.CERTIFIED) for question in latest for _ in range(3)]
    scaled = [timed(engine, question * np.float32(1.001), Mode.CERTIFIED) for question in latest]
    floor = f"search without the cache {median_us(off):.0f} µs"
    return [
        Row(
            f"search that misses, {entries} entries",
            f"{median_us(on):.0f} µs, mean {1e6 * (np.mean(on) - np.mean(off)):+.0f} µs",
            floor,
            median_us(on) / median_us(off),
            f"≤ {1 + 30 / median_us(off):.2f}",
        ),
        Row(
            "the same question again",
            f"{median_us(again):.0f} µs",
            floor,
            median_us(again) / median_us(off),
            "",
        ),
        Row(
            "a near question, proved",
            f"{median_us(scaled):.0f} µs",
            floor,
            median_us(scaled) / median_us(off),
            "≤ 0.35",
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="directory with docs.npy, queries.npy, gt_ids.npy")
    parser.add_argument("--count", type=int, default=20_000, help="documents to store")
    parser.add_argument("--entries", type=int, default=1000)
    options = parser.parse_args()
    data = dataset.load(options.data, options.count)
    print(f"{data.name}, one segment")
    questions = data.queries
    if len(questions) < 4 * options.entries:
        noise = np.random.default_rng(1).standard_normal((4 * options.entries, questions.shape[1]))
        questions = (np.resize(questions, noise.shape) + noise / 30).astype(np.float32)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "data"
        store.one_segment(path, data).close()
        engine = open_engine(
            path, replace(store.options(data), cache=CacheOptions(query_capacity=options.entries))
        )
        show(measure(engine, questions, options.entries))
        engine.close()


if __name__ == "__main__":
    main()
