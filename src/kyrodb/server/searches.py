"""Searches on their way through the engine, from Search and BulkSearch alike.

A worker thread decodes, searches and encodes a whole batch. The event loop only carries bytes: were it to decode
while a worker searches, both would spend their time handing the interpreter lock back and forth.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from kyrodb.engine.engine import Engine
from kyrodb.engine.requests import SearchRequest, Tier
from kyrodb.errors import DeadlineExceeded, InvalidArgument, KyroError, ResourceExhausted
from kyrodb.interface.arguments import Schema
from kyrodb.limits import SEARCH_BATCH
from kyrodb.observe.counters import Counters
from kyrodb.server import decode
from kyrodb.server.access import Caller
from kyrodb.server.batching import Batcher
from kyrodb.server.call_log import note_plan
from kyrodb.server.encode import search_response
from kyrodb.server.status import CallError

_PATHS: Final = {
    frozenset[Tier](): "none",
    frozenset({Tier.CACHE}): "cache",
    frozenset({Tier.HOT}): "hot",
    frozenset({Tier.COLD}): "cold",
    frozenset({Tier.HOT, Tier.COLD}): "hot_and_cold",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A SearchRequest as it came, who sent it and when."""

    payload: bytes
    caller: Caller
    started_ns: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The SearchResponse, the tiers it came from and those left out, how it was found and how long it took."""

    response: bytes
    tiers: frozenset[Tier]
    left_out: frozenset[Tier]
    plan: str
    duration_ns: int


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
    ) -> None:
        self.concurrent_max = concurrent_max
        self._engine = engine
        self._schema = schema
        self._counters = counters
        self._batcher: Batcher[Asked, Answered] = Batcher(
            "search",
            self._answer_batch,
            threads=threads,
            batch_max=SEARCH_BATCH,
            waiting_max=concurrent_max,
            full="Query queue saturated: {waiting} in-flight queries (max: {max})",
            observe_wait=counters.queue_waits["search"].observe,
        )

    def ask(self, payload: bytes, caller: Caller) -> asyncio.Future[Answered]:
        """Put a search in the queue; `answer` is owed for it. Raises CallError when there is no room."""
        try:
            return self._batcher.submit(Asked(payload, caller, time.perf_counter_ns()))
        except ResourceExhausted as error:
            self._counters.query_failed()
            raise _failure(error) from error

    async def answer(self, asked: asyncio.Future[Answered], caller: Caller) -> bytes:
        """The SearchResponse, as bytes. Raises CallError or InvalidArgument."""
        try:
            answered = await asked
        except KyroError as error:
            if not isinstance(error, InvalidArgument):
                self._counters.query_failed()
            raise _failure(error) from error
        caller.usage.queries += 1
        self._counters.search(answered.duration_ns, _PATHS[answered.tiers])
        self._counters.searched_partly([tier.value for tier in answered.left_out])
        note_plan(answered.plan)
        tiers = answered.tiers
        self._counters.served(cache=Tier.CACHE in tiers, hot=Tier.HOT in tiers, cold=Tier.COLD in tiers)
        return answered.response

    async def close(self) -> None:
        """Answer what is in the queue and stop."""
        await self._batcher.close()

    def _answer_batch(self, batch: list[Asked]) -> list[Answered | KyroError]:
        requests = [self._decoded(asked) for asked in batch]
        results = iter(self._engine.search_many([one for one in requests if isinstance(one, SearchRequest)]))
        answers: list[Answered | KyroError] = []
        for asked, request in zip(batch, requests):
            result = next(results) if isinstance(request, SearchRequest) else request
            if isinstance(result, KyroError):
                answers.append(result)
                continue
            duration_ns = time.perf_counter_ns() - asked.started_ns
            response = search_response(
                result,
                duration_ns / 1e6,
                id_mask=asked.caller.id_mask,
                # It tells how many rows there are, other tenants' too.
                with_plan=asked.caller.is_admin,
            )
            answers.append(Answered(response, result.tiers, result.left_out, result.plan, duration_ns))
        return answers

    def _decoded(self, asked: Asked) -> SearchRequest | KyroError:
        try:
            return decode.search(asked.payload, self._schema, asked.caller)
        except InvalidArgument as fault:
            return fault


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
