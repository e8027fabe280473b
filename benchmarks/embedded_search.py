"""Embedded search against the bare call of the vector library on the same graph at the same ef.

Once as it is, and once with the query cache off: none of the questions repeats while the cache still knows it. And
many questions at once against the library's call for as many on one thread.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import dataset, store
from benchmarks.report import Row, arguments, median_us, p99_us, show
from pykyro.cache.query_cache import Mode
from pykyro.engine.engine import Engine
from pykyro.index.vector.library import faiss
from pykyro.model.distance import Query
from pykyro.model.requests import SearchRequest
from pykyro.model.types import Metric

_ROUNDS = 3
_TOGETHER = 64


def bare_library(engine: Engine) -> tuple[Any, Any]:
    """The engine's own graph, in the same memory, and the parameters for its ef; on one thread."""
    faiss.omp_set_num_threads(1)
    (segment,) = engine._context.state.version.cold
    assert segment.graph is not None
    return segment.graph._index, faiss.SearchParametersHNSW(efSearch=engine.ef_search)


def measure(data: dataset.Dataset, engine: Engine, mode: Mode) -> list[Row]:
    """Each question is asked of the engine and of the library in turn, never the same one in a row."""
    engine._context.caches.queries.mode = mode
    graph, parameters = bare_library(engine)
    questions = [np.ascontiguousarray(q) for q in data.queries[: len(data.truth)]]
    unit = [Query(q, Metric.COSINE).indexed[np.newaxis] for q in questions]
    ours: list[float] = []
    bare: list[float] = []
    found = 0
    for round_number in range(_ROUNDS + 1):
        for at, question in enumerate(questions):
            started = time.perf_counter()
            answer = engine.search(SearchRequest(question, 10))
            middle = time.perf_counter()
            graph.search(unit[(at + len(unit) // 2) % len(unit)], 10, params=parameters)
            ended = time.perf_counter()
            if round_number:  # the first round only warms up
                ours.append(middle - started)
                bare.append(ended - middle)
                found += len({hit.doc_id - 1 for hit in answer.hits} & set(data.truth[at].tolist()))
    recall = found / (10 * len(ours))
    return [
        Row(
            f"embedded search p50, query cache {mode.value}, recall@10 {recall:.3f}",
            f"{median_us(ours):.0f} µs",
            f"bare library call {median_us(bare):.0f} µs",
            median_us(ours) / median_us(bare),
            "≤ 1.35" if mode is Mode.OFF else "",
        ),
        Row(
            f"embedded search p99, query cache {mode.value}",
            f"{p99_us(ours):.0f} µs",
            f"bare library call {p99_us(bare):.0f} µs",
            p99_us(ours) / p99_us(bare),
            "",
        ),
    ]


def measure_together(data: dataset.Dataset, engine: Engine) -> Row:
    """`search_many` of so many questions, and the library's call, in turns."""
    engine._context.caches.queries.mode = Mode.OFF
    graph, parameters = bare_library(engine)
    ours: list[float] = []
    bare: list[float] = []
    for start in list(range(0, len(data.truth) - 2 * _TOGETHER, 2 * _TOGETHER)) * _ROUNDS:
        asked = data.queries[start : start + _TOGETHER]
        other = data.queries[start + _TOGETHER : start + 2 * _TOGETHER]
        unit = np.array([Query(question, Metric.COSINE).indexed for question in other])
        started = time.perf_counter()
        engine.search_many([SearchRequest(question, 10) for question in asked])
        middle = time.perf_counter()
        faiss.omp_set_num_threads(1)
        graph.search(unit, 10, params=parameters)
        ours.append((middle - started) / _TOGETHER)
        bare.append((time.perf_counter() - middle) / _TOGETHER)
    return Row(
        f"embedded search_many, {_TOGETHER} questions at once, each",
        f"{median_us(ours):.0f} µs",
        f"bare library call on one thread {median_us(bare):.0f} µs",
        median_us(ours) / median_us(bare),
        "",
    )


def main() -> None:
    options = arguments(__doc__)
    data = dataset.load(options.data, options.count)
    print(f"{data.name}, one segment")
    with tempfile.TemporaryDirectory() as directory:
        engine = store.one_segment(Path(directory) / "data", data)
        rows = [row for mode in (Mode.OFF, Mode.CERTIFIED) for row in measure(data, engine, mode)]
        show([*rows, measure_together(data, engine)])
        engine.close()


if __name__ == "__main__":
    main()
