"""The way of a search that goes by words, or by words and a vector:

    snapshot → by words ─────────────────→ hits
               by words, by vector → fuse → hits

By words everything is exact and of the position of the snapshot. With a vector both legs have to show one position:
they are asked again when a commit came in between, and at last while no commit may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

import numpy as np

from pykyro.cache.commit_sequence import CommitSequence
from pykyro.engine.ranking import hydrate
from pykyro.engine.search_answers import Ranked, RoomForAnswer
from pykyro.engine.state import State
from pykyro.engine.tiers.tier import SearchTier
from pykyro.engine.words.collection_words import CollectionWords
from pykyro.engine.words.fusion import by_ranks, by_scores, share
from pykyro.engine.words.highlights import Highlighter
from pykyro.engine.words.ranking import ByWords, find_by_words
from pykyro.engine.words.snapshot import Snapshots
from pykyro.engine.words.sought import POSTINGS_PER_US, sought_in
from pykyro.index.words.query import parse_query
from pykyro.model import distance
from pykyro.model.distance import Query
from pykyro.model.errors import KyroError
from pykyro.model.legs import RRF, TEXT, VECTOR, Legs, LegScore
from pykyro.model.requests import LegHit, SearchRequest, SearchResult
from pykyro.model.types import Metric, key_of, owner_of
from pykyro.model.words import no_words

_ATTEMPTS: Final = 3
_DEPTH_MIN: Final = 100
_WIDER: Final = 4
_SMALL_ANSWER_BYTES: Final = 64 << 10
_SURELY_SHORT_US: Final = 5_000
_TERM_US: Final = 100


class LegSearch(Protocol):
    """A search on its way: read_path.Search."""

    request: SearchRequest
    query: Query

    @property
    def pause(self) -> Callable[[], None]: ...


ByVector = Callable[[LegSearch, int], Ranked]
"""The nearest documents to the vector of a search, so many; without their content."""


class _Place:
    """Where a document stands, and what both legs say of it."""

    __slots__ = ("row", "tier")

    def __init__(self, tier: SearchTier, row: int) -> None:
        self.tier = tier
        self.row = row


class LegSearches:
    """Those of one engine. Any thread may call any method."""

    def __init__(
        self,
        state: State,
        commits: CommitSequence,
        snapshots: Snapshots,
        metric: Metric,
    ) -> None:
        self._state = state
        self._commits = commits
        self._snapshots = snapshots
        self._metric = metric

    def answer(self, search: LegSearch, by_vector: ByVector, room: RoomForAnswer) -> SearchResult:
        """The answer; `by_vector` is the leg by vector, and `room` is asked as in ReadPath.

        Raises FailedPrecondition where no words are kept, InvalidArgument for a text that would take too long,
        ResourceExhausted.
        """
        words, legs = self._state.words, search.request.legs
        assert legs is not None
        if words is None:
            raise no_words()
        if not legs.by_vector:
            return self._by_words(search, words, legs, room)
        for _ in range(_ATTEMPTS):
            number = self._commits.number_if_idle()
            if number is None:
                continue
            try:
                result = self._fused(search, words, legs, by_vector, room)
            except (KyroError, LookupError):
                if self._commits.number == number:
                    raise
                continue
            if self._commits.number == number:
                return result
        with self._snapshots.lock:
            return self._fused(search, words, legs, by_vector, room)

    def cost_us(self, request: SearchRequest) -> int:
        """About how many microseconds the words of a search take; no more than a bound that is known sooner, where
        that is small. Raises as `answer`."""
        words, legs = self._state.words, request.legs
        assert legs is not None
        if words is None:
            raise no_words()
        text = legs.text
        bound = (1 + len(text) // 2) * (_TERM_US + self._state.documents // POSTINGS_PER_US)
        if bound < _SURELY_SHORT_US and "*" not in text and '"' not in text:
            return bound
        snapshot = self._snapshots.take(owner_of(request.scope.tenant))
        return sought_in(snapshot, parse_query(text, words.analyser)).cost_us

    # --- steps ------------------------------------------------------------------------------------

    def _found(self, search: LegSearch, words: CollectionWords, legs: Legs, count: int) -> ByWords:
        request, state = search.request, self._state
        condition = None
        if request.filter is not None or request.scope.namespace:
            condition = state.condition(request.filter, request.scope)
        snapshot = self._snapshots.take(owner_of(request.scope.tenant))
        return find_by_words(
            words,
            snapshot,
            legs.text,
            condition,
            count,
            search.pause,
            text_ids=state.texts is not None,
        )

    def _by_words(
        self, search: LegSearch, words: CollectionWords, legs: Legs, room: RoomForAnswer
    ) -> SearchResult:
        request = search.request
        found = self._found(search, words, legs, request.k)
        hits, places = list[LegHit](), list[_Place]()
        for rank, hit in enumerate(found.best, start=1):
            if request.min_score <= 0 or hit.score >= request.min_score:
                hits.append(LegHit(hit.doc_id, hit.score))
                places.append(_Place(hit.tier, hit.row))
                if legs.explain:
                    hits[-1].legs = (LegScore(TEXT, rank, hit.score),)
        result = SearchResult(
            list(hits), found.matched, found.snapshot.position, matched=found.matched, legs="text"
        )
        result.examined, result.exact_asked = found.matched, request.exact
        result.tiers = frozenset(then.tier.kind for then in found.snapshot.tiers)
        result.plan, result.note = _plan(found), _note(found)
        self._show(result, hits, places, request, words, found, room)
        return result

    def _fused(
        self,
        search: LegSearch,
        words: CollectionWords,
        legs: Legs,
        by_vector: ByVector,
        room: RoomForAnswer,
    ) -> SearchResult:
        request = search.request
        depth = max(legs.depth or max(_DEPTH_MIN, 2 * request.k), request.k)
        while True:
            found = self._found(search, words, legs, depth)
            near = by_vector(search, depth).result
            fusion = _Fusion(self._state, search, self._metric, legs, found, near)
            worth, is_certain = fusion.worth(depth)
            if is_certain:
                break
            depth *= _WIDER
        hits, places = list[LegHit](), list[_Place]()
        for doc_id in fusion.in_order(worth)[: request.k]:
            if request.min_score <= 0 or worth[doc_id] >= request.min_score:
                hits.append(LegHit(doc_id, worth[doc_id]))
                places.append(fusion.places[doc_id])
                if legs.explain:
                    hits[-1].legs = fusion.explained(doc_id)
        result = SearchResult(
            list(hits), len(worth), found.snapshot.position, matched=near.matched, legs="fused"
        )
        result.examined, result.exact = near.examined, near.exact
        result.exact_asked, result.tiers = request.exact, near.tiers
        result.left_out, result.stages = near.left_out, near.stages
        result.plan = f"{near.plan}; {_plan(found)}; fused by {legs.fuse} of the best {depth} of each"
        result.note = "; ".join(filter(None, (near.note, _note(found))))
        self._show(result, hits, places, request, words, found, room)
        return result

    def _show(
        self,
        result: SearchResult,
        hits: Sequence[LegHit],
        places: Sequence[_Place],
        request: SearchRequest,
        words: CollectionWords,
        found: ByWords,
        room: RoomForAnswer,
    ) -> None:
        """Fetch what the request wants to see of its hits."""
        size, text_ids = 0, self._state.texts is not None
        for place in places:
            if request.include_metadata or text_ids:
                size += place.tier.public_bytes((place.row,))
            if request.include_vectors:
                size += request.vector.nbytes
        if size > _SMALL_ANSWER_BYTES:
            result.held = room(size, len(hits))
        for hit, place in zip(hits, places, strict=True):
            hydrate([hit], [place.row], place.tier, request, text_ids=text_ids)
        if request.legs is not None and request.legs.highlight:
            highlighter = Highlighter(words, found.sought.shown_terms)
            for hit, place in zip(hits, places, strict=True):
                hit.highlights = highlighter.spans(place.tier.metadata(place.row))


class _Fusion:
    """Both legs of one search, to one depth."""

    def __init__(
        self, state: State, search: LegSearch, metric: Metric, legs: Legs, found: ByWords, near: SearchResult
    ) -> None:
        self._search = search
        self._metric = metric
        self._legs = legs
        self._found = found
        self._near = near
        self._text_ids = state.texts is not None
        self.places = {hit.doc_id: _Place(hit.tier, hit.row) for hit in found.best}
        tenant = search.request.scope.tenant
        for each in near.hits:
            if each.doc_id not in self.places:
                place = state.find(key_of(tenant, each.doc_id))
                if place is None:
                    raise LookupError(f"document {each.doc_id} went meanwhile")
                self.places[each.doc_id] = _Place(place.tier, place.row)
        self._vector_ranks = {hit.doc_id: rank for rank, hit in enumerate(near.hits, start=1)}
        self._text_ranks = {hit.doc_id: rank for rank, hit in enumerate(found.best, start=1)}

    def worth(self, depth: int) -> tuple[dict[int, float], bool]:
        """What each document is worth that a leg found, and whether no other can be among the first k."""
        legs, found, near = self._legs, self._found, self._near
        if legs.fuse == RRF:
            lists = [[hit.doc_id for hit in near.hits], [hit.doc_id for hit in found.best]]
            return by_ranks(lists, legs.weights), True
        vector = {doc_id: self._vector_score(doc_id) for doc_id in self.places}
        text = {doc_id: self._text_score(doc_id) for doc_id in self.places}
        worth = by_scores(vector, text, legs.weights)
        if len(near.hits) < depth:
            return worth, True
        last_text = found.best[-1].score if len(found.best) == depth else 0.0
        bound = legs.weights[0] * share(near.hits[-1].score, max(vector.values()))
        bound += legs.weights[1] * share(last_text, max(text.values()))
        k = self._search.request.k
        kth = sorted(worth.values(), reverse=True)[k - 1]
        return worth, kth > bound

    def in_order(self, worth: Mapping[int, float]) -> list[int]:
        """Ids by falling worth, equal ones ascending."""
        if not self._text_ids:
            return sorted(worth, key=lambda doc_id: (-worth[doc_id], doc_id))
        texts = {doc_id: place.tier.public_metadata([place.row])[0] for doc_id, place in self.places.items()}
        return sorted(worth, key=lambda doc_id: (-worth[doc_id], texts[doc_id]))

    def explained(self, doc_id: int) -> tuple[LegScore, ...]:
        """What each leg says of a document; its rank is 0 behind the depth of the leg."""
        return (
            LegScore(VECTOR, self._vector_ranks.get(doc_id, 0), self._vector_score(doc_id)),
            LegScore(TEXT, self._text_ranks.get(doc_id, 0), self._text_score(doc_id)),
        )

    def _vector_score(self, doc_id: int) -> float:
        rank = self._vector_ranks.get(doc_id)
        if rank is not None:
            return self._near.hits[rank - 1].score
        place = self.places[doc_id]
        _, vectors, norms = place.tier.columns_of(np.array([place.row]))
        return float(distance.scores(self._search.query.similarities(vectors, norms), self._metric)[0])

    def _text_score(self, doc_id: int) -> float:
        rank = self._text_ranks.get(doc_id)
        if rank is not None:
            return self._found.best[rank - 1].score
        place = self.places[doc_id]
        return self._found.score_of(place.tier, place.row)


def vector_leg(request: SearchRequest, depth: int) -> SearchRequest:
    """What is asked of the nearest documents for fusion: as many, and nothing of their content."""
    return replace(
        request,
        k=depth,
        legs=None,
        min_score=0.0,
        include_vectors=False,
        include_metadata=False,
        include_positions=False,
    )


def _plan(found: ByWords) -> str:
    postings = sum(len(some.rows) for by_term in found.sought.postings for some in by_term.values())
    return (
        f"text: {len(found.sought.terms)} terms, {postings} postings in {len(found.snapshot.tiers)} tiers, "
        f"{found.matched} documents match"
    )


def _note(found: ByWords) -> str:
    if found.sought.scores:
        return ""
    if found.sought.never or found.sought.phrases:
        return "the text names only words that must not be there, so it finds nothing"
    return "the text has no words, so it finds nothing"
