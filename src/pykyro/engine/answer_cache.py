"""The query cache as searches meet it: what a request's key is, and what is kept of a search."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial

import numpy as np

from pykyro.cache.answer import Cached, Ticket
from pykyro.cache.commit_sequence import CommitSequence
from pykyro.cache.documents import DocIds, Documents
from pykyro.cache.query_cache import QueryCache
from pykyro.engine.options import EngineOptions
from pykyro.engine.ranking import Ranked
from pykyro.engine.state import State
from pykyro.engine.tiers.tier import SearchTier
from pykyro.model.distance import Question
from pykyro.model.filter import Filter, matches
from pykyro.model.requests import Hit, SearchRequest, SearchResult, Tier
from pykyro.model.types import Metric, Rows, Scope, owner_of
from pykyro.system.clock import Clock

Key = tuple[int | None, str, Filter | None, int, int]
"""Tenant, namespace, filter, k and ef of a search: equal in full, or the answer is another one."""


class AnswerCache:
    """The query cache of one engine. Thread-safe."""

    def __init__(self, options: EngineOptions, state: State, commits: CommitSequence, clock: Clock) -> None:
        cache, dimension, metric = options.cache, options.dimension, options.metric
        self._state = state
        self._metric = metric
        self._clock = clock
        self._budget_s = options.budgets.cache_ms / 1000
        self._new = partial(
            QueryCache,
            dimension=dimension,
            metric=metric,
            mode=cache.query_mode,
            capacity=cache.query_capacity,
            bytes_max=cache.query_bytes_max,
            similarity_threshold=cache.query_similarity_threshold,
            recall_min=cache.query_recall_min,
            commits=commits,
            admits=_admits,
            owner_of=_owner_of,
        )
        self.queries = self._new()

    def begin_anew(self) -> None:
        """Forget every answer: after an exception, one of a signal handler say, parts of the cache may not fit each
        other, and an empty one never changes an answer."""
        fresh = self._new()
        fresh.counts = self.queries.counts
        self.queries = fresh

    def ticket(self, request: SearchRequest, question: Question, ef: int) -> Ticket | None:
        """What to ask the cache with; None for a request that goes past it.

        That is one that chose its own effort (`ef_search`, `exact`), any while a commit is being applied, and some
        while questions do not repeat.
        """
        if request.ef_search or request.exact or not self.queries.is_asked():
            return None
        scope = request.scope
        key: Key = (scope.tenant, scope.namespace, request.filter, request.k, ef)
        return self.queries.ticket(key, question)

    def answer(self, request: SearchRequest, ticket: Ticket) -> SearchResult | None:
        """The cached answer; None when there is none to serve, or not in time.

        The clock is looked at after the entry was found and after each tier whose matching documents were counted
        for `matched`, which is what can take long with a filter.
        """
        until_s = self._clock.monotonic_s() + self._budget_s
        position = self._state.position
        try:
            cached = self.queries.lookup(ticket, request.k, request.min_score)
        except BaseException:
            self.begin_anew()
            raise
        if cached is None:
            return None
        matched = self._matched(request, until_s)
        if matched is None:
            self.queries.note_late()
            return None
        return SearchResult(
            hits=_hits(cached, request),
            total_found=cached.passing,
            position=position,
            tiers=_CACHE,
            exact=cached.exact,
            matched=matched,
            examined=cached.examined,
            plan=f"query cache: {cached.kind.value}, {cached.examined} documents held",
            cached=cached.kind,
            margin=cached.margin,
        )

    def _matched(self, request: SearchRequest, until_s: float) -> int | None:
        """Live documents in scope that satisfy the filter; None when counting them takes too long."""
        condition = self._state.condition(request.filter, request.scope)
        matched = 0
        for tier in self._state.version.oldest_first:
            if self._clock.monotonic_s() > until_s:
                return None
            matched += tier.count(condition)
        return matched if self._clock.monotonic_s() <= until_s else None

    def keep(self, ticket: Ticket, answer: Ranked) -> None:
        """Store what a search found."""
        try:
            self._keep(ticket, answer)
        except BaseException:
            self.begin_anew()
            raise

    def _keep(self, ticket: Ticket, answer: Ranked) -> None:
        result, found, kth = answer
        if ticket.to_check is not None and result.complete:
            self.queries.judge(ticket.to_check, [hit.doc_id for hit in result.hits])
        beyond = max([candidates.beyond for _, candidates in found]) if result.complete else np.inf
        rows = [(tier, one.rows, one.spare) for tier, one in found if len(one.rows)]
        self.queries.store(ticket, FoundRows(rows, ticket.asked, self._metric, beyond, kth, result.exact))


class FoundRows:
    """What a search for the vector `asked` found, in its rows. Those never change, so it does not matter when
    they are read."""

    __slots__ = ("_asked", "_metric", "_rows", "beyond", "exact", "kth")

    def __init__(
        self,
        rows: Sequence[tuple[SearchTier, Rows, Rows]],
        asked: bytes,
        metric: Metric,
        beyond: float,
        kth: float,
        exact: bool,
    ) -> None:
        self._rows = rows
        self._asked = asked
        self._metric = metric
        self.beyond = beyond
        self.kth = kth
        self.exact = exact

    def count(self) -> int:
        return sum([len(rows) + len(spare) for _, rows, spare in self._rows])

    def doc_ids(self) -> DocIds:
        parts = [tier.doc_ids_of(np.concatenate(rows)) for tier, *rows in self._rows]
        return np.concatenate(parts) if parts else np.empty(0, np.uint64)

    def documents(self) -> Documents:
        """Those as similar as `beyond`: of the others nothing is known for certain."""
        question = Question(np.frombuffer(self._asked, np.float32), self._metric)
        parts = [self._of_tier(tier, np.concatenate(rows), question) for tier, *rows in self._rows]
        if len(parts) == 1:
            return parts[0]
        dimension = len(question.vector)
        return Documents(
            np.concatenate([np.empty(0, np.uint64), *(part.doc_ids for part in parts)]),
            np.concatenate([np.empty((0, dimension), np.float32), *(part.vectors for part in parts)]),
            np.concatenate([np.empty(0), *(part.norms for part in parts)]),
            [wire for part in parts for wire in part.metadata],
        )

    def _of_tier(self, tier: SearchTier, rows: Rows, question: Question) -> Documents:
        doc_ids, vectors, norms = tier.columns_of(rows)
        kept = question.similarities(vectors, norms) >= self.beyond
        if not kept.all():
            doc_ids, vectors, norms, rows = doc_ids[kept], vectors[kept], norms[kept], rows[kept]
        return Documents(doc_ids, vectors, norms, tier.public_metadata(rows.tolist()))


_CACHE = frozenset({Tier.CACHE})


def spare_rows(k: int, ef: int) -> int:
    """Rows to ask for beyond k: as many as a walk with this ef meets anyway."""
    return max(0, ef - k)


def _hits(cached: Cached, request: SearchRequest) -> list[Hit]:
    hits = list(map(Hit, cached.doc_ids, cached.scores))
    documents, rows = cached.documents, cached.rows
    if request.include_metadata:
        for hit, row in zip(hits, rows, strict=True):
            hit.metadata_wire = documents.metadata[row]
    if request.include_vectors:
        for hit, row in zip(hits, rows, strict=True):
            hit.vector = documents.vectors[row]
    return hits


def _owner_of(key: Hashable) -> int:
    assert isinstance(key, tuple)
    return owner_of(key[0])


def _admits(key: Hashable, metadata: Mapping[str, str]) -> bool:
    assert isinstance(key, tuple)
    tenant, namespace, condition = key[:3]
    return Scope(tenant, namespace).admits(metadata) and (condition is None or matches(condition, metadata))
