"""The way of a search, and the only place that decides its order:

    query cache → cold segments, frozen tiers, active tier, oldest first → merge → hits → query cache

A document on its way to a newer tier is added there before its old row dies, so asking the tiers oldest first
meets it at least once; if twice, the newer row counts. When the set of tiers changed meanwhile the search is done
again. Readers take no lock; what rests on the interpreter lock stands in docs/architecture.md.

A search of one tier runs to its end, because neither the vector library nor numpy can be interrupted. So the clock
is looked at between two of them: none is begun once those of its kind before it took longer than `cold_tier_ms` or
`hot_tier_ms`. The first of each kind is always searched. Queries searched together have their time together, and an
exact search has no limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from pykyro.cache.answer import Lookup
from pykyro.engine.caches import Caches
from pykyro.engine.expiration import Expiration
from pykyro.engine.options import EngineOptions
from pykyro.engine.ranking import rank
from pykyro.engine.remote.errors import RemoteAway, RowGone
from pykyro.engine.request_costs import RequestCosts
from pykyro.engine.search_answers import (
    NOTHING_LEFT_OUT,
    LeftOut,
    Ranked,
    RecallSampler,
    RoomForAnswer,
)
from pykyro.engine.state import State, Version
from pykyro.engine.tiers.graph_search import scored_rows
from pykyro.engine.tiers.stored_metadata import StoredMetadata, TierMetadata
from pykyro.engine.tiers.tier import Candidates, RowSource, SearchTier, TierRequest, no_pause
from pykyro.engine.words.leg_search import LegSearches, vector_leg
from pykyro.engine.words.snapshot import Snapshots
from pykyro.engine.words.two_legs import LegSearch
from pykyro.model.distance import Query
from pykyro.model.errors import KyroError
from pykyro.model.metadata_wire import text_id_in
from pykyro.model.requests import Found, SearchRequest, SearchResult, Stage, Tier
from pykyro.model.types import LSN, AnyId, Scope, Vector, key_doc_id, key_of
from pykyro.system.clock import Clock

_ATTEMPTS: Final = 4
_SMALL_ANSWER_BYTES: Final = 64 << 10
"""Nobody is asked whether there is room for so small an answer."""
_FETCHED_TOGETHER: Final = 64
"""Each may have a megabyte of metadata."""
_ONLY: Final = {kind: frozenset({kind}) for kind in Tier}
_TOGETHER_MAX: Final = 32
_TOGETHER_BYTES: Final = 4 << 20
"""Of the rows that queries searched together score again, as float32 and as float64: they should stay in the
processor's cache, and a thousand rows each of many queries would take hundreds of megabytes."""


@dataclass(slots=True)
class Search:
    """A search on its way. `result` is there when the query cache had the answer. Otherwise `lookup`, if it is there,
    is what the cache takes to keep the answer, and `over_fetch` says how many more rows it can use."""

    request: SearchRequest
    query: Query
    ef: int
    lookup: Lookup | None = None
    over_fetch: int | None = None
    result: SearchResult | None = None
    pause: Callable[[], None] = no_pause
    """Called between the steps of a long filter."""

    def asking(self, request: SearchRequest) -> Search:
        return replace(self, request=request)


