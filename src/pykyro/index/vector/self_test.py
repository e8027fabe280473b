"""What a segment finds out about itself when it is built: which codes tell its rows apart, and how far to look.

Queries are rows that were moved, each by a share of the distance to its tenth neighbour, so that they are as near
to their neighbours as queries to near-duplicates and to strangers are: a little and much in a direction of its own,
and much along the directions in which the rows differ. They are answered exactly, then from codes, then by walks.

Recall@10 of queries from where the rows came from, and of moved rows, at ef 50 on 20,000 rows:

                              fresh    0.3     0.7     0.6 along
    sentence embeddings       0.988    0.997   0.997   0.992
    families, cosine 0.918    0.80     0.97    0.90    0.89
    rank 32 of 384            0.94     0.997   0.99    0.97
    Gaussian, 64 dimensions   0.78     0.88    0.79    0.81
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.index.vector.codes import Coder
from pykyro.index.vector.coding import Code, Coding, made_whole
from pykyro.index.vector.hnsw import Graph
from pykyro.index.vector.planner import SCAN_PER_EF
from pykyro.model.limits import EF_SEARCH_MAX
from pykyro.model.types import Matrix, Metric, Rows

Doubles = npt.NDArray[np.float64]

K: Final = 10
"""Best rows looked for."""
EF_FREE: Final = 50
"""In a large segment this is enough where it finds about as much as is wanted: a configured ef promises no more."""
LARGE_ROWS: Final = 10_000
RECALL_WANTED: Final = 0.99
_RECALL_OF_KIND: Final = 0.975
_RECALL_WANTED_SURELY: Final = 0.995
_MARGIN: Final = 1.5
"""Queries from where the rows came from are a little harder than moved rows."""
_RECALL_OF_CODES: Final = 0.995
_NEAREST: Final = 64
"""Rows known of each query."""
_FIRST_BY_CODE: Final = 16
"""Rows that a search scores as they are in any case: the best must be among them."""
_QUESTIONS: Final = 192
_QUESTIONS_OF_MANY: Final = 96
_MANY_ROWS: Final = 200_000
_MOVES: Final = (("own", 0.3), ("own", 0.7), ("along", 0.6))
_MIXED: Final = 64
"""Rows of which a direction along the rows is made."""
_CHUNK_BYTES: Final = 32 << 20
_SPREAD_MARGIN: Final = 1.1
_LADDER: Final = (32, 50, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8000)


@dataclass(frozen=True, slots=True)
class CodedRows:
    """Rows of a segment, by number, as they are before they become codes."""

    coding: Coding
    vectors: Matrix
    norms: Doubles
    numbers: Rows

    def __len__(self) -> int:
        return len(self.numbers)

    def of(self, places: Rows) -> Doubles:
        """Those at these places among the numbers, shape (n, dimension)."""
        rows = self.numbers[places]
        return self.coding.rows(self.vectors[rows], self.norms[rows])

    def chunks(self) -> Iterator[tuple[int, Doubles]]:
        """All, piece by piece, with the place of the first."""
        size = max(1, _CHUNK_BYTES // (8 * self.vectors.shape[1]))
        for start in range(0, len(self.numbers), size):
            yield start, self.of(np.arange(start, min(start + size, len(self.numbers))))


@dataclass(frozen=True, slots=True)
class Sample:
    """Queries, coded, of shape (n, dimension); of each the `nearest` places, best first, and how `far` those are:
    a squared distance, or an inner product negated. `kinds` says how each query was made."""

    queries: Doubles
    kinds: npt.NDArray[np.int64]
    nearest: Rows
    far: Doubles


def take_sample(rows: CodedRows) -> Sample:
    """Queries near some of the rows, answered exactly. Reads all rows twice."""
    random = np.random.default_rng(len(rows))
    count = min(len(rows), _QUESTIONS if len(rows) <= _MANY_ROWS else _QUESTIONS_OF_MANY)
    picked = np.sort(random.choice(len(rows), count, replace=False))
    asked = rows.of(picked)
    _, far = _nearest(rows, asked, min(K + 1, len(rows)), by_product=False)
    reach = np.sqrt(np.maximum(far[:, -1:], 0.0))
    kinds = random.integers(0, len(_MOVES), count)
    mixed = rows.of(np.sort(random.choice(len(rows), min(_MIXED, len(rows)), replace=False)))
    mixed -= mixed.mean(axis=0)
    own = random.standard_normal(asked.shape)
    along = random.standard_normal((count, len(mixed))) @ mixed
    for kind, (direction, share) in enumerate(_MOVES):
        moved = kinds == kind
        step = (own if direction == "own" else along)[moved]
        length = np.linalg.norm(step, axis=1, keepdims=True)
        asked[moved] += share * reach[moved] * step / np.maximum(length, np.finfo(np.float64).tiny)
    queries = _asked_again(rows.coding, asked)
    nearest, far = _nearest(rows, queries, min(_NEAREST, len(rows)), by_product=rows.coding.by_product)
    return Sample(queries, kinds, nearest, far)


def codes_tell_apart(sample: Sample, rows: CodedRows, coder: Coder) -> bool:
    """Whether the best rows are among the first by their codes."""
    right = 0.0
    asked = _as_asked(sample, coder.code)
    for query, places, far in zip(asked, sample.nearest, sample.far, strict=True):
        by_code = _far(query, _decoded(rows.of(places), coder), rows.coding.by_product)
        first = np.argsort(by_code, kind="stable")[:_FIRST_BY_CODE]
        wanted = min(K, len(far))
        right += min(wanted, int(np.count_nonzero(far[first] <= _kth(far)))) / wanted
    return right >= _RECALL_OF_CODES * len(sample.queries)


def spread_of_errors(sample: Sample, rows: CodedRows, coder: Coder) -> float:
    """The share of a code's error that shows along the line to a query, at most; see coding.py."""
    largest = 0.0
    asked = _as_asked(sample, coder.code)
    for query, moved, places in zip(sample.queries, asked, sample.nearest, strict=True):
        true = rows.of(places)
        error = _decoded(true, coder) - true - (moved - query)
        line = np.broadcast_to(query, true.shape) if rows.coding.by_product else query - true
        lengths = np.linalg.norm(error, axis=1) * np.linalg.norm(line, axis=1)
        shown = np.abs(np.vecdot(error, line))
        largest = max(largest, float(np.max(shown / np.maximum(lengths, np.finfo(np.float64).tiny))))
    return min(1.0, _SPREAD_MARGIN * largest)


