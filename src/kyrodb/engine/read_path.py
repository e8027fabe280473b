"""The way of a search, and the only place that decides its order:

    plan per tier → cold segments, frozen tiers, active tier, oldest first → merge → hits

A document on its way to a newer tier is added there before its old row dies, so asking the tiers oldest first
meets it at least once; if twice, the newer row counts. When the set of tiers changed meanwhile the search is
simply done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from kyrodb import distance
from kyrodb.engine.options import EngineOptions
from kyrodb.engine.requests import Found, Hit, SearchRequest, SearchResult
from kyrodb.engine.state import State
from kyrodb.engine.tier import Candidates, SearchTier, TierQuery
from kyrodb.errors import KyroError
from kyrodb.index.filter import with_constraints
from kyrodb.types import LSN, Scope

_ATTEMPTS: Final = 4


class ReadPath:
    """Searches and point lookups. Thread-safe, takes no lock."""

    def __init__(self, options: EngineOptions, state: State) -> None:
        self._metric = options.metric
        self._state = state
        self.ef_search = options.ef_search

    def search(self, request: SearchRequest) -> SearchResult:
        query = TierQuery(
            vector=request.vector,
            indexed=distance.query_form(request.vector, self._metric),
            k=request.k,
            ef=request.ef_search or self.ef_search,
            filter=with_constraints(request.filter, request.scope.constraints),
            exact=request.exact,
        )
        for _ in range(_ATTEMPTS):
            version, position = self._state.version, self._state.position
            found = [(tier, tier.search(query)) for tier in version.oldest_first]
            if self._state.version is version:
                break
        return self._answer(request, found, position)

    def search_many(self, requests: Sequence[SearchRequest]) -> list[SearchResult | KyroError]:
        """`search` for each; one that fails does not harm the others."""
        answers: list[SearchResult | KyroError] = []
        for request in requests:
            try:
                answers.append(self.search(request))
            except KyroError as error:
                answers.append(error)
        return answers

    def get(self, doc_id: int, scope: Scope) -> Found | None:
        place = self._state.find(doc_id)
        if place is None:
            return None
        metadata = place.metadata
        if not metadata.in_scope(scope):
            return None
        return Found(doc_id, place.vector, metadata.public, place.tier.kind)

    def _answer(
        self, request: SearchRequest, found: Sequence[tuple[SearchTier, Candidates]], position: LSN
    ) -> SearchResult:
        parts = [(tier, candidates) for tier, candidates in found if len(candidates.rows)]
        ranked = _ranked([candidates for _, candidates in parts])
        scores = distance.scores(ranked.similarities, self._metric)
        if request.min_score > 0:
            passing = scores >= request.min_score
            ranked, scores = ranked.only(passing), scores[passing]
        hits = _hits(request, [tier for tier, _ in parts], ranked, scores)
        everything = [candidates for _, candidates in found]
        return SearchResult(
            hits=hits,
            total_found=len(scores),
            tiers=frozenset(tier.kind for tier, candidates in found if candidates.examined),
            position=position,
            exact=all(candidates.exact for candidates in everything),
            matched=sum(candidates.matched for candidates in everything),
            examined=sum(candidates.examined for candidates in everything),
            plan="; ".join(candidates.plan for candidates in everything if candidates.examined),
        )


class _Ranking:
    """Candidates of all tiers, best first: parallel arrays, `parts` saying which tier a row is of."""

    __slots__ = ("doc_ids", "parts", "rows", "similarities")

    def __init__(
        self, parts: np.ndarray, rows: np.ndarray, doc_ids: np.ndarray, similarities: distance.Similarities
    ) -> None:
        self.parts, self.rows, self.doc_ids, self.similarities = parts, rows, doc_ids, similarities

    def only(self, chosen: np.ndarray) -> _Ranking:
        return _Ranking(
            self.parts[chosen], self.rows[chosen], self.doc_ids[chosen], self.similarities[chosen]
        )


def _ranked(parts: Sequence[Candidates]) -> _Ranking:
    """Order by similarity, ties by ascending doc_id; of a document met twice only its newest row."""
    if not parts:
        empty = np.empty(0, np.int64)
        return _Ranking(empty, empty, np.empty(0, np.uint64), np.empty(0, np.float64))
    if len(parts) == 1:
        (only,) = parts
        ranking = _Ranking(np.zeros(len(only.rows), np.int64), only.rows, only.doc_ids, only.similarities)
    else:
        ranking = _Ranking(
            np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts]),
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.doc_ids for part in parts]),
            np.concatenate([part.similarities for part in parts]),
        )
    newest = {doc_id: at for at, doc_id in enumerate(ranking.doc_ids.tolist())}
    if len(newest) < len(ranking.doc_ids):
        ranking = ranking.only(np.fromiter(newest.values(), dtype=np.int64, count=len(newest)))
    return ranking.only(np.lexsort((ranking.doc_ids, -ranking.similarities)))


def _hits(
    request: SearchRequest,
    tiers: Sequence[SearchTier],
    ranked: _Ranking,
    scores: npt.NDArray[np.float32],
) -> list[Hit]:
    """The first k of a ranking as rows of an answer, with what was asked for, fetched tier by tier."""
    k = request.k
    parts, rows = ranked.parts[:k], ranked.rows[:k]
    hits = [Hit(doc_id, score) for doc_id, score in zip(ranked.doc_ids[:k].tolist(), scores[:k].tolist())]
    for part, tier in enumerate(tiers):
        chosen = np.flatnonzero(parts == part)
        places, of_tier = chosen.tolist(), rows[chosen]
        if request.include_metadata:
            for place, wire in zip(places, tier.public_metadata(of_tier), strict=True):
                hits[place].metadata_wire = wire
        if request.include_vectors:
            for place, row in zip(places, of_tier.tolist(), strict=True):
                hits[place].vector = tier.vector(row)
    return hits
