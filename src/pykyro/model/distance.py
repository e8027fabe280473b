"""Similarities, scores and the canonical arithmetic behind both.

Inside the program "similarity" is the number to maximise: the cosine, the inner product, or minus the squared
Euclidean distance. A client sees the "score": the same number for cosine and inner product, and
1 / (1 + distance) for Euclidean.

The last step of every search computes similarities here, in float64 from the stored float32 rows. The sum
then does not depend on which tier a row lies in or on how many rows are scored together, so equal queries
get equal answers to the last bit of the float32 score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import DIMENSION_MAX
from pykyro.model.types import Matrix, Metric, Vector

Similarities = npt.NDArray[np.float64]

_TOGETHER_FROM: Final = 4
_TOGETHER_BYTES: Final = 1 << 16
"""Of vectors as float64 that are prepared at once. Larger pieces of memory go back to the system each time."""
_FLOAT32_STEP: Final = 2.0**-22
"""Twice the largest step from one float32 to the next, relative to it."""
_HIDDEN_DISTANCE: Final = 2.0**-26
"""Beside one, float32 does not show a smaller distance."""
_DROPPED_OF_FLOAT32: Final = 29
"""Bits a float64 has beyond the 24 of float32."""
_DROPPED_OF_SUMS: Final = 13
"""Last bits of a float64 that the order of a sum decides, and not what is summed."""
_FLOAT32_MAX: Final = np.finfo(np.float32).max
_FLOAT32_TINY: Final = np.finfo(np.float32).tiny
_CHUNK_ROWS: Final = 1 << 14
"""Rows made float64 at a time, so that a great many equal rows do not need a great deal of memory."""


def check_vector(vector: Vector, *, dimension: int, metric: Metric, field: str) -> None:
    """Refuse what can never be stored or asked for.

    Raises InvalidArgument for a vector that is empty, longer than DIMENSION_MAX, not of `dimension`, not
    finite, or without a direction under cosine. `field` names it in the message.
    """
    found = vector.shape[0]
    if found == 0:
        raise InvalidArgument(f"{field} cannot be empty", field=field)
    if found > DIMENSION_MAX:
        raise InvalidArgument(f"{field} dimension {found} exceeds maximum {DIMENSION_MAX}", field=field)
    if found != dimension:
        raise InvalidArgument(f"{field} dimension mismatch: expected {dimension} found {found}", field=field)
    # vdot is the product of the library that warns of no overflow. A finite sum of squares proves every component
    # finite at the cost of one product; an infinite one may be honest overflow (components near 1e20), and one of
    # zero honest underflow (components below 1e-23), so only then look at each component.
    norm_squared = float(np.vdot(vector, vector))
    if not math.isfinite(norm_squared) and not np.isfinite(vector).all():
        bad = int(np.flatnonzero(~np.isfinite(vector))[0])
        # What was sent may have been a float64 that is finite.
        bound = f"; float32 holds at most {np.finfo(np.float32).max!s}" if np.isinf(vector[bad]) else ""
        raise InvalidArgument(
            f"{field} must contain only finite values: component {bad} is {vector[bad]}{bound}", field=field
        )
    if metric is Metric.COSINE and norm_squared == 0 and norm(vector) == 0:
        raise InvalidArgument(
            f"{field} norm is zero; cannot normalize: distance cosine needs a component other than zero",
            field=field,
        )


def norms(rows: Matrix) -> npt.NDArray[np.float64]:
    """Euclidean length of each row, shape (n,), summed in float64."""
    wide = rows.astype(np.float64)
    return np.asarray(np.sqrt(np.vecdot(wide, wide)), dtype=np.float64)


def norm(vector: Vector) -> float:
    """`norms` of a single vector, the same to the last bit."""
    wide = vector.astype(np.float64)
    return math.sqrt(np.vecdot(wide, wide))


def normalised(rows: Matrix) -> Matrix:
    """Rows of length one, float32; what the graph of a cosine segment is built from."""
    return np.ascontiguousarray(rows / norms(rows)[:, None], dtype=np.float32)


def index_form(rows: Matrix, metric: Metric) -> Matrix:
    """Rows as an index wants them: of length one for cosine, as they are otherwise."""
    return normalised(rows) if metric is Metric.COSINE else rows


class Query:
    """A query vector with what every tier needs of it, worked out once.

    `vector` is as asked, float32, shape (d,), and `length` its Euclidean length; `indexed` the same in index
    form; `wide` as asked in float64.
    """

    __slots__ = ("indexed", "length", "metric", "vector", "wide")

    def __init__(self, vector: Vector, metric: Metric) -> None:
        self.metric = metric
        self.vector = vector
        self.wide = vector.astype(np.float64)
        self.length = math.sqrt(np.vecdot(self.wide, self.wide))
        self.indexed: Vector = vector
        if metric is Metric.COSINE:
            self.indexed = (self.wide / self.length).astype(np.float32)

    @classmethod
    def each(cls, vectors: Sequence[Vector], metric: Metric) -> list[Query]:
        """A query for each vector, the same to the last bit; of short vectors in less time."""
        together = _TOGETHER_BYTES // (8 * max(1, len(vectors[0]))) if vectors else 0
        if together < _TOGETHER_FROM or len(vectors) < _TOGETHER_FROM:
            return [cls(vector, metric) for vector in vectors]
        parts = [vectors[at : at + together] for at in range(0, len(vectors), together)]
        return [query for part in parts for query in cls._together(part, metric)]

    @classmethod
    def _together(cls, vectors: Sequence[Vector], metric: Metric) -> list[Query]:
        wide = np.array(vectors, np.float64)
        lengths = np.sqrt(np.vecdot(wide, wide))
        indexed: Sequence[Vector] = vectors
        if metric is Metric.COSINE:
            indexed = list((wide / lengths[:, np.newaxis]).astype(np.float32))
        queries = []
        for vector, of_query, length, in_index in zip(vectors, wide, lengths.tolist(), indexed, strict=True):
            query = cls.__new__(cls)
            query.metric, query.vector, query.wide = metric, vector, of_query
            query.length, query.indexed = length, in_index
            queries.append(query)
        return queries

    def similarities(self, rows: Matrix, row_norms: npt.NDArray[np.float64] | None = None) -> Similarities:
        """Canonical similarity of each row of shape (n, d), shape (n,).

        `row_norms`, if given, saves computing them for cosine; it must come from `norms`.
        """
        if len(rows) > _CHUNK_ROWS:
            parts = range(0, len(rows), _CHUNK_ROWS)
            return np.concatenate(
                [
                    self.similarities(
                        rows[at : at + _CHUNK_ROWS],
                        None if row_norms is None else row_norms[at : at + _CHUNK_ROWS],
                    )
                    for at in parts
                ]
            )
        return _similarities(self.metric, rows, self.wide, self.length, row_norms)

    def similarity(self, vector: Vector) -> float:
        """Similarity of one vector, up to rounding in float64: to reason with, not to score with."""
        wide = vector.astype(np.float64)
        if self.metric is Metric.EUCLIDEAN:
            wide -= self.wide
            return -float(wide.dot(wide))
        product = float(wide.dot(self.wide))
        if self.metric is Metric.INNER_PRODUCT:
            return product
        return max(-1.0, min(1.0, product / (math.sqrt(wide.dot(wide)) * self.length)))


def similarities_together(
    queries: Sequence[Query], rows: npt.NDArray[np.float32], row_norms: npt.NDArray[np.float64]
) -> Similarities:
    """`Query.similarities` of each query, all of one metric, to rows of its own, the same to the last bit.

    `rows` has shape (queries, n, d), `row_norms` (queries, n), and so has the result.
    """
    first = queries[0]
    if len(queries) == 1:
        return _similarities(first.metric, rows, first.wide, first.length, row_norms)
    wide = np.array([query.wide for query in queries])[:, np.newaxis]
    lengths = np.array([query.length for query in queries])[:, np.newaxis]
    return _similarities(first.metric, rows, wide, lengths, row_norms)


def _similarities(
    metric: Metric,
    rows: npt.NDArray[np.float32],
    query: npt.NDArray[np.float64],
    length: float | npt.NDArray[np.float64],
    row_norms: npt.NDArray[np.float64] | None,
) -> Similarities:
    """The arithmetic of both, over the last axis."""
    wide = rows.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        wide -= query
        return np.asarray(-np.vecdot(wide, wide))
    # A dot product per row keeps one summation order, whatever the number of rows; a matrix product may not.
    products: Similarities = np.vecdot(wide, query)
    if metric is Metric.INNER_PRODUCT:
        return products
    products /= (norms(rows) if row_norms is None else row_norms) * length
    # Rounding can leave the cosine of parallel vectors a little beyond 1.
    np.minimum(products, 1.0, out=products)
    return np.maximum(products, -1.0, out=products)


def similarities(rows: Matrix, query: Vector, metric: Metric) -> Similarities:
    """Canonical similarity of each row of shape (n, d) to `query`, shape (n,); see Query."""
    return Query(query, metric).similarities(rows)


def scores(values: Similarities, metric: Metric) -> npt.NDArray[np.float32]:
    """What a client sees for these similarities, shape (n,). An inner product beyond float32 is shown as the
    largest that float32 has."""
    if metric is Metric.EUCLIDEAN:
        return np.asarray(1.0 / (1.0 + np.sqrt(-values)), dtype=np.float32)
    if metric is Metric.INNER_PRODUCT:
        values = np.minimum(np.maximum(values, -_FLOAT32_MAX), _FLOAT32_MAX)
    return np.asarray(values, dtype=np.float32)


def best(
    values: Similarities, doc_ids: npt.NDArray[np.uint64], metric: Metric, k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Places of all, shape (n,), in the order of an answer of `k` rows, and their `scores`: by falling score, those
    of equal scores by ascending id.

    Which rows are among the first `k` is decided by what is true, not by what float32 shows of it: of rows with the
    score of the last the more similar ones are, equally similar ones by ascending id.
    """
    order, shown = _by_score(values, doc_ids, metric)
    if 0 < k < len(order) and shown[order[k - 1]] == shown[order[k]]:
        ranked = shown[order]
        alike = np.flatnonzero(ranked == ranked[k])
        start, places = int(alike[0]), order[alike]
        nearest = np.lexsort((doc_ids[places], -_rounded(values[places], _DROPPED_OF_SUMS)))
        among = np.zeros(len(places), np.bool_)
        among[nearest[: k - start]] = True
        order[alike] = np.concatenate([places[among], places[~among]])
    return order, shown