def least_ef(sample: Sample, graph: Graph, code: Code, point_of: Rows, row_count: int) -> tuple[int, float]:
    """The least ef whose walks find the best rows, and the recall seen; ef 0 when a scan of the segment's `row_count`
    rows is cheaper than any that does. `point_of` is the point of each place of the sample."""
    queries = _as_asked(sample, code).astype(np.float32)
    wanted = [
        np.unique(point_of[places[far <= _kth(far)]])
        for places, far in zip(sample.nearest, sample.far, strict=True)
    ]
    recall = 0.0
    affordable = max(_LADDER[1], row_count // SCAN_PER_EF)
    for ef in _LADDER:
        if ef > affordable or ef > EF_SEARCH_MAX:
            break
        found, _ = graph.search_many(queries, min(ef, graph.ntotal), ef)
        recalls = np.array(
            [
                min(1.0, np.count_nonzero(np.isin(best, points)) / min(K, len(best)))
                for best, points in zip(wanted, found, strict=True)
            ]
        )
        recall = float(recalls.mean())
        worst = min(float(recalls[sample.kinds == kind].mean()) for kind in np.unique(sample.kinds))
        free = ef <= EF_FREE and row_count >= LARGE_ROWS
        if free and recall >= RECALL_WANTED and worst >= _RECALL_OF_KIND:
            return ef, recall
        if recall >= _RECALL_WANTED_SURELY and worst >= RECALL_WANTED:
            return min(EF_SEARCH_MAX, round(_MARGIN * ef)), recall
    return 0, recall


def _as_asked(sample: Sample, code: Code) -> Doubles:
    """The queries as a graph of such codes is asked them."""
    return made_whole(sample.queries.copy()) if code is Code.I8 else sample.queries


def _asked_again(coding: Coding, coded: Doubles) -> Doubles:
    """Queries at these coded places as queries are coded: of the length that the metric gives them."""
    if coding.by_product or coding.metric is Metric.EUCLIDEAN:
        return coded
    indexed = coded / coding.scale + coding.centre
    length = 1.0 if coding.metric is Metric.COSINE else coding.radius
    indexed *= length / np.maximum(np.linalg.norm(indexed, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return (indexed - coding.centre) * coding.scale


def _nearest(rows: CodedRows, queries: Doubles, count: int, *, by_product: bool) -> tuple[Rows, Doubles]:
    """Of each query the `count` nearest places and how far they are, nearest first."""
    lengths = 0.0 if by_product else np.vecdot(queries, queries)[:, np.newaxis]
    places = np.empty((len(queries), 0), np.int64)
    far = np.empty((len(queries), 0))
    for start, chunk in rows.chunks():
        products = queries @ chunk.T
        distances = -products if by_product else lengths + np.vecdot(chunk, chunk) - 2 * products
        far = np.concatenate([far, distances], axis=1)
        numbers = np.broadcast_to(np.arange(start, start + len(chunk)), distances.shape)
        places = np.concatenate([places, numbers], axis=1)
        if far.shape[1] > count:
            kept = np.argpartition(far, count - 1, axis=1)[:, :count]
            far, places = np.take_along_axis(far, kept, 1), np.take_along_axis(places, kept, 1)
    order = np.argsort(far, axis=1, kind="stable")
    return np.take_along_axis(places, order, 1), np.take_along_axis(far, order, 1)


def _far(query: Doubles, rows: Doubles, by_product: bool) -> Doubles:
    if by_product:
        return -(rows @ query)
    apart = rows - query
    return np.asarray(np.vecdot(apart, apart))


def _kth(far: Doubles) -> float:
    """What is no farther belongs to the best, ties too."""
    kth = float(far[min(K, len(far)) - 1])
    return kth + 1e-12 * max(1.0, abs(kth))


def _decoded(coded: Doubles, coder: Coder) -> Doubles:
    return coder.decode(coder.encode(coded.astype(np.float32))).astype(np.float64)
