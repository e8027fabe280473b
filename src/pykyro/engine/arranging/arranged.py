"""The way of a search whose answer is arranged: it asks the same search for more, and makes its answer of that."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final

from pykyro.cache.commit_sequence import CommitSequence
from pykyro.engine.arranging.diversity import most_diverse
from pykyro.engine.arranging.grouping import Ask, GroupSearch, first_depth
from pykyro.model.arrangement import Arrangement, Grouping, Mmr
from pykyro.model.errors import KyroError
from pykyro.model.limits import MMR_CANDIDATES_MAX
from pykyro.model.requests import SearchRequest, SearchResult
from pykyro.model.types import Metric

_ATTEMPTS: Final = 3
_CANDIDATES_MIN: Final = 100
_OVER: Final = 4
_HIT_US: Final = 5
"""To fetch a document and look at it."""
_COMPONENTS_PER_US: Final = 500
_WITHOUT_WRITES_MAX: Final = 32
"""So many searches may keep writers waiting."""
_WRITTEN: Final = "documents were written meanwhile, so groups may show several positions"


class Arranger:
    """Of one engine. Any thread may call any method."""

    def __init__(self, commits: CommitSequence, lock: AbstractContextManager[Any], metric: Metric) -> None:
        """While `lock` is held nothing changes."""
        self._commits = commits
        self._lock = lock
        self._metric = metric

    def answer(self, request: SearchRequest, ask: Ask) -> SearchResult:
        """The answer to a search that has an arrangement. Raises as `ask`."""
        legs = request.legs
        assert legs is not None
        arrangement = legs.arrangement
        assert arrangement is not None
        plain = replace(legs, arrangement=None) if legs.text is not None else None
        is_fused = plain is not None and legs.by_vector
        request = replace(request, legs=plain)
        if arrangement.grouping is not None:
            return self._grouped(request, arrangement.grouping, ask, is_fused=is_fused)
        assert arrangement.mmr is not None
        return self._diverse(request, arrangement.mmr, ask)

    def cost_us(self, request: SearchRequest, arrangement: Arrangement) -> int:
        """About how many microseconds that takes beside the search itself."""
        if arrangement.grouping is not None:
            return _HIT_US * first_depth(request.k, arrangement.grouping.size)
        assert arrangement.mmr is not None
        count = _candidates(request, arrangement.mmr)
        return _HIT_US * count + request.k * count * len(request.vector) // _COMPONENTS_PER_US

    def _grouped(
        self, request: SearchRequest, grouping: Grouping, ask: Ask, *, is_fused: bool
    ) -> SearchResult:
        """All searches for groups have to show one position: they are asked again when a commit came in between, and
        at last while no commit may. Where they are many, writers do not wait for them, and the answer says so."""
        for _ in range(_ATTEMPTS):
            number = self._commits.number_if_idle()
            search = GroupSearch(request, grouping, ask, is_fused=is_fused)
            try:
                result = search.answer()
            except KyroError:
                if search.searches < 2 or self._commits.number == number:
                    raise
                continue
            if search.searches == 1 or self._commits.number == number:
                return result
            if search.searches > _WITHOUT_WRITES_MAX:
                result.exact = False
                result.note = "; ".join(filter(None, (result.note, _WRITTEN)))
                return result
        with self._lock:
            return GroupSearch(request, grouping, ask, is_fused=is_fused).answer()

    def _diverse(self, request: SearchRequest, mmr: Mmr, ask: Ask) -> SearchResult:
        count = _candidates(request, mmr)
        result = ask(replace(request, k=count, include_vectors=True))
        found = len(result.hits)
        by_vector = request.legs is None
        result.hits = most_diverse(result.hits, request.k, mmr.relevance, self._metric, by_vector=by_vector)
        if not request.include_vectors:
            for hit in result.hits:
                hit.vector = None
        result.plan += f"; {len(result.hits)} unlike ones of the best {found}, relevance {mmr.relevance:g}"
        return result


def _candidates(request: SearchRequest, mmr: Mmr) -> int:
    count = mmr.candidates or max(_CANDIDATES_MIN, _OVER * request.k)
    return max(request.k, min(count, MMR_CANDIDATES_MAX))
