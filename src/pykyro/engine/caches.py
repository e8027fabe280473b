"""All caches of one engine behind one front: searches `lookup` and `offer`, the write path says what was `committed`.

A commit reaches the caches before it is acknowledged, in the write path's lock.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from pykyro.cache.answer import Cached, Lookup
from pykyro.cache.commit_sequence import CommitSequence
from pykyro.cache.document_cache import DocumentCache
from pykyro.cache.documents import DocIds, Documents
from pykyro.cache.query_cache import Mode, QueryCache
from pykyro.engine.memory import EngineMemory
from pykyro.engine.options import EngineOptions
from pykyro.engine.state import State
from pykyro.engine.tiers.tier import Candidates, RowSource
from pykyro.model import distance
from pykyro.model.distance import Query
from pykyro.model.filter import matches
from pykyro.model.metadata_wire import TEXT_ID_TAG, text_id_alone
from pykyro.model.requests import ScoredDocument, SearchRequest, SearchResult, Tier
from pykyro.model.types import Key, Metric, Rows, Scope, key_doc_id, key_owner, owner_of
from pykyro.storage.wal.records import DeleteRecord, MergeRecord, PutRecord, Record
from pykyro.system.clock import Clock

_log: Final = logging.getLogger(__name__)
_CACHE: Final = frozenset({Tier.CACHE})
_EVERYTHING: Final = 1 << 62


class Caches:
    """What may answer instead of the tiers. Thread-safe."""

    def __init__(self, options: EngineOptions, state: State, clock: Clock, memory: EngineMemory) -> None:
        self._state = state
        self._dimension = options.dimension
        self._metric = options.metric
        self._budget_s = options.budgets.cache_ms / 1000
        self._monotonic_s = clock.monotonic_s
        self.commits = CommitSequence()
        self._watched: set[Key] | None = None
        cache = options.cache
        self._new = partial(
            QueryCache,
            dimension=options.dimension,
            metric=options.metric,
            mode=cache.query_mode,
            capacity=cache.query_capacity,
            bytes_max=cache.query_bytes_max,
            similarity_threshold=cache.query_similarity_threshold,
            recall_min=cache.query_recall_min,
            commits=self.commits,
            admits=_admits,
            owner_of=_owner_of,
            charge=memory.query_cache.charge(),
        )
        self.queries = self._new()
        self.documents: DocumentCache | None = None
        if cache.documents_max:
            self.documents = DocumentCache(cache.documents_max, self.commits, memory.document_cache)
        self._memory = memory
        self._shrinks = {
            "document cache": self._shrink_documents,
            "query cache": self._shrink_queries,
            "filter cache": state.forget_filters,
        }
        for name, shrink in self._shrinks.items():
            memory.budget.register_cache(name, shrink)

    def close(self) -> None:
        """Give all memory back, and be asked no more for it."""
        for name, shrink in self._shrinks.items():
            self._memory.budget.forget_cache(name, shrink)
            shrink(_EVERYTHING)
        self._shrinks.clear()

    def _shrink_queries(self, count: int) -> int:
        return self.queries.shrink(count)

    def _shrink_documents(self, count: int) -> int:
        return 0 if self.documents is None else self.documents.shrink(count)

    # --- for searches -----------------------------------------------------------------------------

    def lookup(self, request: SearchRequest, query: Query, ef: int) -> SearchResult | Lookup | None:
        """The cached answer; or else what to `offer` with what a search finds, None when that is not to be kept.

        None too while a commit is being applied. An answer comes in time or not at all: the clock is looked at after
        the entry was found and after each tier whose matching documents were counted for `matched`, which is what can
        take long with a filter.
        """
        queries, since, scope = self.queries, self.commits.number, request.scope
        if queries.mode is Mode.OFF or not (queries.pace.expects_repeats or queries.is_asked()) or since & 1:
            return None
        # Equal in full, or the answer is another one.
        condition = request.filter
        if condition is not None:
            condition = self._state.meant(condition)
        key = (scope.tenant, scope.namespace, condition, request.k, ef)
        lookup = Lookup(key, query.vector.tobytes(), query, since)
        until_s = self._monotonic_s() + self._budget_s
        try:
            cached = queries.lookup(lookup, request.k, request.min_score)
        except BaseException:
            self.begin_anew()
            raise
        if cached is not None:
            answer = self._served(cached, request, until_s)
            if answer is not None:
                return answer
        return lookup if queries.pace.expects_repeats or queries.will_keep(lookup) else None

    def offer(
        self,
        lookup: Lookup,
        result: SearchResult,
        found: Sequence[tuple[RowSource, Candidates]],
        kth: float,
    ) -> None:
        """What a search found after it looked here: `found` in each tier, `kth` the similarity of the k-th best."""
        unseen_bound, rows = -math.inf, []
        for tier, one in found:
            unseen_bound = max(unseen_bound, one.unseen_bound)
            if len(one.rows):
                rows.append((tier, one.rows, one.over_fetched))
        queries = self.queries
        try:
            if result.left_out:
                unseen_bound = math.inf
            elif lookup.to_check is not None and queries.similar is not None:
                queries.similar.judge(lookup.to_check, [hit.doc_id for hit in result.hits])
            queries.offer(
                lookup, FoundRows(rows, lookup.vector, self._metric, unseen_bound, kth, result.exact)
            )
        except BaseException:
            self.begin_anew()
            raise

    def begin_anew(self) -> None:
        """Forget every answer: after an exception, one of a signal handler say, parts of the cache may not fit each
        other, and an empty one never changes an answer."""
        fresh = self._new()
        fresh.counts = self.queries.counts
        self.queries = fresh

    def forget_all(self) -> None:
        """Forget every answer and every document: something else stands in the tiers now. For the writer, between
        `begin` and `committed`."""
        self.begin_anew()
        self._shrink_documents(_EVERYTHING)

    def _served(self, cached: Cached, request: SearchRequest, until_s: float) -> SearchResult | None:
        """The answer as a search gives it; None when it comes too late."""
        position = self._state.position
        condition = self._state.condition(request.filter, request.scope)
        matched = 0
        for tier in self._state.version.oldest_first:
            if self._monotonic_s() > until_s:
                break
            matched += tier.count(condition)
        if self._monotonic_s() > until_s:
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

    # --- for the writer ---------------------------------------------------------------------------

    def begin(self) -> None:
        """The documents are about to change: until `committed` no cache answers. For the writer."""
        self.commits.number |= 1  # as CommitSequence.begin does; every write comes here

    def committed(self, records: Sequence[Record]) -> None:
        """These were applied, in this order; bring the caches up to date. For the writer."""
        queries, vectors = self.queries, []
        for record in records:
            if not isinstance(record, PutRecord) or not record.is_new:
                break
            vectors.append(record.vector)
        all_new = len(vectors) == len(records)
        if self._watched is not None:
            self._watched.update([record.key for record in records])
        if not all_new and self.documents is not None:
            # A document that was not there cannot be in that cache.
            self.documents.forget([record.key for record in records])
        if queries.mode is not Mode.OFF:
            try:
                if records and (not all_new or not queries.commit_check.is_unaffected(np.array(vectors))):
                    self._apply(records)
            except Exception:
                # The write is durable and applied; a cache that cannot be brought up to date is given up instead.
                _log.exception("the query cache was emptied")
                self.begin_anew()
        self.commits.number += 1  # as CommitSequence.end does

    def _apply(self, records: Sequence[Record]) -> None:
        """Apply the records to the cached answers. An entry holds documents of one owner, and knows them by their
        ids."""
        if self.queries.is_empty:
            return
        by_owner: dict[int, dict[int, Record]] = {}
        for record in records:
            by_owner.setdefault(key_owner(record.key), {})[key_doc_id(record.key)] = record
        for owner, last in by_owner.items():
            arriving, metadata = self._arriving(last.values())
            doc_ids = np.fromiter(last, np.uint64, len(last))
            self.queries.apply(doc_ids, arriving, metadata, owner)

    def watch(self) -> set[Key]:
        """A set that gets the key of each document written from now on, until `unwatch`; one at a time."""
        self._watched = watched = set[Key]()
        return watched

    def unwatch(self) -> None:
        self._watched = None

    def release_tiers(self) -> None:
        """Let go of tiers that are no longer searched: answers made from their rows copy them."""
        self.queries.fetch_all()

    def _arriving(self, records: Iterable[Record]) -> tuple[Documents, list[Mapping[str, str]]]:
        """The documents these records leave behind, as they are now, and the whole metadata of each."""
        places, metadata, doc_ids = [], [], []
        for record in records:
            place = None if isinstance(record, DeleteRecord) else self._state.locate(record.key)
            if place is not None and not isinstance(record, DeleteRecord):
                places.append(place)
                doc_ids.append(key_doc_id(record.key))
                metadata.append(
                    place.metadata.whole() if isinstance(record, MergeRecord) else record.metadata
                )
        vectors = np.empty((len(places), self._dimension), np.float32)
        for row, place in enumerate(places):
            vectors[row] = place.vector
        return (
            Documents(
                np.array(doc_ids, np.uint64),
                vectors,
                distance.norms(vectors),
                [place.metadata.public for place in places],
            ),
            metadata,
        )


@dataclass(slots=True)
class FoundRows:
    """What a search for the vector `asked` found, in its rows: its best and those it fetched over. Rows never
    change, so it does not matter when they are read."""

    rows: Sequence[tuple[RowSource, Rows, Rows]]
    asked: bytes
    metric: Metric
    unseen_bound: float
    kth: float
    exact: bool

    def count(self) -> int:
        return sum([len(rows) + len(over_fetched) for _, rows, over_fetched in self.rows])

    def doc_ids(self) -> DocIds:
        parts = [tier.doc_ids_of(np.concatenate(rows)) for tier, *rows in self.rows]
        return np.concatenate(parts) if parts else np.empty(0, np.uint64)

    def documents(self) -> Documents:
        """Those as similar as `unseen_bound`: of the others nothing is known for certain."""
        query = Query(np.frombuffer(self.asked, np.float32), self.metric)
        parts = [self._of_tier(tier, np.concatenate(rows), query) for tier, *rows in self.rows]
        if len(parts) == 1:
            return parts[0]
        dimension = len(query.vector)
        return Documents(
            np.concatenate([np.empty(0, np.uint64), *(part.doc_ids for part in parts)]),
            np.concatenate([np.empty((0, dimension), np.float32), *(part.vectors for part in parts)]),
            np.concatenate([np.empty(0), *(part.norms for part in parts)]),
            [wire for part in parts for wire in part.metadata],
        )

    def _of_tier(self, tier: RowSource, rows: Rows, query: Query) -> Documents:
        doc_ids, vectors, norms = tier.columns_of(rows)
        kept = query.similarities(vectors, norms) >= self.unseen_bound
        if not kept.all():
            doc_ids, vectors, norms, rows = doc_ids[kept], vectors[kept], norms[kept], rows[kept]
        return Documents(doc_ids, vectors, norms, tier.public_metadata(rows.tolist()))


def _hits(cached: Cached, request: SearchRequest) -> list[ScoredDocument]:
    hits = list(map(ScoredDocument, cached.doc_ids, cached.scores))
    documents, rows = cached.documents, cached.rows
    if request.include_metadata:
        for hit, row in zip(hits, rows, strict=True):
            hit.metadata_wire = documents.metadata[row]
    elif hits and documents.metadata[rows[0]].startswith(TEXT_ID_TAG):
        for hit, row in zip(hits, rows, strict=True):
            hit.metadata_wire = text_id_alone(documents.metadata[row])
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
