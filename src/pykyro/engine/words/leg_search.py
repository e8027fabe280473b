"""The way of a search that goes by words, or by words and a vector, or whose answer is arranged:

    snapshot → by words ─────────────────→ hits
               by words, by vector → fuse → hits

By words everything is exact and of the position of the snapshot. With a vector both legs have to show one position:
they are asked again when a commit came in between, and at last while no commit may.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from pykyro.cache.commit_sequence import CommitSequence
from pykyro.engine.arranging.arranged import Arranger
from pykyro.engine.ranking import hydrate
from pykyro.engine.search_answers import Ranked, RoomForAnswer
from pykyro.engine.state import State
from pykyro.engine.words.collection_words import CollectionWords
from pykyro.engine.words.depths import ends_as_asked, first_depths, wider_depths
from pykyro.engine.words.highlights import Highlighter
from pykyro.engine.words.ranking import ByWords, find_by_words
from pykyro.engine.words.snapshot import Snapshots
from pykyro.engine.words.sought import POSTINGS_PER_US, sought_in
from pykyro.engine.words.two_legs import LegSearch, RowPlace, TwoLegs
from pykyro.index.words.query import parse_query
from pykyro.model.errors import KyroError
from pykyro.model.legs import TEXT, Legs, LegScore
from pykyro.model.requests import LegHit, SearchRequest, SearchResult
from pykyro.model.types import Metric, owner_of
from pykyro.model.words import no_words

_ATTEMPTS: Final = 3
_SMALL_ANSWER_BYTES: Final = 64 << 10
_SURELY_SHORT_US: Final = 5_000
_TERM_US: Final = 100
_FUSION: Final = {
    "exhausted": "which are all there are",
    "proved": "which proves that deeper ones change nothing",
    "bounded": "deeper ones may change it",
    "as_asked": "as was asked",
}


ByVector = Callable[[LegSearch, int], Ranked]
"""The nearest documents to the vector of a search, so many; without their content."""


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
        self._arranger = Arranger(commits, snapshots.lock, metric)

    def answer(self, search: LegSearch, by_vector: ByVector, room: RoomForAnswer) -> SearchResult:
        """The answer; `by_vector` is the leg by vector, and `room` is asked as in ReadPath.

        Raises FailedPrecondition where no words are kept, InvalidArgument for a text that would take too long,
        ResourceExhausted.
        """
        legs = search.request.legs
        assert legs is not None
        if legs.arrangement is None:
            return self._answer(search, by_vector, room)
        return self._arranger.answer(
            search.request, lambda request: self._answer(search.asking(request), by_vector, room)
        )

    def _answer(self, search: LegSearch, by_vector: ByVector, room: RoomForAnswer) -> SearchResult:
        words, legs = self._state.words, search.request.legs
        if legs is None:
            return by_vector(search, search.request.k).result
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
        arranging_us = 0
        if legs.arrangement is not None:
            arranging_us = self._arranger.cost_us(request, legs.arrangement)
        text = legs.text
        if text is None:
            return arranging_us
        if words is None:
            raise no_words()
        bound = (1 + len(text) // 2) * (_TERM_US + self._state.documents // POSTINGS_PER_US)
        if bound < _SURELY_SHORT_US and "*" not in text and '"' not in text:
            return bound + arranging_us
        snapshot = self._snapshots.take(owner_of(request.scope.tenant))
        return sought_in(snapshot, parse_query(text, words.analyser)).cost_us + arranging_us

    # --- steps ------------------------------------------------------------------------------------

    def _found(self, search: LegSearch, words: CollectionWords, legs: Legs, count: int) -> ByWords:
        request, state = search.request, self._state
        assert legs.text is not None
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
        hits, places = list[LegHit](), list[RowPlace]()
        for rank, hit in enumerate(found.best, start=1):
            if request.min_score <= 0 or hit.score >= request.min_score:
                hits.append(LegHit(hit.doc_id, hit.score))
                places.append(RowPlace(hit.tier, hit.row))
                if legs.explain:
                    hits[-1].legs = (LegScore(TEXT, rank, hit.score),)
        result = SearchResult(
            list(hits), found.matched, found.snapshot.position, matched=found.matched, legs="text"
        )
        # Exact whatever else is stored, so it tells nothing of others.
        result.examined, result.exact_asked = found.matched, True
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
        depths = first_depths(request, legs)
        while True:
            found = self._found(search, words, legs, depths.text)
            near = by_vector(search, depths.vector).result
            fusion = TwoLegs(self._state, search, self._metric, legs, found, near)
            worth = fusion.worth()
            order = fusion.in_order(worth)
            needed = fusion.needed_depth(order, worth, depths)
            wider = wider_depths(request, legs, depths, needed) if needed else depths
            if wider == depths:
                break
            depths = wider
        has_all = len(near.hits) < depths.vector and len(found.best) < depths.text
        hits, places = list[LegHit](), list[RowPlace]()
        for doc_id in order[: request.k]:
            if request.min_score <= 0 or worth[doc_id] >= request.min_score:
                hits.append(LegHit(doc_id, worth[doc_id]))
                places.append(fusion.place(doc_id))
                if legs.explain:
                    hits[-1].legs = fusion.explained(doc_id)
        result = SearchResult(
            list(hits), len(worth), found.snapshot.position, matched=near.matched, legs="fused"
        )
        result.fusion = "exhausted" if has_all else "proved" if not needed else "bounded"
        if result.fusion == "bounded" and ends_as_asked(legs):
            result.fusion = "as_asked"
        result.examined, result.exact = near.examined, near.exact and result.fusion != "bounded"
        result.exact_asked, result.tiers = request.exact, near.tiers
        result.left_out, result.stages = near.left_out, near.stages
        result.plan = (
            f"{near.plan}; {_plan(found)}; fused by {legs.fuse} of the best {depths.vector} by vector and "
            f"{depths.text} by words, {_FUSION[result.fusion]}"
        )
        result.note = "; ".join(filter(None, (near.note, _note(found))))
        self._show(result, hits, places, request, words, found, room)
        return result

    def _show(
        self,
        result: SearchResult,
        hits: Sequence[LegHit],
        places: Sequence[RowPlace],
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


def vector_leg(request: SearchRequest, depth: int) -> SearchRequest:
    """What is asked of the nearest documents for fusion: as many, and nothing of their content. Without
    other legs it is asked as it is."""
    if request.legs is None:
        return request
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
