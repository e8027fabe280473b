"""Search while what was written last is in a segment of its own, against the same rows in one segment.

An eleventh of the rows is sealed after the rest and not merged yet, once as they come and once the rows most like the
questions, so that most of the answer is in the small segment.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import dataset, store
from benchmarks.report import Row, arguments, median_us, show
from pykyro.engine.engine import Engine, open_engine
from pykyro.model.requests import SearchRequest

_LATE = 11
_ROUNDS = 4


def in_two_segments(path: Path, data: dataset.Dataset) -> Engine:
    late = len(data.rows) - len(data.rows) // _LATE
    engine = open_engine(path, store.options(data))
    store.fill(engine, replace(data, rows=data.rows[:late]))
    engine.flush()
    store.fill(engine, data, first=late)
    engine.flush()
    if (segments := engine.stats().segments) != 2:
        raise SystemExit(f"{segments} segments where 2 were meant")
    return engine


def ask(engine: Engine, data: dataset.Dataset, ef: int) -> tuple[float, list[float]]:
    """Recall@10, and what each search took in seconds."""
    seconds, right = [], 0
    for query, truth in zip(data.queries, data.truth, strict=True):
        started = time.perf_counter()
        answer = engine.search(SearchRequest(query, 10, ef_search=ef))
        seconds.append(time.perf_counter() - started)
        right += len({hit.doc_id for hit in answer.hits} & set((truth + 1).tolist()))
    return right / data.truth.size, seconds


def compared(label: str, engines: dict[str, tuple[Engine, dataset.Dataset]], ef: int) -> Row:
    taken: dict[str, list[float]] = {name: [] for name in engines}
    recall: dict[str, float] = {}
    for _ in range(_ROUNDS):
        for name, (engine, data) in engines.items():
            recall[name], seconds = ask(engine, data, ef)
            taken[name].append(median_us(seconds))
    one, two = (float(np.median(taken[name])) for name in ("one", "two"))
    return Row(
        f"{label}, ef {ef}: recall@10 {recall['two']:.3f}",
        f"{two:.0f} µs",
        f"one segment {one:.0f} µs, {recall['one']:.3f}",
        two / one,
        "≤ 1.2",
    )


def nearest_last(data: dataset.Dataset) -> dataset.Dataset:
    """The rows in another order: those most like a question come last."""
    likeness = np.max([data.rows @ query for query in data.queries[::4]], axis=0)
    order = np.argsort(likeness, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return replace(data, rows=data.rows[order], truth=place[data.truth])


def main() -> None:
    options = arguments(__doc__, questions=500)
    data = dataset.load(options.data, options.count)
    data = replace(data, queries=data.queries[: options.questions], truth=data.truth[: options.questions])
    rows = []
    for label, ordered in (("as they come", data), ("the nearest last", nearest_last(data))):
        with tempfile.TemporaryDirectory() as directory:
            one = store.one_segment(Path(directory) / "one", ordered)
            two = in_two_segments(Path(directory) / "two", ordered)
            engines = {"one": (one, ordered), "two": (two, ordered)}
            rows += [compared(label, engines, ef) for ef in (50, 120)]
            one.close()
            two.close()
    show(rows)


if __name__ == "__main__":
    main()
