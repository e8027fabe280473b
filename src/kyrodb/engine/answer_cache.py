"""The query cache as searches meet it: what a request's key is, and what is kept of a search."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kyrodb.cache.answer import Cached
from kyrodb.cache.commit_sequence import CommitSequence
from kyrodb.cache.documents import Documents, HeldDocuments
from kyrodb.cache.query_cache import Mode, QueryCache
from kyrodb.distance import Question
from kyrodb.engine.options import CacheOptions
from kyrodb.engine.requests import Hit, SearchRequest, SearchResult, Tier
from kyrodb.engine.state import State
from kyrodb.engine.tier import Candidates, SearchTier
from kyrodb.index.filter import Filter, matches, with_constraints
from kyrodb.types import Metric, Rows, Scope

Key = tuple[Scope, Filter | None, int, int]
"""Scope, filter, k and ef of a search: equal in full, or the answer is another one."""


@dataclass(slots=True)
class Asked:
    """A search that may be answered from the cache, or whose answer may be kept.

    `since` is the commit sequence before it began. `to_check` is a cached answer to compare with the real one.
    """

    key: Key
    question: Question
    since: int
    to_check: Cached | None = None


class AnswerCache:
    """The query cache of one engine. Thread-safe."""

    def __init__(
        self, cache: CacheOptions, dimension: int, metric: Metric, state: State, commits: CommitSequence
    ) -> None:
        self._state = state
        self._commits = commits
        self.queries = QueryCache(
            dimension=dimension,
            metric=metric,
            mode=cache.query_mode,
            capacity=cache.query_capacity,
            bytes_max=cache.query_bytes_max,
            similarity_threshold=cache.query_similarity_threshold,
            recall_min=cache.query_recall_min,
            commits=commits,
            admits=_admits,
        )

    def ask(self, request: SearchRequest, question: Question, ef: int) -> Asked | None:
        """The request as the cache sees it; None when it goes past the cache.

        That is one that chose its own effort (`ef_search`, `exact`), and any while a commit is being applied.
        """
        if self.queries.mode is Mode.OFF or request.ef_search or request.exact:
            return None
        since = self._commits.quiet()
        if since is None:
            return None
        return Asked((request.scope, request.filter, request.k, ef), question, since)

    def answer(self, request: SearchRequest, asked: Asked) -> SearchResult | None:
        """The cached answer; None when there is none to serve."""
        position = self._state.position
        cached = self.queries.lookup(asked.key, asked.question, request.k, request.min_score)
        if cached is None or cached.check:
            asked.to_check = cached
            return None
        condition = with_constraints(request.filter, request.scope.constraints)
        matched = sum(tier.count(condition) for tier in self._state.version.oldest_first)
        hits = list(map(Hit, cached.doc_ids, cached.scores.tolist()))
        documents, rows = cached.documents, cached.rows.tolist()
        if request.include_metadata:
            for hit, row in zip(hits, rows, strict=True):
                hit.metadata_wire = documents.metadata[row]
        if request.include_vectors:
            for hit, row in zip(hits, rows, strict=True):
                hit.vector = documents.vectors[row]
        return SearchResult(
            hits=hits,
            total_found=cached.passing,
            position=position,
            tiers=frozenset({Tier.CACHE}),
            exact=cached.exact,
            matched=matched,
            examined=cached.examined,
            plan=f"query cache: {cached.kind.value}, {cached.examined} documents held",
            cached=cached.kind,
            margin=cached.margin,
        )

    def keep(
        self,
        asked: Asked,
        found: Sequence[tuple[SearchTier, Candidates]],
        kth: float,
        result: SearchResult,
    ) -> None:
        """Store what a search found, `kth` being the similarity of its k-th best."""
        if asked.to_check is not None:
            self.queries.judge(asked.to_check, [hit.doc_id for hit in result.hits])
        beyond = max((candidates.beyond for _, candidates in found), default=-np.inf)
        if beyond == np.inf or not result.complete:
            return
        parts = [(tier, candidates.all_rows) for tier, candidates in found if len(candidates.rows)]
        doc_ids = [tier.doc_ids_of(rows) for tier, rows in parts]
        held = HeldDocuments(
            np.concatenate(doc_ids) if doc_ids else np.empty(0, np.uint64),
            lambda: _fetched(parts, asked.question, beyond),
        )
        self.queries.store(
            asked.key,
            asked.question,
            held,
            beyond=beyond,
            kth=kth,
            exact=result.exact,
            since=asked.since,
        )


def spare_rows(k: int, ef: int) -> int:
    """Rows to ask for beyond k: as many as a walk with this ef meets anyway."""
    return max(0, ef - k)


def _admits(key: Hashable, metadata: Mapping[str, str]) -> bool:
    assert isinstance(key, tuple)
    scope, condition = key[0], key[1]
    return scope.admits(metadata) and (condition is None or matches(condition, metadata))


def _fetched(parts: Sequence[tuple[SearchTier, Rows]], question: Question, beyond: float) -> Documents:
    """The documents in these rows that are as similar as `beyond`: of the others the entry knows nothing more."""
    arrays = [_of_tier(tier, rows, question, beyond) for tier, rows in parts]
    if len(arrays) == 1:
        return arrays[0]
    dimension = question.vector.shape[0]
    return Documents(
        np.concatenate([np.empty(0, np.uint64), *(part.doc_ids for part in arrays)]),
        np.concatenate([np.empty((0, dimension), np.float32), *(part.vectors for part in arrays)]),
        np.concatenate([np.empty(0), *(part.norms for part in arrays)]),
        [wire for part in arrays for wire in part.metadata],
    )


def _of_tier(tier: SearchTier, rows: Rows, question: Question, beyond: float) -> Documents:
    doc_ids, vectors, norms = tier.columns_of(rows)
    kept = question.similarities(vectors, norms) >= beyond
    if not kept.all():
        doc_ids, vectors, norms, rows = doc_ids[kept], vectors[kept], norms[kept], rows[kept]
    return Documents(doc_ids, vectors, norms, tier.public_metadata(rows.tolist()))
