"""What the right answer is, by brute force in float64, and how much of it was found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pykyro.engine.engine import Engine
from pykyro.model.filter import Filter
from pykyro.model.requests import SearchRequest
from pykyro.model.types import Matrix, Metric

Doubles = npt.NDArray[np.float64]


def by_the_book(rows: Matrix, query: npt.NDArray[np.float32], metric: Metric) -> Doubles:
    """Similarity of each row, with no arithmetic of the program."""
    wide, asked = rows.astype(np.float64), query.astype(np.float64)
    if metric is Metric.EUCLIDEAN:
        return np.asarray(-((wide - asked) ** 2).sum(axis=1))
    if metric is Metric.COSINE:
        wide /= np.sqrt((wide**2).sum(axis=1))[:, np.newaxis]
        asked = asked / np.sqrt((asked**2).sum())
    return np.asarray((wide * asked).sum(axis=1))


def recall(
    engine: Engine,
    rows: Matrix,
    queries: Matrix,
    alive: npt.NDArray[np.bool_] | None = None,
    k: int = 10,
    condition: Filter | None = None,
    exact: bool = False,
) -> float:
    """Share of the k best among the rows that are alive, row r being document r + 1; what a client sees as equal to
    the k-th counts as right."""
    shares = []
    for query in queries:
        truth = by_the_book(rows, query, engine.options.metric)
        if alive is not None:
            truth = np.where(alive, truth, -np.inf)
        kth = float(np.partition(truth, -k)[-k])
        hits = engine.search(SearchRequest(query, k, filter=condition, exact=exact)).hits
        found = np.array([hit.doc_id for hit in hits], np.int64) - 1
        assert len(set(found.tolist())) == k
        shares.append(np.count_nonzero(truth[found] >= kth - 2.0**-23 * abs(kth)) / k)
    return float(np.mean(shares))


def is_in_order(ids: Sequence[int], scores: Sequence[float]) -> bool:
    """Falling scores, equal ones by ascending id."""
    places = [(-score, doc_id) for doc_id, score in zip(ids, scores, strict=True)]
    return places == sorted(places)
