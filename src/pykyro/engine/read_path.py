"""The way of a search, and the only place that decides its order:

    query cache → plan per tier → cold segments, frozen tiers, active tier, oldest first → merge → hits

A document on its way to a newer tier is added there before its old row dies, so asking the tiers oldest first
meets it at least once; if twice, the newer row counts. When the set of tiers changed meanwhile the search is
simply done again.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

from pykyro.cache.answer import Ticket
from pykyro.engine.answer_cache import spare_rows
from pykyro.engine.caches import Caches
from pykyro.engine.options import EngineOptions
from pykyro.engine.ranking import Ranked, rank
from pykyro.engine.state import State
from pykyro.engine.tiers.stored_metadata import StoredMetadata
from pykyro.engine.tiers.tier import TierQuery, scored_rows
from pykyro.engine.tiers.tier_search import TierSearch
from pykyro.model import distance
from pykyro.model.errors import KyroError
from pykyro.model.requests import Found, SearchRequest, SearchResult, Tier
from pykyro.model.types import Scope, Vector, key_of
from pykyro.system.clock import Clock

_ATTEMPTS: Final = 4
_TOGETHER_MAX: Final = 32
_TOGETHER_BYTES: Final = 4 << 20
"""Of the rows that questions searched together score again, as float32 and as float64: they should stay in the
processor's cache, and a thousand rows each of many questions would take hundreds of megabytes."""


class Pending:
    """A request on its way: what the query cache could not answer, and what is to be found for it."""

    __slots__ = ("ef", "question", "request", "spare", "ticket")

    def __init__(self, request: SearchRequest, question: distance.Question, ef: int) -> None:
        self.request = request
        self.question = question
        self.ef = ef
        self.ticket: Ticket | None = None
        self.spare: int | None = None


class ReadPath:
    """Searches and point lookups. Thread-safe, takes no lock."""

    def __init__(self, options: EngineOptions, state: State, caches: Caches, clock: Clock) -> None:
        self._metric = options.metric
        self._state = state
        self._caches = caches
        self._tiers = TierSearch(options.budgets, clock)
        self.ef_search = options.ef_search

    def search(self, request: SearchRequest) -> SearchResult:
        (begun,) = self.begin([request])
        return begun if isinstance(begun, SearchResult) else self._search_and_keep([begun])[0]

    def search_tiers(self, request: SearchRequest) -> SearchResult:
        """`search` without a look into any cache."""
        (answer,) = self._search_tiers(self._asked([request]))
        return answer.result

    def begin(self, requests: Sequence[SearchRequest]) -> list[SearchResult | Pending]:
        """For each the cached answer, or what `finish` takes to answer the request."""
        return [self._cached(asked) or asked for asked in self._asked(requests)]

    def finish(self, pending: Sequence[Pending]) -> list[SearchResult | KyroError]:
        """Search for each; one that fails does not harm the others.

        Those that differ only in their vectors are searched together, which costs each of them less.
        """
        answers: dict[int, SearchResult | KyroError] = {}
        alike: dict[Hashable, list[tuple[int, Pending]]] = {}
        for at, asked in enumerate(pending):
            request = asked.request
            kind = (request.k, asked.ef, asked.spare, request.filter, request.scope, request.exact)
            alike.setdefault(kind, []).append((at, asked))
        for group in alike.values():
            together = self._together(group[0][1].request)
            for start in range(0, len(group), together):
                part = group[start : start + together]
                results = self._each_or_error([asked for _, asked in part])
                answers.update(zip([at for at, _ in part], results, strict=True))
        return [answers[at] for at in range(len(pending))]

    def _together(self, request: SearchRequest) -> int:
        """How many questions like this one to search together."""
        row_bytes = len(request.vector) * (4 + 8)
        return max(1, min(_TOGETHER_MAX, _TOGETHER_BYTES // (row_bytes * scored_rows(request.k))))

    def _asked(self, requests: Sequence[SearchRequest]) -> list[Pending]:
        questions = distance.Question.each([request.vector for request in requests], self._metric)
        return [
            Pending(request, question, request.ef_search or self.ef_search)
            for request, question in zip(requests, questions, strict=True)
        ]

    def _cached(self, asked: Pending) -> SearchResult | None:
        """The cached answer, if there is one; notes in `asked` what a search has to find for the cache."""
        caches = self._caches.answers
        asked.ticket = caches.ticket(asked.request, asked.question, asked.ef)
        if asked.ticket is None:
            return None
        answer = caches.answer(asked.request, asked.ticket)
        if answer is None and caches.queries.will_keep(asked.ticket):
            asked.spare = spare_rows(asked.request.k, asked.ef)
        elif answer is None:
            asked.ticket = None
        return answer

    def _each_or_error(self, group: Sequence[Pending]) -> Sequence[SearchResult | KyroError]:
        try:
            return self._search_and_keep(group)
        except KyroError as error:
            if len(group) == 1:
                return [error]
            return [answer for asked in group for answer in self._each_or_error([asked])]

    def _search_and_keep(self, group: Sequence[Pending]) -> list[SearchResult]:
        """Search the tiers for questions that differ in nothing else, and offer the cache what was found."""
        results = []
        for asked, answer in zip(group, self._search_tiers(group), strict=True):
            if asked.ticket is not None:
                self._caches.answers.keep(asked.ticket, answer)
            results.append(answer.result)
        return results

    def get(self, doc_id: int, scope: Scope, *, cached: bool = True) -> Found | None:
        """The document, or None when it is absent or out of scope; without `cached`, without the document cache."""
        key = key_of(scope.tenant, doc_id)
        documents = self._caches.documents if cached else None
        if documents is None:
            place = self._state.find(key)
            if place is None:
                return None
            return _found(doc_id, place.vector, place.metadata, place.tier.kind, scope)
        since = self._caches.commits.quiet()
        held = documents.get(key)
        if held is not None:
            return _found(doc_id, held.vector, StoredMetadata(held.public, held.reserved), Tier.CACHE, scope)
        place = self._state.find(key)
        if place is None:
            return None
        vector, metadata = place.vector, place.metadata
        if since is not None:
            documents.keep(key, vector, metadata.public, metadata.reserved, since)
        return _found(doc_id, vector, metadata, place.tier.kind, scope)

    def _search_tiers(self, group: Sequence[Pending]) -> list[Ranked]:
        """The answer to each of the group, all alike but for their vectors."""
        first = group[0]
        request = first.request
        questions = [asked.question for asked in group]
        for _ in range(_ATTEMPTS):
            version, position, tenanted = self._state.version, self._state.position, self._state.tenanted
            condition = self._state.condition(request.filter, request.scope)
            query = TierQuery(questions, request.k, first.ef, condition, request.exact, first.spare)
            by_tier, left_out = self._tiers.search(version, query)
            if self._state.version is version and self._state.tenanted == tenanted:
                break
        answers = []
        for at, asked in enumerate(group):
            found = [(tier, candidates[at]) for tier, candidates in by_tier]
            answer = rank(asked.request, found, position, self._metric)
            left_out.mark(answer.result)
            answers.append(answer)
        return answers


def _found(doc_id: int, vector: Vector, metadata: StoredMetadata, tier: Tier, scope: Scope) -> Found | None:
    return Found(doc_id, vector, metadata.public, tier) if metadata.in_scope(scope) else None
