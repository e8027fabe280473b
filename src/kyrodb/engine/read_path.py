"""The way of a search, and the only place that decides its order:

    query cache → plan per tier → cold segments, frozen tiers, active tier, oldest first → merge → hits

A document on its way to a newer tier is added there before its old row dies, so asking the tiers oldest first
meets it at least once; if twice, the newer row counts. When the set of tiers changed meanwhile the search is
simply done again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from kyrodb import distance
from kyrodb.engine.answer_cache import spare_rows
from kyrodb.engine.caches import Caches
from kyrodb.engine.options import EngineOptions
from kyrodb.engine.requests import Found, Hit, SearchRequest, SearchResult
from kyrodb.engine.state import State
from kyrodb.engine.tier import Candidates, SearchTier, TierQuery
from kyrodb.errors import KyroError
from kyrodb.index.filter import with_constraints
from kyrodb.types import LSN, Rows, Scope

_ATTEMPTS: Final = 4
_Found: TypeAlias = Sequence[tuple[SearchTier, Candidates]]


class ReadPath:
    """Searches and point lookups. Thread-safe, takes no lock."""

    def __init__(self, options: EngineOptions, state: State, caches: Caches) -> None:
        self._metric = options.metric
        self._state = state
        self._caches = caches
        self.ef_search = options.ef_search

    def search(self, request: SearchRequest) -> SearchResult:
        question, ef = distance.Question(request.vector, self._metric), request.ef_search or self.ef_search
        answers = self._caches.answers
        ticket = answers.ticket(request, question, ef)
        if ticket is None:
            return self._search_tiers(request, question, ef, spare=0)[0]
        cached = answers.answer(request, ticket)
        if cached is not None:
            return cached
        result, found, kth = self._search_tiers(request, question, ef, spare=spare_rows(request.k, ef))
        answers.keep(ticket, found, kth, result)
        return result

    def search_tiers(self, request: SearchRequest) -> SearchResult:
        """`search` without a look into any cache."""
        question = distance.Question(request.vector, self._metric)
        return self._search_tiers(request, question, request.ef_search or self.ef_search, spare=0)[0]

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

    def _search_tiers(
        self, request: SearchRequest, question: distance.Question, ef: int, *, spare: int
    ) -> tuple[SearchResult, _Found, float]:
        """The answer, what the tiers found, and the similarity of the k-th best."""
        query = TierQuery(
            question=question,
            k=request.k,
            ef=ef,
            filter=with_constraints(request.filter, request.scope.constraints),
            exact=request.exact,
            spare=spare,
        )
        for _ in range(_ATTEMPTS):
            version, position = self._state.version, self._state.position
            found = [(tier, tier.search(query)) for tier in version.oldest_first]
            if self._state.version is version:
                break
        result, kth = self._answer(request, found, position)
        return result, found, kth

    def _answer(self, request: SearchRequest, found: _Found, position: LSN) -> tuple[SearchResult, float]:
        """The answer, and the similarity of the k-th best, minus infinity when there are fewer."""
        parts = [part for part in found if len(part[1].rows)]
        result = SearchResult(hits=[], total_found=0, position=position)
        kth = -math.inf
        if parts:
            owners, rows, doc_ids, similarities = _merged([candidates for _, candidates in parts])
            order = np.lexsort((doc_ids, -similarities))
            if request.k <= len(order):
                kth = float(similarities[order[request.k - 1]])
            result.total_found = len(order)
            if request.min_score > 0:
                # Scores fall with the similarity, so those that pass stand in front.
                scores = distance.scores(similarities[order], self._metric)
                result.total_found = int(np.count_nonzero(scores >= request.min_score))
            best = order[: min(request.k, result.total_found)]
            scores = distance.scores(similarities[best], self._metric)
            result.hits = list(map(Hit, doc_ids[best].tolist(), scores.tolist()))
            _hydrate(result.hits, owners, best, rows[best], [tier for tier, _ in parts], request)
        for tier, candidates in found:
            result.matched += candidates.matched
            result.exact = result.exact and candidates.exact
            if candidates.examined:
                result.examined += candidates.examined
                result.tiers |= {tier.kind}
                result.plan += f"; {candidates.plan}" if result.plan else candidates.plan
        return result, kth


_AnyRows: TypeAlias = npt.NDArray[np.int64]


def _merged(
    parts: Sequence[Candidates],
) -> tuple[_AnyRows | None, Rows, npt.NDArray[np.uint64], distance.Similarities]:
    """Candidates of all tiers side by side: number of the tier (None with only one), row, doc_id, similarity.

    Of a document met twice only the newest row stays, which is the last met.
    """
    owners: _AnyRows | None
    if len(parts) == 1:
        (only,) = parts
        owners, rows, doc_ids, similarities = None, only.rows, only.doc_ids, only.similarities
    else:
        owners = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
        rows = np.concatenate([part.rows for part in parts])
        doc_ids = np.concatenate([part.doc_ids for part in parts])
        similarities = np.concatenate([part.similarities for part in parts])
    ids = doc_ids.tolist()
    if len(set(ids)) < len(ids):
        newest = {doc_id: at for at, doc_id in enumerate(ids)}
        kept = np.fromiter(newest.values(), dtype=np.int64, count=len(newest))
        owners = None if owners is None else owners[kept]
        return owners, rows[kept], doc_ids[kept], similarities[kept]
    return owners, rows, doc_ids, similarities


def _hydrate(
    hits: Sequence[Hit],
    owners: _AnyRows | None,
    best: _AnyRows,
    rows: Rows,
    tiers: Sequence[SearchTier],
    request: SearchRequest,
) -> None:
    """Fetch what the request wants to see of each hit, tier by tier. `best` are the hits' places in `owners`."""
    for number, tier in enumerate(tiers):
        if owners is None:
            of_tier, row_numbers = hits, rows.tolist()
        else:
            places = np.flatnonzero(owners[best] == number).tolist()
            of_tier, row_numbers = [hits[place] for place in places], rows[places].tolist()
        if request.include_metadata:
            for hit, wire in zip(of_tier, tier.public_metadata(row_numbers), strict=True):
                hit.metadata_wire = wire
        if request.include_vectors:
            for hit, row in zip(of_tier, row_numbers, strict=True):
                hit.vector = tier.vector(row)