class ReadPath:
    """Searches and point lookups. Thread-safe, takes no lock."""

    def __init__(
        self,
        options: EngineOptions,
        state: State,
        caches: Caches,
        clock: Clock,
        expiration: Expiration,
        lock: AbstractContextManager[Any],
    ) -> None:
        """`lock` is held by who writes."""
        self._expiration = expiration
        self._metric = options.metric
        self._state = state
        self.caches = caches
        self._budgets = options.budgets
        self._unlimited = math.isinf(options.budgets.hot_tier_ms) and math.isinf(options.budgets.cold_tier_ms)
        self._partial = options.remote.partial
        self._clock = clock
        self._monotonic_s = clock.monotonic_s
        self.ef_search = options.ef_search
        self.samples: RecallSampler | None = None
        self.room_for_answer: RoomForAnswer = lambda size, count: None
        """Asked before the documents of an answer are read, by any thread."""
        self._by_legs = LegSearches(
            state,
            caches.commits,
            Snapshots(state, caches.commits, lock),
            options.metric,
        )
        self.costs = RequestCosts(state, self._by_legs)

    @property
    def expects_cached(self) -> bool:
        """Whether an answer is likely to be in the query cache, and nothing stands before the look into it."""
        return self.caches.queries.pace.expects_repeats and not self.expires_first

    @property
    def expires_first(self) -> bool:
        """Whether a read may have to delete what is due before, which may take a sync of the log."""
        return self._state.may_expire and self._expiration.is_due

    # --- searches ---------------------------------------------------------------------------------

    def lookup(self, requests: Sequence[SearchRequest]) -> list[Search]:
        """The first step of each search: the query cache is asked, unless the request chose its own effort.

        Takes microseconds, unless what a filter or scope leaves has to be counted, or an answer is served for the
        first time and its rows have to be read from disk.
        """
        if self._state.may_expire:
            self._expiration.before_reading()
        caches, samples, searches = self.caches, self.samples, []
        if len(requests) == 1:
            queries = [Query(requests[0].vector, self._metric)]
        else:
            queries = Query.each([request.vector for request in requests], self._metric)
        for request, query in zip(requests, queries, strict=True):
            search = Search(request, query, request.ef_search or self.ef_search)
            searches.append(search)
            if request.ef_search or request.exact or request.include_positions or request.legs is not None:
                continue
            found = caches.lookup(request, query, search.ef)
            if isinstance(found, SearchResult):
                search.result = found
                if samples is not None and samples.wanted:
                    samples.offer(request, found)
            elif found is not None:
                # As many rows as a walk with this ef meets anyway.
                search.lookup, search.over_fetch = found, max(0, search.ef - request.k)
        return searches

    def search(self, searches: Sequence[Search]) -> list[SearchResult | KyroError]:
        """The second step: the tiers are searched for those that have no result yet. One that fails does not harm the
        others.

        Those that differ only in their vectors are searched together, which costs each of them less.
        """
        if len(searches) == 1:
            try:
                return [searches[0].result or self._answer(searches)[0]]
            except KyroError as error:
                return [error]
        answers: list[SearchResult | KyroError | None] = [search.result for search in searches]
        alike: dict[Hashable, list[int]] = {}
        for at, search in enumerate(searches):
            request = search.request
            if search.result is None:
                kind = (
                    request.k,
                    search.ef,
                    search.over_fetch,
                    request.filter,
                    request.scope,
                    request.exact,
                    request.legs,
                )
                alike.setdefault(kind, []).append(at)
        for group in alike.values():
            request = searches[group[0]].request
            row_bytes = len(request.vector) * (4 + 8)
            together = max(1, min(_TOGETHER_MAX, _TOGETHER_BYTES // (row_bytes * scored_rows(request.k))))
            for start in range(0, len(group), together):
                part = group[start : start + together]
                for at, answer in zip(part, self._each_or_error([searches[at] for at in part]), strict=True):
                    answers[at] = answer
        return [answer for answer in answers if answer is not None]

    def answer(self, request: SearchRequest) -> SearchResult:
        """Both steps for one request. Raises KyroError."""
        (search,) = self.lookup([request])
        return search.result or self._answer([search])[0]

    def search_tiers(self, request: SearchRequest) -> SearchResult:
        """`answer` without a look into any cache."""
        search = Search(request, Query(request.vector, self._metric), request.ef_search or self.ef_search)
        return self._search_tiers([search])[0].result

    def _nearest(self, search: LegSearch, depth: int) -> Ranked:
        """The leg by vector of a search that has others."""
        assert isinstance(search, Search)
        leg = Search(vector_leg(search.request, depth), search.query, search.ef, pause=search.pause)
        return self._search_tiers([leg])[0]

    def _each_or_error(self, group: Sequence[Search]) -> list[SearchResult | KyroError]:
        try:
            return [*self._answer(group)]
        except KyroError as error:
            if len(group) == 1:
                return [error]
            return [answer for search in group for answer in self._each_or_error([search])]

    def _answer(self, group: Sequence[Search]) -> list[SearchResult]:
        """Search the tiers for queries that differ in nothing else, and offer the cache what was found. An answer by
        words is kept by no cache: any write may change the scores of all documents."""
        if group[0].request.legs is not None:
            by_legs, room = self._by_legs, self.room_for_answer
            return [by_legs.answer(search, self._nearest, room) for search in group]
        samples, results = self.samples, []
        for search, (result, found, kth) in zip(group, self._search_tiers(group), strict=True):
            if search.lookup is not None:
                self.caches.offer(search.lookup, result, found, kth)
            if samples is not None and samples.wanted:
                samples.offer(search.request, result)
            results.append(result)
        return results

    def _search_tiers(self, group: Sequence[Search]) -> list[Ranked]:
        """The answer to each of the group, all alike but for their vectors."""
        first, state = group[0], self._state
        request = first.request
        queries = [first.query] if len(group) == 1 else [search.query for search in group]
        text_ids = state.texts is not None
        for _ in range(_ATTEMPTS):
            version, position, tenanted = state.version, state.position, bool(state.tenants.documents)
            moves = state.chain_moves
            condition = None
            if (
                tenanted
                or request.filter is not None
                or request.scope.namespace
                or request.scope.tenant is not None
            ):
                condition = state.condition(request.filter, request.scope)
            wanted = TierRequest(
                queries,
                request.k,
                first.ef,
                condition,
                request.exact,
                first.over_fetch,
                first.pause,
                text_ids,
            )
            by_tier, left_out = self._ask_tiers(version, wanted)
            same = state.version is version and bool(state.tenants.documents) == tenanted
            if same and state.chain_moves == moves and not moves & 1:
                break
        answers = []
        for at, search in enumerate(group):
            found: list[tuple[RowSource, Candidates]] = []
            for tier, candidates in by_tier:
                one = candidates[at]
                found.append((one.rows_in or tier, one))
            answer = rank(
                search.request, found, position, self._metric, self.room_for_answer, text_ids=text_ids
            )
            if left_out.tiers:
                answer.result.left_out, answer.result.note = left_out.tiers, left_out.reason
                answer.result.exact = False
            if left_out.stages:
                answer.result.stages = left_out.stages
            answers.append(answer)
        return answers

    def _ask_tiers(
        self, version: Version, request: TierRequest
    ) -> tuple[list[tuple[SearchTier, list[Candidates]]], LeftOut]:
        """What each tier finds, each kind of them within its time."""
        budgets, limited = self._budgets, not (self._unlimited or request.exact)
        found: list[tuple[SearchTier, list[Candidates]]] = []
        notes: dict[Tier, str] = {}
        stages: list[Stage] = []
        active = version.active
        hot = (*version.frozen, active)
        kinds: tuple[tuple[Tier, Sequence[SearchTier], float], ...] = (
            (Tier.COLD, version.sealed, budgets.cold_tier_ms),
            (Tier.HOT, hot, budgets.hot_tier_ms),
        )
        for kind, tiers, budget_ms in kinds:
            until_s = math.inf
            if limited and len(tiers) > 1:
                until_s = self._monotonic_s() + budget_ms / 1000 * len(request.queries)
            for number, tier in enumerate(tiers):
                if number and until_s < math.inf and self._monotonic_s() > until_s:
                    notes[kind] = (
                        f"the {kind.value} tier was not searched to its end within {kind.value}_tier_ms = "
                        f"{budget_ms:g}"
                    )
                    break
                # An empty active tier has nothing to find. It must not be looked at before the others were searched:
                # a document may have come from one of them meanwhile.
                if tier is active and not active.live:
                    continue
                start_us = self._clock.wall_us() if budgets.timed else 0
                try:
                    found.append((tier, tier.search_many(request)))
                except RemoteAway as away:
                    if not self._partial or request.exact:
                        raise
                    notes[kind] = str(away)
                if budgets.timed:
                    stages.append(Stage(f"search {kind.value} tier", start_us, self._clock.wall_us()))
        if notes or stages:
            return found, LeftOut(frozenset(notes), "; ".join(notes.values()), stages)
        return found, NOTHING_LEFT_OUT

    # --- lookups ----------------------------------------------------------------------------------

    def get(self, doc_id: AnyId, scope: Scope, *, cached: bool = True) -> Found | None:
        """The document, or None when it is absent or out of scope; without `cached`, without the document cache."""
        for _ in range(_ATTEMPTS):
            try:
                return self._get(doc_id, scope, cached=cached)
            except RowGone:
                continue
        return self._get(doc_id, scope, cached=cached)

    def prefetch(self, doc_ids: Iterable[AnyId], scope: Scope) -> None:
        """Read at once what of these documents is elsewhere; who asks for one then has it here."""
        tier, state = self._state.version.remote, self._state
        if tier is None:
            return
        rows = []
        for doc_id in doc_ids:
            key = key_of(scope.tenant, doc_id) if isinstance(doc_id, int) else None
            if key is None:
                assert state.texts is not None
                key = state.texts.first(scope.tenant, str(doc_id))
            place = state.find(key)
            if place is not None and place.tier is tier:
                rows.append(place.row)
        for at in range(0, len(rows), _FETCHED_TOGETHER):
            with suppress(RowGone):
                tier.fetch(rows[at : at + _FETCHED_TOGETHER])

    def _get(self, doc_id: AnyId, scope: Scope, *, cached: bool) -> Found | None:
        if self._state.may_expire:
            self._expiration.before_reading()
        if isinstance(doc_id, str):
            return self._get_text(doc_id, scope, cached=cached)
        key = key_of(scope.tenant, doc_id)
        documents = self.caches.documents if cached else None
        if documents is None:
            place = self._state.find(key)
            if place is None:
                return None
            return _found(doc_id, place.vector, place.metadata, place.tier.kind, scope, place.position)
        since = self.caches.commits.number_if_idle()
        held = documents.get(key)
        if held is not None:
            stored = StoredMetadata(held.public, held.reserved)
            return _found(doc_id, held.vector, stored, Tier.CACHE, scope, held.position)
        place = self._state.find(key)
        if place is None:
            return None
        vector, metadata, position = place.vector, place.metadata, place.position
        if since is not None:
            documents.keep(key, vector, metadata.public, metadata.reserved, since, position)
        return _found(doc_id, vector, metadata, place.tier.kind, scope, position)

    def _get_text(self, text: str, scope: Scope, *, cached: bool) -> Found | None:
        """The same where ids are text."""
        documents, state = self.caches.documents if cached else None, self._state
        since = None
        if documents is not None and state.texts is not None:
            since = self.caches.commits.number_if_idle()
            # At the first place of a chain or, if its first place has another text, nowhere.
            key = state.texts.first(scope.tenant, text)
            held = documents.get(key)
            if held is not None and text_id_in(held.public) == text:
                metadata = StoredMetadata(held.public, held.reserved)
                return _found(key_doc_id(key), held.vector, metadata, Tier.CACHE, scope, held.position)
        found = state.find_text(scope.tenant, text)
        if found is None:
            return None
        key, place, stored = found
        vector, position = place.vector, place.position
        if documents is not None and since is not None:
            documents.keep(key, vector, stored.public, stored.reserved, since, position)
        return _found(key_doc_id(key), vector, stored, place.tier.kind, scope, position)


def _found(
    doc_id: int, vector: Vector, metadata: TierMetadata, tier: Tier, scope: Scope, position: LSN
) -> Found | None:
    return Found(doc_id, vector, metadata.public, tier, position) if metadata.in_scope(scope) else None
