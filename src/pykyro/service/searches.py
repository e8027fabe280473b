"""Searches on their way to the engine, from Search and BulkSearch alike: one queue in which they gather.

A worker thread decodes, searches and encodes all that has gathered. The event loop only carries bytes: were it to
decode while a worker searches, both would spend their time handing the interpreter lock back and forth. Only when no
worker has anything to do, and queries do repeat, the loop looks into the query cache itself: the way to a worker and
back takes longer than an answer that is there already.

What a search costs is known before it runs. Those that take long (filters of thousands of conditions, exact scans of
many rows) go to a queue and a thread of their own, and give way to the others between two steps, so that a search of
a millisecond does not wait for one of a second.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from pykyro.engine.engine import Engine
from pykyro.engine.read_path import Search
from pykyro.model.errors import InvalidArgument, KyroError, ResourceExhausted
from pykyro.model.limits import LONG_SEARCH_BATCH, LONG_SEARCH_US, SEARCH_BATCH
from pykyro.model.requests import SearchRequest, SearchResult, Tier
from pykyro.service.access import Caller
from pykyro.service.admission import Admission
from pykyro.service.batching import Batcher, PassedOn
from pykyro.service.call_log import RUNNING
from pykyro.service.lone_calls import LoneCalls
from pykyro.service.search_forms import Answered, SearchCodec, failure
from pykyro.service.search_times import SearchTimes, now_us
from pykyro.service.tracing import Tracing
from pykyro.telemetry.counters import Counters

_LONG_FILTER_BYTES: Final = 16 << 10
"""A filter of so many bytes takes milliseconds to decode."""
_BYTES_LIKE_A_SEARCH: Final = 4096
"""So many bytes of a request take as long as a plain search."""
_FULL: Final = "Query queue saturated: {waiting} in-flight queries (max: {max})"
_THREADS_ELSEWHERE: Final = 8
_SLICE_S: Final = 0.002
_REST_S_MAX: Final = 0.02

_PATHS: Final = {
    frozenset[Tier](): "none",
    frozenset({Tier.CACHE}): "cache",
    frozenset({Tier.HOT}): "hot",
    frozenset({Tier.COLD}): "cold",
    frozenset({Tier.HOT, Tier.COLD}): "hot_and_cold",
}


@dataclass(slots=True)
class Asked:
    """A search in the queue: what came in, from whom and when, and how far it has come."""

    payload: bytes
    caller: Caller
    started_ns: int
    of: Searches
    """Those of its collection."""
    begun: SearchRequest | Search | None = None
    weighed: bool = False
    is_long: bool = False


Outcome: TypeAlias = Answered | KyroError | PassedOn[Asked, Answered]


class Searches:
    """One queue for all searches; more than `concurrent_max` at once are refused."""

    def __init__(
        self,
        engine: Engine,
        codec: SearchCodec,
        counters: Counters,
        *,
        concurrent_max: int,
        threads: int,
        admission: Admission,
        tracing: Tracing | None = None,
    ) -> None:
        self.concurrent_max = concurrent_max
        self._tracing = tracing
        self._engine = engine
        self._reads = engine.reads
        self._codec = codec
        self._counters = counters
        self._room_for_answer = admission.room_for_answer
        engine.reads.room_for_answer = admission.room_for_answer
        self._long_from_bytes = codec.plain_bytes_max + _LONG_FILTER_BYTES
        observe_wait = counters.queue_waits["search"].observe
        self._queue: Batcher[Asked, Answered] = Batcher(
            "search",
            self._answer_batch,
            threads=threads,
            batch_max=SEARCH_BATCH,
            waiting_max=concurrent_max,
            full=_FULL,
            observe_wait=observe_wait,
        )
        self._long_queue: Batcher[Asked, Answered] = Batcher(
            "long-search",
            self._answer_long,
            threads=1,
            batch_max=LONG_SEARCH_BATCH,
            waiting_max=concurrent_max,
            full=_FULL,
            observe_wait=observe_wait,
        )
        self._pass_on: Final = PassedOn(self._long_queue)
        self._lone_calls: Final = LoneCalls(lambda: counters.calls_in_flight)
        self._slice_began_s = 0.0
        self._elsewhere: list[Batcher[Asked, Answered]] = []
        self._own_queue = self._queue_elsewhere(engine)
        """Where searches wait that ask another machine; None for those that do not."""
        self._serves_others = False
        """Whether searches of other collections may be in the queue too."""

    def of_collection(self, engine: Engine, codec: SearchCodec) -> Searches:
        """The searches of another collection, in the same queues and threads, by turns with all others."""
        self._serves_others = True
        other = copy.copy(self)
        other._engine, other._reads, other._codec = engine, engine.reads, codec
        other._own_queue = self._queue_elsewhere(engine)
        other._serves_others = False
        other._long_from_bytes = codec.plain_bytes_max + _LONG_FILTER_BYTES
        engine.reads.room_for_answer = self._room_for_answer
        return other

    def _queue_elsewhere(self, engine: Engine) -> Batcher[Asked, Answered] | None:
        """One queue for all collections that ask another machine: their threads wait most of the time, and nobody
        else is to wait with them."""
        if not engine.asks_elsewhere:
            return None
        if not self._elsewhere:
            self._elsewhere.append(
                Batcher(
                    "search-elsewhere",
                    self._answer_batch,
                    threads=_THREADS_ELSEWHERE,
                    batch_max=1,
                    waiting_max=self.concurrent_max,
                    full=_FULL,
                    observe_wait=self._counters.queue_waits["search"].observe,
                )
            )
        return self._elsewhere[0]

    async def answer(self, payload: bytes, caller: Caller) -> bytes:
        """The response to one search, as bytes. Raises CallError or InvalidArgument."""
        asked = Asked(payload, caller, time.perf_counter_ns(), self)
        outcome: Answered | KyroError | None = None
        self._counters.calls_in_flight += 1
        try:
            if self._codec.freshness_mark in payload:
                await self.until_fresh(payload)
            if (
                not self._queue.waiting
                and len(payload) <= self._codec.plain_bytes_max
                and self._reads.expects_cached
            ):
                outcome = self._look_up(asked)
            if (
                outcome is None
                and self._own_queue is None
                and len(payload) <= self._codec.plain_bytes_max
                and await self._lone_calls.may_answer()
                and not self._queue.waiting
                and not self._reads.expires_first
            ):
                outcome = self._answer_alone(asked)
            if outcome is None:
                outcome = await self._submit(asked)
        except KyroError as error:
            outcome = error
        finally:
            self._counters.calls_in_flight -= 1
        if self._tracing is not None and isinstance(outcome, Answered):
            self._tracing.note(outcome.stages)
        return self.response(outcome, caller, alone=True)

    async def until_fresh(self, payload: bytes) -> None:
        """Wait for the position that a search wants to see. Raises FailedPrecondition, InvalidArgument."""
        if self._codec.freshness_mark in payload:
            await self._engine.until_fresh(self._codec.freshness(payload))

    def ask(self, payload: bytes, caller: Caller) -> asyncio.Future[Answered]:
        """Put a search of a stream in the queue. Raises CallError when there is no room."""
        try:
            return self._submit(Asked(payload, caller, time.perf_counter_ns(), self))
        except ResourceExhausted as error:
            self._counters.query_failed()
            raise failure(error) from error

    def _submit(self, asked: Asked) -> asyncio.Future[Answered]:
        size = len(asked.payload)
        queue = self._own_queue or (self._queue if size <= self._long_from_bytes else self._long_queue)
        return queue.submit(asked, share=asked.caller.share, cost=1 + size / _BYTES_LIKE_A_SEARCH)

    def _answer_alone(self, asked: Asked) -> Answered | KyroError | None:
        """On the event loop: the outcome, None for what may take long, which a worker answers. Raises
        InvalidArgument."""
        began_s = time.monotonic()
        if asked.begun is None:
            asked.begun = self._codec.decode(asked.payload, asked.caller)
        if isinstance(asked.begun, SearchRequest) and _may_take_long(asked.begun):
            return None
        (outcome,) = self._answer_batch([asked])
        self._lone_calls.took(began_s)
        return None if isinstance(outcome, PassedOn) else outcome

    def response(self, outcome: Answered | KyroError, caller: Caller, *, alone: bool) -> bytes:
        """Count a search, `alone` unless it is one of a stream; the response, as bytes. Raises CallError or
        InvalidArgument."""
        if isinstance(outcome, KyroError):
            if not isinstance(outcome, InvalidArgument):
                self._counters.query_failed()
            raise failure(outcome) from outcome
        caller.usage.queries += 1
        left_out = [tier.value for tier in outcome.left_out] if outcome.left_out else ()
        self._counters.search(outcome.duration_ns, _PATHS[outcome.tiers], alone=alone, left_out=left_out)
        if outcome.legs:
            self._counters.word_searches[outcome.legs].observe(outcome.duration_ns / 1e9)
        call = RUNNING.get()
        if call is not None:
            call.plan = outcome.plan
        return outcome.response

    async def close(self) -> None:
        """Answer what is in the queue and stop."""
        await self._queue.close()
        await self._long_queue.close()
        for queue in self._elsewhere:
            await queue.close()

    def _look_up(self, asked: Asked) -> Answered | None:
        """On the event loop: the answer, if it needs no worker; notes how far the search has come. Raises
        InvalidArgument."""
        times = None if self._tracing is None else SearchTimes()
        asked.begun = request = self._codec.decode(asked.payload, asked.caller)
        # To count what a filter, a tenant or a namespace leaves may take long.
        if request.filter is not None or request.scope.tenant is not None or request.scope.namespace:
            return None
        if times is not None:
            times.decoded_us = now_us()
        (search,) = self._reads.lookup([request])
        asked.begun = search
        if search.result is None:  # as always when words are sought
            return None
        if times is not None:
            times.searched_us = now_us()
        return self._encoded(search.result, asked, times)

    def _answer_batch(self, batch: list[Asked]) -> list[Outcome]:
        """In a worker thread: what becomes of each."""
        if self._serves_others and any(asked.of is not self for asked in batch):
            return _by_collection(batch, lambda of, those: of._answer_batch(those))
        times = None if self._tracing is None else SearchTimes()
        outcomes: list[Outcome | None] = [None] * len(batch)
        if len(batch) > 1 or batch[0].begun is None:
            self._decode(batch, outcomes)
        if times is not None:
            times.decoded_us = now_us()
        places, searches, requests = [], [], []
        for at, asked in enumerate(batch):
            if isinstance(asked.begun, Search):
                places.append(at)
                searches.append(asked.begun)
        for at, asked in enumerate(batch):
            begun = asked.begun
            if isinstance(begun, SearchRequest) and outcomes[at] is None:
                if _may_take_long(begun) and self._is_long(asked, begun, outcomes, at):
                    continue
                places.append(at)
                requests.append(begun)
        if requests:
            searches += self._reads.lookup(requests)
        self._search(batch, places, searches, outcomes, times)
        return cast(list[Outcome], outcomes)

    def _is_long(self, asked: Asked, request: SearchRequest, outcomes: list[Outcome | None], at: int) -> bool:
        """Whether a search is passed on because of what it costs, or refused; then it has its outcome."""
        if not asked.weighed:
            try:
                takes_long = self._reads.costs.search_us(request) > LONG_SEARCH_US
                asked.is_long = takes_long and self._own_queue is None
            except KyroError as error:
                outcomes[at] = error
                return True
            asked.weighed = True
        if asked.is_long:
            outcomes[at] = self._pass_on
        return asked.is_long

    def _answer_long(self, batch: list[Asked]) -> list[Outcome]:
        """In the thread for searches that take long: what becomes of each."""
        if self._serves_others and any(asked.of is not self for asked in batch):
            return _by_collection(batch, lambda of, those: of._answer_long(those))
        times = None if self._tracing is None else SearchTimes()
        outcomes: list[Outcome | None] = [None] * len(batch)
        self._decode(batch, outcomes)
        if times is not None:
            times.decoded_us = now_us()
        places, searches = [], []
        self._slice_began_s = time.monotonic()
        for at, asked in enumerate(batch):
            self._give_way()
            if outcomes[at] is None and isinstance(asked.begun, SearchRequest):
                try:
                    if not asked.weighed:
                        self._reads.costs.search_us(asked.begun)
                except KyroError as error:
                    outcomes[at] = error
                    continue
                (search,) = self._reads.lookup([asked.begun])
                search.pause = self._give_way
                places.append(at)
                searches.append(search)
        self._search(batch, places, searches, outcomes, times)
        return cast(list[Outcome], outcomes)

    def _give_way(self) -> None:
        """While short searches wait, a long one rests for as long as it worked."""
        now_s = time.monotonic()
        worked_s = now_s - self._slice_began_s
        if worked_s > _SLICE_S:
            if self._queue.waiting:
                time.sleep(min(worked_s, _REST_S_MAX))
            self._slice_began_s = time.monotonic()

    def _search(
        self,
        batch: list[Asked],
        places: list[int],
        searches: list[Search],
        outcomes: list[Outcome | None],
        times: SearchTimes | None,
    ) -> None:
        results = self._reads.search(searches)
        if times is not None:
            times.searched_us = now_us()
        for at, result in zip(places, results, strict=True):
            if isinstance(result, KyroError):
                outcomes[at] = result
                continue
            try:
                outcomes[at] = self._encoded(result, batch[at], times)
            except ResourceExhausted as error:
                outcomes[at] = error

    def _decode(self, batch: list[Asked], outcomes: list[Outcome | None]) -> None:
        """Decode what is not decoded yet; what is refused has its outcome with that."""
        places = [at for at, asked in enumerate(batch) if asked.begun is None]
        payloads = [(batch[at].payload, batch[at].caller) for at in places]
        for at, decoded in zip(places, self._codec.decode_many(payloads), strict=True):
            if isinstance(decoded, InvalidArgument):
                outcomes[at] = decoded
            else:
                batch[at].begun = decoded

    def _encoded(self, result: SearchResult, asked: Asked, times: SearchTimes | None) -> Answered:
        held = result.held
        if result.cached is not None:
            size = 0
            for hit in result.hits:
                size += len(hit.metadata_wire) + (0 if hit.vector is None else hit.vector.nbytes)
            held = self._room_for_answer(size, len(result.hits))
        duration_ns = time.perf_counter_ns() - asked.started_ns
        # A plan tells how many rows there are, other tenants' too.
        response = self._codec.encode(result, duration_ns / 1e6, with_plan=asked.caller.is_admin)
        stages = () if times is None else times.stages(asked.started_ns, result)
        left_out, plan = result.left_out, result.plan
        return Answered(response, result.tiers, left_out, plan, duration_ns, stages, held, result.legs)


def _by_collection(
    batch: list[Asked], answer: Callable[[Searches, list[Asked]], list[Outcome]]
) -> list[Outcome]:
    """What becomes of each of a batch, those of one collection answered together. Where some cannot be answered at
    all, the others are."""
    outcomes: list[Outcome | None] = [None] * len(batch)
    places: dict[Searches, list[int]] = {}
    for at, asked in enumerate(batch):
        places.setdefault(asked.of, []).append(at)
    for of, those in places.items():
        for at, outcome in zip(those, answer(of, [batch[at] for at in those]), strict=True):
            outcomes[at] = outcome
    return cast(list[Outcome], outcomes)


def _may_take_long(request: SearchRequest) -> bool:
    return request.filter is not None or request.exact or request.legs is not None
