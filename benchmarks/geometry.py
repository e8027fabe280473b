"""Recall@10 of data of any shape at default settings, beside that of a float32 graph of the library.

The truth is brute force in float64.

    python -m benchmarks.geometry [--rows N] [WORD OF A NAME …]

What the time of a search on ordinary text became is measured by embedded_search.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.shapes import SHAPES, Doubles, Geometry
from pykyro.cache.query_cache import Mode
from pykyro.engine.engine import Engine, open_engine
from pykyro.engine.maintenance.builder import InlineBuilder
from pykyro.engine.options import CacheOptions, EngineOptions
from pykyro.index.vector.library import faiss
from pykyro.index.vector.planner import REFERENCE_ROWS
from pykyro.model.requests import Put, SearchRequest
from pykyro.model.types import Document, Matrix, Metric
from pykyro.storage.files.filesystem import LocalFileSystem

K = 10
WANTED = 0.99


def similarities(rows: Matrix, question: npt.NDArray[np.float32], metric: Metric) -> Doubles:
    """By the book, in float64."""
    wide, asked = rows.astype(np.float64), question.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        wide -= asked
        return np.asarray(-np.vecdot(wide, wide))
    if metric is Metric.COSINE:
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
        asked = asked / np.linalg.norm(asked)
    return np.asarray(np.vecdot(wide, asked))


def recall(found: npt.NDArray[np.int64], truth: Doubles) -> float:
    """Share of the K best; what float32 shows as equal to the last of them counts as right."""
    kth = float(np.partition(truth, -K)[-K])
    return min(K, int(np.count_nonzero(truth[found] >= kth - 2.0**-23 * abs(kth)))) / K


def stored(path: Path, shape: Geometry, rows: Matrix) -> Engine:
    """One segment of all rows."""
    filesystem = LocalFileSystem()
    options = EngineOptions(
        dimension=shape.dimension,
        metric=shape.metric,
        background=False,
        hot_rows_max=len(rows),
        mutations_per_checkpoint=2 * len(rows),
        documents_max=2 * len(rows),
        cache=CacheOptions(query_mode=Mode.OFF),
        build_threads=2,
    )
    engine = open_engine(path, options, filesystem=filesystem, builder=InlineBuilder(filesystem))
    for start in range(0, len(rows), 1000):
        part = rows[start : start + 1000]
        engine.commit([Put(Document(start + at + 1, row, {})) for at, row in enumerate(part)])
    engine.flush()
    return engine


def of_the_library(shape: Geometry, rows: Matrix, questions: Matrix, truths: list[Doubles], ef: int) -> float:
    """Recall of a float32 graph of the same parameters, asked as it is."""
    by_product = shape.metric is not Metric.EUCLIDEAN
    index = faiss.IndexHNSWFlat(
        shape.dimension, 16, faiss.METRIC_INNER_PRODUCT if by_product else faiss.METRIC_L2
    )
    index.hnsw.efConstruction = 200
    with np.errstate(all="ignore"):
        if shape.metric is Metric.COSINE:
            rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            questions = questions / np.linalg.norm(questions, axis=1, keepdims=True)
    index.add(rows)
    _, found = index.search(questions, K, params=faiss.SearchParametersHNSW(efSearch=ef))
    return float(np.mean([recall(one[one >= 0], truth) for one, truth in zip(found, truths, strict=True)]))


def measure(shape: Geometry, row_count: int, asked: int) -> float:
    """One line for a shape; the recall."""
    rows, questions = shape.drawn(row_count, asked)
    truths = [similarities(rows, question, shape.metric) for question in questions]
    with tempfile.TemporaryDirectory(prefix="kyrodb-geometry-") as directory:
        started = time.perf_counter()
        engine = stored(Path(directory) / "data", shape, rows)
        built_s = time.perf_counter() - started
        recalls, times_s = [], []
        plan = ""
        for question, truth in zip(questions, truths, strict=True):
            before = time.perf_counter()
            result = engine.search(SearchRequest(question, K))
            times_s.append(time.perf_counter() - before)
            recalls.append(recall(np.array([hit.doc_id for hit in result.hits]) - 1, truth))
            plan = result.plan
        (segment,) = engine._context.state.version.cold
        facts = (
            "scanned" if segment.shape is None else f"{segment.shape.coding.code.value} ef {segment.shape.ef}"
        )
        ef = engine.ef_search
        engine.close()
    library = of_the_library(shape, rows, questions, truths, ef)
    mine = float(np.mean(recalls))
    print(
        f"{shape.name:42s} {mine:.4f}  library {library:.4f}  {1e3 * float(np.median(times_s)):6.2f} ms  "
        f"{facts:12s} built {built_s:.1f} s  {plan[:90]}",
        flush=True,
    )
    return mine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--data", help="of no use here: the rows are made up")
    parser.add_argument("names", nargs="*", help="only shapes whose name contains one of these")
    arguments = parser.parse_args()
    assert arguments.rows <= REFERENCE_ROWS
    missed = 0
    for shape in SHAPES:
        if arguments.names and not any(name in shape.name for name in arguments.names):
            continue
        if measure(shape, arguments.rows, arguments.questions) < WANTED:
            missed += 1
    print(f"{missed} below {WANTED}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
