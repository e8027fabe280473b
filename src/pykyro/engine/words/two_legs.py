"""What two legs of one search found, and what comes of it when it is fused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pykyro.engine.state import State
from pykyro.engine.tiers.tier import SearchTier
from pykyro.engine.words.depths import Depths
from pykyro.engine.words.fusion import by_ranks, by_scores, share
from pykyro.engine.words.rank_proof import RankedList, needed_depth
from pykyro.engine.words.ranking import ByWords
from pykyro.model import distance
from pykyro.model.distance import Query
from pykyro.model.legs import RRF, TEXT, VECTOR, Legs, LegScore
from pykyro.model.metadata_wire import text_id_in
from pykyro.model.requests import SearchRequest, SearchResult
from pykyro.model.types import Metric, Rows, key_of


class LegSearch(Protocol):
    """A search on its way: read_path.Search."""

    request: SearchRequest
    query: Query

    @property
    def pause(self) -> Callable[[], None]: ...

    def asking(self, request: SearchRequest) -> LegSearch:
        """The same for another request with this vector."""
        ...


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Where a document stands."""

    tier: SearchTier
    row: int


class TwoLegs:
    """Both legs of one search, each to some depth."""

    def __init__(
        self, state: State, search: LegSearch, metric: Metric, legs: Legs, found: ByWords, near: SearchResult
    ) -> None:
        self._search = search
        self._metric = metric
        self._legs = legs
        self._found = found
        self._near = near
        self._text_ids = state.texts is not None
        self._state = state
        self._places = {hit.doc_id: RowPlace(hit.tier, hit.row) for hit in found.best}
        self._by_vector: dict[int, float] = {}
        self._by_text: dict[int, float] = {}
        self._vector_ranks = {hit.doc_id: rank for rank, hit in enumerate(near.hits, start=1)}
        self._text_ranks = {hit.doc_id: rank for rank, hit in enumerate(found.best, start=1)}

    def place(self, doc_id: int) -> RowPlace:
        """Where a document stands. Raises LookupError when it went since it was found."""
        known = self._places.get(doc_id)
        if known is None:
            place = self._state.find(key_of(self._search.request.scope.tenant, doc_id))
            if place is None:
                raise LookupError(f"document {doc_id} went meanwhile")
            known = self._places[doc_id] = RowPlace(place.tier, place.row)
        return known

    def worth(self) -> dict[int, float]:
        """What each document is worth that a leg found."""
        legs, found, near = self._legs, self._found, self._near
        if legs.fuse == RRF:
            lists = [[hit.doc_id for hit in near.hits], [hit.doc_id for hit in found.best]]
            return by_ranks(lists, legs.weights)
        return by_scores(self._vector_scores(), self._text_scores(), legs.weights)

    def needed_depth(self, order: Sequence[int], worth: Mapping[int, float], depths: Depths) -> float:
        """To what depth the legs have to be read to know that no deeper one changes the first k of `order`, as far as
        that can be told: 0 when it is known, infinite when it cannot be told."""
        legs, found, near = self._legs, self._found, self._near
        has_all = len(near.hits) < depths.vector
        if legs.fuse == RRF:
            lists = (
                RankedList([hit.doc_id for hit in near.hits], legs.weights[0], has_all),
                RankedList(
                    [hit.doc_id for hit in found.best], legs.weights[1], len(found.best) < depths.text
                ),
            )
            return needed_depth(order, worth, lists, self._search.request.k, may_be_unread=not has_all)
        return 0.0 if has_all or self._no_other_is_better(worth, depths) else math.inf

    def _no_other_is_better(self, worth: Mapping[int, float], depths: Depths) -> bool:
        """By scores: whether no document that no leg found can be among the first k."""
        legs, found, near = self._legs, self._found, self._near
        vector, text = self._vector_scores(), self._text_scores()
        last_text = found.best[-1].score if len(found.best) == depths.text else 0.0
        bound = legs.weights[0] * share(near.hits[-1].score, max(vector.values()))
        bound += legs.weights[1] * share(last_text, max(text.values()))
        k = self._search.request.k
        return sorted(worth.values(), reverse=True)[k - 1] > bound

    def in_order(self, worth: Mapping[int, float]) -> list[int]:
        """Ids by falling worth, equal ones ascending."""
        if not self._text_ids:
            return sorted(worth, key=lambda doc_id: (-worth[doc_id], doc_id))
        places = {doc_id: self.place(doc_id) for doc_id in worth}
        texts = {
            doc_id: text_id_in(place.tier.public_metadata([place.row])[0]) for doc_id, place in places.items()
        }
        return sorted(worth, key=lambda doc_id: (-worth[doc_id], texts[doc_id]))

    def explained(self, doc_id: int) -> tuple[LegScore, ...]:
        """What each leg says of a document; its rank is 0 behind the depth of the leg."""
        return (
            LegScore(VECTOR, self._vector_ranks.get(doc_id, 0), self._vector_scores()[doc_id]),
            LegScore(TEXT, self._text_ranks.get(doc_id, 0), self._text_scores()[doc_id]),
        )

    def _vector_scores(self) -> dict[int, float]:
        """Of every document that a leg found."""
        if not self._by_vector:
            self._by_vector = {hit.doc_id: hit.score for hit in self._near.hits}
            for tier, ids, rows in self._others(self._by_vector):
                _, vectors, norms = tier.columns_of(rows)
                similarities = self._search.query.similarities(vectors, norms)
                shown = distance.scores(similarities, self._metric).tolist()
                self._by_vector.update(zip(ids, shown, strict=True))
        return self._by_vector

    def _text_scores(self) -> dict[int, float]:
        """The same by words, 0 for those that do not match."""
        if not self._by_text:
            self._by_text = {hit.doc_id: hit.score for hit in self._found.best}
            for tier, ids, rows in self._others(self._by_text):
                self._by_text.update(zip(ids, self._found.scores_of(tier, rows), strict=True))
        return self._by_text

    def _others(self, known: Mapping[int, float]) -> list[tuple[SearchTier, list[int], Rows]]:
        """The documents that are not known, of each tier by ascending row."""
        for hit in self._near.hits:
            self.place(hit.doc_id)
        others: dict[int, tuple[SearchTier, list[tuple[int, int]]]] = {}
        for doc_id, place in self._places.items():
            if doc_id not in known:
                others.setdefault(id(place.tier), (place.tier, []))[1].append((place.row, doc_id))
        return [
            (tier, [doc_id for _, doc_id in sorted(some)], np.array(sorted(row for row, _ in some)))
            for tier, some in others.values()
        ]
