"""The query cache in every mode: hits, recall of what is served, and time against a real search.

Recall is the share of an exact search's results, of hits and of all answers; of a mode that is proved it must be
what real searches have. Times are of the embedded engine, hits and misses of the same run side by side.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import dataset, store
from benchmarks.cache import traces
from benchmarks.cache.svg import write_bars
from pykyro.cache.query_cache import Mode
from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.options import CacheOptions
from pykyro.model.requests import SearchRequest

K = 10


@dataclass
class Measured:
    """What one mode made of one stream."""

    kinds: Counter[str] = field(default_factory=Counter)
    recalls: dict[str, list[float]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, kind: str, recall: float, seconds: float) -> None:
        self.kinds[kind] += 1
        self.recalls.setdefault(kind, []).append(recall)
        self.seconds.setdefault(kind, []).append(seconds)

    @property
    def hit_ratio(self) -> float:
        return 1 - self.kinds["search"] / self.kinds.total()

    def recall(self, *, hits: bool) -> float:
        values = [one for kind, all in self.recalls.items() if not hits or kind != "search" for one in all]
        return float(np.mean(values)) if values else float("nan")

    def p50_us(self, kind: str) -> float:
        return float(np.median(self.seconds[kind])) * 1e6 if kind in self.seconds else float("nan")


def truths(rows: dataset.Floats, questions: dataset.Floats) -> npt.NDArray[np.int64]:
    """Ids of the exact answers."""
    return dataset.exact(rows, questions) + 1


def measure(engine: Engine, questions: dataset.Floats, truth: npt.NDArray[np.int64]) -> Measured:
    measured = Measured()
    for question, true in zip(questions, truth.tolist(), strict=True):
        started = time.perf_counter()
        result = engine.search(SearchRequest(question, K))
        seconds = time.perf_counter() - started
        recall = len({hit.doc_id for hit in result.hits} & set(true)) / K
        measured.add("search" if result.cached is None else result.cached.value, recall, seconds)
    return measured


def reopened(path: Path, data: dataset.Dataset, mode: Mode, options: argparse.Namespace) -> Engine:
    cache = CacheOptions(
        query_mode=mode, query_capacity=options.capacity, query_recall_min=options.min_recall
    )
    return open_engine(path, replace(store.options(data), cache=cache))


def streams(data: dataset.Dataset, count: int) -> Iterator[tuple[str, Iterable[npt.NDArray[np.float32]]]]:
    yield "questions as they were asked", traces.natural(data.queries, count)
    yield "Zipf, word for word", traces.repeating(data.queries, count, 0.0)
    yield "Zipf, nearly the same (cosine 0.9998)", traces.repeating(data.queries, count, 0.02)
    yield "Zipf, reworded (cosine 0.98)", traces.repeating(data.queries, count, 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="directory with docs.npy, queries.npy, gt_ids.npy")
    parser.add_argument("--count", type=int, default=20_000, help="documents to store")
    parser.add_argument("--queries", type=int, default=3000)
    parser.add_argument("--capacity", type=int, default=1000, help="entries of the query cache")
    parser.add_argument("--min-recall", type=float, default=0.99, help="for mode rescored")
    parser.add_argument("--svg", type=Path, help="file for a chart")
    options = parser.parse_args()
    data = dataset.load(options.data, options.count)
    print(f"{data.name}, one segment, k = {K}, {options.capacity} entries")
    groups: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "data"
        store.one_segment(path, data).close()
        for name, stream in streams(data, options.queries):
            questions = np.array(list(stream), np.float32)
            truth = truths(data.rows, questions)
            print(
                f"\n{name}\n| mode | hits | of them | recall of hits | of all | hit p50 | search p50 | memory |"
            )
            print("|---|---|---|---|---|---|---|---|")
            groups[name] = {}
            for mode in Mode:
                engine = reopened(path, data, mode, options)
                measured = measure(engine, questions, truth)
                memory = engine._context.caches.queries.size_bytes
                engine.close()
                groups[name][mode.value] = measured.hit_ratio
                print(row(mode, measured, memory), flush=True)
    if options.svg:
        write_bars(options.svg, "Searches answered from the query cache", groups)


def row(mode: Mode, measured: Measured, memory: int) -> str:
    hits = {kind: count for kind, count in sorted(measured.kinds.items()) if kind != "search"}
    own = max(hits, key=lambda kind: hits[kind], default="")
    return (
        f"| {mode.value} | {100 * measured.hit_ratio:.1f} % "
        f"| {', '.join(f'{kind} {count}' for kind, count in hits.items())} "
        f"| {measured.recall(hits=True):.3f} | {measured.recall(hits=False):.3f} "
        f"| {f'{own} {measured.p50_us(own):.0f} µs' if own else ''} | {measured.p50_us('search'):.0f} µs "
        f"| {memory / 1e6:.0f} MB |"
    )


if __name__ == "__main__":
    main()
