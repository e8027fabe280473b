"""Searches on their way through the engine, from Search and BulkSearch alike.

A worker thread decodes, searches and encodes a whole batch. The event loop only carries bytes: were it to decode
while a worker searches, both would spend their time handing the interpreter lock back and forth. Only when no worker
has anything to do, and questions do repeat, the loop looks into the query cache itself: the way to a worker and back
takes longer than an answer that is there already.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from pykyro.engine.engine import Engine
from pykyro.engine.read_path import Pending
from pykyro.model.arguments import Schema
from pykyro.model.errors import DeadlineExceeded, InvalidArgument, KyroError, ResourceExhausted
from pykyro.model.limits import SEARCH_BATCH
from pykyro.model.requests import SearchRequest, SearchResult, Stage, Tier
from pykyro.service.access import Caller
from pykyro.service.batching import Batcher
from pykyro.service.call_log import note_plan
from pykyro.service.tracing import Tracing
from pykyro.telemetry.counters import Counters
from pykyro.transport.grpc import decode
from pykyro.transport.grpc.encode import search_response
from pykyro.transport.grpc.status import CallError

_PATHS: Final = {
    frozenset[Tier](): "none",
    frozenset({Tier.CACHE}): "cache",
    frozenset({Tier.HOT}): "hot",
    frozenset({Tier.COLD}): "cold",
    frozenset({Tier.HOT, Tier.COLD}): "hot_and_cold",
}


_PLAIN_BYTES_MAX: Final = 256
"""Of a request besides its vector: what is larger holds a filter, and takes long to decode."""

Search: TypeAlias = bytes | SearchRequest | Pending
"""A SearchRequest as far as it has come: as it came in, decoded, or not found in the query cache."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Searches that came together, who sent them and when."""

    searches: Sequence[Search]
    caller: Caller
    started_ns: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The SearchResponse, the tiers it came from and those left out, how it was found and how long it took; with
    tracing also the stages of that."""

    response: bytes
    tiers: frozenset[Tier]
    left_out: frozenset[Tier]
    plan: str
    duration_ns: int
    stages: Sequence[Stage] = ()


Outcomes: TypeAlias = Sequence[Answered | KyroError]
"""Of searches that were asked together, in their order."""


class Searches:
    """One queue for all searches; more than `concurrent_max` at once are refused."""

    def __init__(
        self,
        engine: Engine,
        schema: Schema,
        counters: Counters,
        *,
        concurrent_max: int,
        threads: int,
        tracing: Tracing | None = None,
    ) -> None:
        self.concurrent_max = concurrent_max
        self._tracing = tracing
        self._engine = engine
        self._schema = schema
        self._counters = counters
        self._batcher: Batcher[Asked, Outcomes] = Batcher(
            "search",
            self._answer_batch,
            threads=threads,
            batch_max=SEARCH_BATCH,
            weight_max=SEARCH_BATCH,
            waiting_max=concurrent_max,
            full="Query queue saturated: {waiting} in-flight queries (max: {max})",
            observe_wait=counters.queue_waits["search"].observe,
        )

    async def answer(self, payload: bytes, caller: Caller) -> bytes:
        """The SearchResponse, as bytes. Raises CallError or InvalidArgument."""
        started_ns = time.perf_counter_ns()
        begun = self._begin_here(payload, caller, started_ns)
        if isinstance(begun, (Answered, KyroError)):
            outcome = begun
        else:
            (outcome,) = await self.outcomes((begun,), self.ask((begun,), caller, started_ns))
        if self._tracing is not None and isinstance(outcome, Answered):
            self._tracing.note(outcome.stages)
        return self.response(outcome, caller, alone=True)

    def ask(
        self, searches: Sequence[Search], caller: Caller, started_ns: int | None = None
    ) -> asyncio.Future[Outcomes]:
        """Put searches in the queue, to be answered together; `started_ns` is when they came in, if not just now.
        Raises CallError when there is no room."""
        asked = Asked(searches, caller, started_ns or time.perf_counter_ns())
        try:
            return self._batcher.submit(asked, weight=len(searches), requests=len(searches))
        except ResourceExhausted as error:
            self._counters.query_failed()
            raise _failure(error) from error

    async def outcomes(self, searches: Sequence[Search], asked: asyncio.Future[Outcomes]) -> Outcomes:
        """What became of each of the searches that were asked together."""
        try:
            return await asked
        except KyroError as error:
            return [error] * len(searches)

    def response(self, outcome: Answered | KyroError, caller: Caller, *, alone: bool) -> bytes:
        """Count a search, `alone` unless it is one of a stream; the SearchResponse, as bytes. Raises CallError or
        InvalidArgument."""
        if isinstance(outcome, KyroError):
            if not isinstance(outcome, InvalidArgument):
                self._counters.query_failed()
            raise _failure(outcome) from outcome
        caller.usage.queries += 1
        self._counters.search(outcome.duration_ns, _PATHS[outcome.tiers], alone=alone)
        self._counters.searched_partly([tier.value for tier in outcome.left_out])
        note_plan(outcome.plan)
        tiers = outcome.tiers
        self._counters.served(cache=Tier.CACHE in tiers, hot=Tier.HOT in tiers, cold=Tier.COLD in tiers)
        return outcome.response

    async def close(self) -> None:
        """Answer what is in the queue and stop."""
        await self._batcher.close()

    def _begin_here(self, payload: bytes, caller: Caller, started_ns: int) -> Search | Answered | KyroError:
        """On the event loop: what becomes of a search without a worker, or how far it has come."""
        if (
            self._batcher.waiting
            or not self._engine.expects_repeats
            or len(payload) > 4 * self._schema.dimension + _PLAIN_BYTES_MAX
        ):
            return payload
        asked = Asked((), caller, started_ns)
        times = None if self._tracing is None else _Times()
        try:
            request = decode.search(payload, self._schema, caller)
        except InvalidArgument as fault:
            return fault
        # To count what a filter, a tenant or a namespace leaves may take long.
        if request.filter is not None or request.scope.constraints:
            return request
        if times is not None:
            times.decoded_us = _now_us()
        (begun,) = self._engine.begin([request])
        if isinstance(begun, Pending):
            return begun
        if times is not None:
            times.searched_us = _now_us()
        return _answered(begun, asked, times)

    def _answer_batch(self, batch: list[Asked]) -> list[Outcomes]:
        times = None if self._tracing is None else _Times()
        requests = self._decoded(batch)
        if times is not None:
            times.decoded_us = _now_us()
        begun = iter(self._engine.begin([one for one in requests if isinstance(one, SearchRequest)]))
        results = iter(
            self._engine.finish([next(begun) if isinstance(one, SearchRequest) else one for one in requests])
        )
        if times is not None:
            times.searched_us = _now_us()
        answers: list[Outcomes] = []
        for asked in batch:
            outcomes = [
                result if isinstance(result, KyroError) else _answered(result, asked, times)
                for result in islice(results, len(asked.searches))
            ]
            answers.append(outcomes)
        return answers

    def _decoded(self, batch: list[Asked]) -> Sequence[SearchRequest | Pending | KyroError]:
        searches = [(search, asked.caller) for asked in batch for search in asked.searches]
        payloads = [(search, caller) for search, caller in searches if isinstance(search, bytes)]
        decoded = iter(decode.searches(payloads, self._schema))
        return [next(decoded) if isinstance(search, bytes) else search for search, _ in searches]


def _now_us() -> int:
    return time.time_ns() // 1000


class _Times:
    """When a batch was taken, was decoded, was searched for: microseconds since the Unix epoch."""

    __slots__ = ("decoded_us", "searched_us", "taken_us")

    def __init__(self) -> None:
        self.taken_us = self.decoded_us = self.searched_us = _now_us()

    def stages(self, asked: Asked, result: SearchResult) -> list[Stage]:
        """Those of one of the batch, encoded just now; what is within a stage comes behind it."""
        now_us = _now_us()
        asked_us = now_us - (time.perf_counter_ns() - asked.started_ns) // 1000
        return [
            Stage("queue", asked_us, self.taken_us),
            Stage("decode", self.taken_us, self.decoded_us),
            Stage("search", self.decoded_us, self.searched_us),
            *result.stages,
            Stage("encode", self.searched_us, now_us),
        ]


def _answered(result: SearchResult, asked: Asked, times: _Times | None) -> Answered:
    duration_ns = time.perf_counter_ns() - asked.started_ns
    response = search_response(
        result,
        duration_ns / 1e6,
        # It tells how many rows there are, other tenants' too.
        with_plan=asked.caller.is_admin,
    )
    stages = () if times is None else times.stages(asked, result)
    return Answered(response, result.tiers, result.left_out, result.plan, duration_ns, stages)


def _failure(error: KyroError) -> Exception:
    match error:
        case InvalidArgument():
            return error
        case DeadlineExceeded():
            return CallError("Search timed out", error)
        case ResourceExhausted():
            return CallError("Search rejected", error)
        case _:
            return CallError("Search failed", error)
