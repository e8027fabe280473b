"""Exact search: score every row in float32, keep all that could belong to the answer.

Products are taken row by row, which is as fast as a matrix product on one thread. A matrix product would wake a team
of threads that keep spinning afterwards, on processors that other searches and the building of graphs need.

The caller ranks what `scan` returns with the canonical float64 arithmetic (pykyro.model.distance). So the scan must
not lose a row to rounding: it bounds the error of each float32 product by the standard bound,
|error| <= gamma |x| |q| with gamma = n u / (1 - n u) for n roundings in any order (Higham, Accuracy and
Stability of Numerical Algorithms, 2nd ed., section 3.1), and keeps each row whose upper bound reaches the
k-th best lower bound. All rows that a client sees as equal to the k-th are among them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pykyro.model import distance
from pykyro.model.distance import Query
from pykyro.model.types import Matrix, Metric, Rows, Vector

Doubles = npt.NDArray[np.float64]
RowNumbers = npt.NDArray[np.integer]

FEW_ROWS: Final = 128
"""So many rows are ranked by the caller as fast as they are sifted here."""
_CHUNK_ROWS: Final = 1024
"""Rows gathered at a time: few enough to stay in a core's cache, and what bounds the memory of a scan."""
_DENSE: Final = 0.5
"""Share of rows selected from which on scoring all rows in place is cheaper than gathering some: 30 ns against 90
for a row of 384 components in cache, 100 against 200 for one in memory."""
_UNDECIDED_MAX: Final = 256
"""Rows beyond k that float32 may leave undecided before they are scored again in float64."""
_NO_ROWS: Final[Rows] = np.empty(0, dtype=np.int64)
_EXTRA_ROUNDINGS: Final = 8
"""Roundings besides those of the dot product: of the normalised query, of lengths, of the bounds."""


class Best(NamedTuple):
    """What an exact scan found: the best k and those shown as equal to the last of them, with their canonical
    similarities; further rows that were asked for, unranked; and how similar any other row can be at most."""

    rows: Rows
    similarities: Doubles
    over_fetched: Rows
    unseen_bound: float


def scan(rows: Matrix, query: Query, k: int, *, norms: Doubles | None, selected: RowNumbers | None) -> Rows:
    """The rows, in ascending order, among which the `k` most similar to `query` are.

    `rows` are as stored, not normalised; they may be mapped read-only. `norms`, shape (n,),
    holds distance.norms of the rows and is computed when None, which costs more than the scan. `selected`,
    if given, has the ascending numbers of the rows to look at. At least min(k, rows looked at) rows come
    back; more where rounding or ties leave the order open. Beyond a few numbers for each row looked at,
    memory is bounded. Raises ValueError when a selected row does not exist.
    """
    rows = np.asarray(rows)  # sheds np.memmap, whose every slice costs microseconds
    count = rows.shape[0] if selected is None else len(selected)
    if k <= 0 or count == 0:
        return np.empty(0, dtype=np.int64)
    if selected is not None and selected[-1] >= rows.shape[0]:
        raise ValueError(f"row {selected[-1]} selected of {rows.shape[0]}")
    if count <= max(k, FEW_ROWS):
        return np.arange(count) if selected is None else selected.astype(np.int64)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        similarities, errors = _approximate(rows, query, norms, selected)
        if np.isfinite(similarities).all():
            kept = _within_reach(similarities, errors, k, query.metric)
            decided = len(kept) <= k + _UNDECIDED_MAX
        else:  # a float32 product overflowed and tells nothing
            kept, decided = np.arange(count), False
        found = kept if selected is None else selected[kept].astype(np.int64)
        if not decided:
            canonical = _canonical(rows, query, found)
            found = found[_within_reach(canonical, np.float64(0), k, query.metric)]
        return found


