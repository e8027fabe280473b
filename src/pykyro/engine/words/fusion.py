"""One order out of two: what a document is worth that two legs know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pykyro.model.legs import RRF_CONSTANT


def by_ranks(legs: Sequence[Sequence[int]], weights: Sequence[float]) -> dict[int, float]:
    """The worth of each document in these lists of ids, each best first: the sum of weight / (60 + rank) over the
    lists that it is in."""
    worth: dict[int, float] = {}
    for doc_ids, weight in zip(legs, weights, strict=True):
        for rank, doc_id in enumerate(doc_ids, start=1):
            worth[doc_id] = worth.get(doc_id, 0.0) + weight / (RRF_CONSTANT + rank)
    return worth


def by_scores(
    vector: Mapping[int, float], text: Mapping[int, float], weights: Sequence[float]
) -> dict[int, float]:
    """The worth of each document whose score by both legs is known: the weighted sum of what share of the best score
    of its leg each is."""
    best_vector, best_text = max(vector.values(), default=0.0), max(text.values(), default=0.0)
    return {
        doc_id: weights[0] * share(score, best_vector) + weights[1] * share(text.get(doc_id, 0.0), best_text)
        for doc_id, score in vector.items()
    }


def share(score: float, best: float) -> float:
    """1 for the best score, less the further a score is below it; `score / best` where that is above 0."""
    return 1.0 - (best - score) / (abs(best) or 1.0)
