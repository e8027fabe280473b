"""Maximal marginal relevance: documents that are near the query and unlike one another.

Source: Carbonell, Goldstein: The use of MMR, diversity-based reranking for reordering documents and producing
summaries, SIGIR 1998. The best document comes first, and each next one has the largest

    relevance · score − (1 − relevance) · likeness

where likeness is the largest score that one of those before it would have as a query. Scores by words, and fused
ones, have another measure: there the score counts as a share of the best one, and likeness is the cosine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pykyro.engine.words.fusion import share
from pykyro.model.requests import ScoredDocument
from pykyro.model.types import Metric

Numbers = npt.NDArray[np.float64]


def most_diverse(
    hits: Sequence[ScoredDocument], k: int, relevance: float, metric: Metric, *, by_vector: bool
) -> list[ScoredDocument]:
    """Up to `k` of these hits, best first and all with vectors, in the order in which they are chosen; of equal ones
    the better hit first. `by_vector`: their scores are those of `metric`."""
    if not hits:
        return []
    scores = np.array([hit.score for hit in hits], np.float64)
    if not by_vector:
        best = float(scores.max())
        scores = np.array([share(score, best) for score in scores.tolist()])
        metric = Metric.COSINE
    vectors = [hit.vector for hit in hits if hit.vector is not None]
    assert len(vectors) == len(hits)
    rows = _Rows(np.array(vectors, np.float64), metric)
    left = np.ones(len(hits), np.bool_)
    likeness = np.full(len(hits), -np.inf)
    chosen: list[ScoredDocument] = []
    worth = scores
    while len(chosen) < min(k, len(hits)):
        at = int(np.argmax(np.where(left, worth, -np.inf)))
        if not left[at]:  # all that is left is worth minus infinity
            at = int(np.argmax(left))
        chosen.append(hits[at])
        left[at] = False
        np.maximum(likeness, rows.scores_of(at), out=likeness)
        worth = relevance * scores - (1.0 - relevance) * likeness
    return chosen


class _Rows:
    """Vectors, shape (n, dimension), and what each says of the others."""

    def __init__(self, rows: Numbers, metric: Metric) -> None:
        self._metric = metric
        self._rows = rows
        if metric is Metric.COSINE:
            lengths = np.sqrt(np.vecdot(rows, rows))[:, np.newaxis]
            self._rows = rows / np.where(lengths == 0.0, 1.0, lengths)

    def scores_of(self, at: int) -> Numbers:
        """The score of every row, were this one the query, shape (n,)."""
        rows = self._rows
        if self._metric is Metric.EUCLIDEAN:
            apart = rows - rows[at]
            return np.asarray(1.0 / (1.0 + np.sqrt(np.vecdot(apart, apart))))
        return np.asarray(np.vecdot(rows, rows[at]))