def keep_best(
    rows: Rows, similarities: Doubles, k: int, over_fetch: int | None, matched: int, metric: Metric
) -> Best:
    """Of rows that an exact scan of `matched` rows found for the best k + `over_fetch`, of each the canonical
    similarity: the best k and the rest. None fetches no more, and nobody needs to know the bound."""
    wanted = k + (over_fetch or 0)
    # Rows that die during the scan can leave it with fewer than it should have found: then nothing is known.
    unseen_bound = math.inf
    if len(rows) >= wanted:
        unseen_bound = float(np.partition(similarities, -wanted)[-wanted])
    if over_fetch is not None and len(rows) > wanted:
        best = similarities >= distance.shown_alike_from(unseen_bound, metric)
        rows, similarities = rows[best], similarities[best]
    elif len(rows) >= matched:
        unseen_bound = -math.inf
    over_fetched = _NO_ROWS
    if over_fetch and len(rows) > k:
        kth = float(np.partition(similarities, -k)[-k])
        best = similarities >= distance.shown_alike_from(kth, metric)
        rows, over_fetched, similarities = rows[best], rows[~best], similarities[best]
    return Best(rows, similarities, over_fetched, unseen_bound)


def _approximate(
    rows: Matrix, query: Query, norms: Doubles | None, selected: RowNumbers | None
) -> tuple[Doubles, Doubles | np.float64]:
    """Similarity of each row looked at, from float32 products, and the bound of its error."""
    metric, length = query.metric, query.length
    # Of length one, so that a product leaves float32 only where a row itself is near the end of it.
    unit = query.indexed
    if metric is not Metric.COSINE:
        unit = (query.wide / length if length else query.wide).astype(np.float32)
    if norms is not None and (selected is None or len(selected) >= _DENSE * rows.shape[0]):
        products, lengths = np.asarray(np.vecdot(rows, unit)), norms
        if selected is not None:
            products, lengths = products[selected], lengths[selected]
    else:
        products, lengths = _products(rows, unit, norms, selected)
    roundings = rows.shape[1] + _EXTRA_ROUNDINGS
    gamma = roundings * 2.0**-24 / (1 - roundings * 2.0**-24)
    underflow = roundings * 2.0**-126
    if metric is Metric.COSINE:
        return products / lengths, gamma + underflow / lengths
    errors = length * (gamma * lengths + underflow)
    similarities = products.astype(np.float64) * length
    if metric is Metric.INNER_PRODUCT:
        return similarities, errors
    squares = np.square(lengths) + length * length
    return 2.0 * similarities - squares, 2.0 * errors + roundings * 2.0**-52 * squares


def _products(
    rows: Matrix, unit: Vector, norms: Doubles | None, selected: RowNumbers | None
) -> tuple[npt.NDArray[np.float32], Doubles]:
    """Inner product with `unit` and length of each row looked at."""
    if selected is None or len(selected) >= _DENSE * rows.shape[0]:
        products = np.asarray(np.vecdot(rows, unit))
        lengths = _lengths(rows) if norms is None else norms
        return (products, lengths) if selected is None else (products[selected], lengths[selected])
    products = np.empty(len(selected), dtype=np.float32)
    lengths = np.empty(len(selected)) if norms is None else norms[selected]
    block = np.empty((min(_CHUNK_ROWS, len(selected)), rows.shape[1]), dtype=np.float32)
    for part in _chunks(len(selected)):
        gathered = block[: len(products[part])]
        np.take(
            rows, selected[part], axis=0, out=gathered, mode="clip"
        )  # "raise" would copy through a buffer
        np.vecdot(gathered, unit, out=products[part])
        if norms is None:
            lengths[part] = distance.norms(gathered)
    return products, lengths


def _lengths(rows: Matrix) -> Doubles:
    return np.concatenate([distance.norms(rows[part]) for part in _chunks(rows.shape[0])])


def _canonical(rows: Matrix, query: Query, numbers: Rows) -> Doubles:
    parts = [query.similarities(rows[numbers[part]]) for part in _chunks(len(numbers))]
    return np.concatenate(parts)


def _within_reach(similarities: Doubles, errors: Doubles | np.float64, k: int, metric: Metric) -> Rows:
    """Positions, ascending, of those that may belong to the k largest when each is known up to its error, and of
    those that a client sees as equal to them."""
    if k >= len(similarities):
        return np.arange(len(similarities))
    surely = np.partition(similarities - errors, -k)[-k]
    return np.flatnonzero(similarities + errors >= distance.shown_alike_from(float(surely), metric))


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK_ROWS) for start in range(0, count, _CHUNK_ROWS))
