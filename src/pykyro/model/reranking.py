"""Hits put in another order by the caller's own model, where the caller is."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from pykyro.model.answers import Hit, SearchAnswer
from pykyro.model.arguments import bounded_integer, checked_integer
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import K_MAX
from pykyro.model.requests import check_search

Scores: TypeAlias = Sequence[float] | npt.NDArray[Any]
Reranker: TypeAlias = Callable[[list[Hit]], Scores | Awaitable[Scores]]
"""Takes the hits of a search, best first, and returns a score for each, the higher the better; an asynchronous client
takes an `async def` too."""

_CANDIDATES: Final = 50


@dataclass(frozen=True, slots=True)
class Reranking:
    """The best `k` by `reranker` of as many hits of a search as there are `candidates`."""

    reranker: Reranker
    candidates: int
    k: int

    def of(self, answer: SearchAnswer) -> SearchAnswer:
        """This answer in the new order. Raises InvalidArgument, and whatever the reranker raises."""
        given = self.reranker(answer.hits)
        if inspect.isawaitable(given):
            if inspect.iscoroutine(given):
                given.close()
            raise InvalidArgument("rerank must return scores here, got something to await", field="rerank")
        return self._ordered(answer, given)

    async def awaited(self, answer: SearchAnswer) -> SearchAnswer:
        """The same, of a reranker that may be asynchronous."""
        given = self.reranker(answer.hits)
        return self._ordered(answer, await given if inspect.isawaitable(given) else given)

    def _ordered(self, answer: SearchAnswer, given: object) -> SearchAnswer:
        count = len(answer.hits)
        scores = _checked(given, count)
        for hit, score in zip(answer.hits, scores.tolist(), strict=True):
            hit.search_score, hit.score = hit.score, score
        order = np.argsort(-scores, kind="stable")[: self.k]
        hits = [answer.hits[at] for at in order.tolist()]
        plan = answer.plan and f"{answer.plan}; {count} reranked"
        return replace(answer, hits=hits, plan=plan)


def checked_reranking(rerank: object, candidates: object, k: int, group_by: object) -> Reranking | None:
    """What these arguments of a search ask; None when they ask for nothing. Raises InvalidArgument."""
    if rerank is None:
        if candidates != 0:
            raise InvalidArgument("rerank_candidates is for searches with rerank", field="rerank_candidates")
        return None
    if not callable(rerank):
        raise InvalidArgument(
            f"rerank must be called with hits and return scores, got {type(rerank).__name__}", field="rerank"
        )
    if group_by is not None:
        raise InvalidArgument(
            "rerank cannot go together with group_by: leave one of them out", field="rerank"
        )
    wanted = checked_integer(k, "k")
    check_search(wanted, 0, 0.0)
    count = bounded_integer(candidates, "rerank_candidates", 0, K_MAX)
    if 0 < count < wanted:
        raise InvalidArgument(
            f"rerank_candidates must be >= k = {wanted}, or 0 for {_CANDIDATES} or k, got {count}",
            field="rerank_candidates",
        )
    return Reranking(rerank, count or max(_CANDIDATES, wanted), wanted)


def _checked(given: object, count: int) -> npt.NDArray[np.float64]:
    try:
        scores = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise InvalidArgument(
            f"rerank must return a number for each of {count} hits, got {type(given).__name__}",
            field="rerank",
        ) from None
    if scores.shape != (count,):
        raise InvalidArgument(
            f"rerank must return a number for each of {count} hits, got an array of shape {scores.shape}",
            field="rerank",
        )
    if not np.isfinite(scores).all():
        at = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise InvalidArgument(
            f"rerank must return finite numbers, got {scores[at]} for hit {at}", field="rerank"
        )
    return scores