def has_ties(shown: npt.NDArray[np.float32], order: npt.NDArray[np.int64], k: int) -> bool:
    """Whether any of the first `k` of `order` has the score of another row."""
    scores_of_best = shown[order[: k + 1]].tolist()
    return len(set(scores_of_best)) < len(scores_of_best)


def numbers_by_text(texts: list[str], places: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.uint64]:
    """What `best` takes for ids where the order is that of texts: shape (count,), for each of `places` the rank of
    its text, for the others 0."""
    numbers = np.zeros(count, np.uint64)
    numbers[places[sorted(range(len(texts)), key=texts.__getitem__)]] = np.arange(len(texts), dtype=np.uint64)
    return numbers


def _by_score(
    values: Similarities, doc_ids: npt.NDArray[np.uint64], metric: Metric
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Places by falling score, equal scores by ascending id, and the scores.

    Where float32 has no numbers left for what differs, the more similar one comes first all the same: an inner
    product too small or too large for it, a distance too small to show beside one, or too large.
    """
    if metric is Metric.COSINE:
        shown = values.astype(np.float32)
        return np.lexsort((doc_ids, -shown)), shown
    shown = scores(values, metric)
    if not len(shown):
        return np.lexsort((doc_ids, -shown)), shown
    size = np.abs(shown)
    largest = np.float32(1.0) if metric is Metric.EUCLIDEAN else _FLOAT32_MAX
    if size.min() >= _FLOAT32_TINY and size.max() < largest:
        return np.lexsort((doc_ids, -shown)), shown
    unclear = (size < _FLOAT32_TINY) | (size >= largest)
    return np.lexsort(
        (doc_ids, np.where(unclear, -_rounded(values, _DROPPED_OF_FLOAT32), 0.0), -shown)
    ), shown


def shown_alike_from(similarity: float, metric: Metric) -> float:
    """Nothing less similar than this is shown as equal to `similarity`, so that what float32 does not show decides
    between the two; see `best`."""
    if metric is not Metric.EUCLIDEAN:
        return similarity - _FLOAT32_STEP * abs(similarity)
    distance = math.sqrt(max(0.0, -similarity))
    room = distance
    if distance > _HIDDEN_DISTANCE:
        room += 1.0
    return -((distance + _FLOAT32_STEP * room) ** 2)


def _rounded(values: Similarities, dropped: int) -> Similarities:
    """Without the last `dropped` bits of each."""
    bits = np.ascontiguousarray(values).view(np.int64)
    return ((bits + (1 << (dropped - 1))) & -(1 << dropped)).view(np.float64)
