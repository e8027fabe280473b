"""Searches on their way through the engine, from Search and BulkSearch alike."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from kyrodb.engine.engine import Engine
from kyrodb.engine.requests import SearchRequest, SearchResult, Tier
from kyrodb.errors import DeadlineExceeded, InvalidArgument, KyroError, ResourceExhausted
from kyrodb.limits import SEARCH_BATCH
from kyrodb.observe.counters import Counters
from kyrodb.server.batching import Batcher
from kyrodb.server.encode import search_response
from kyrodb.server.status import CallError


@dataclass(slots=True)
class Asked:
    """A search in the queue."""

    future: asyncio.Future[SearchResult]
    started_ns: int


class Searches:
    """One queue for all searches; more than `concurrent_max` at once are refused."""

    def __init__(self, engine: Engine, counters: Counters, *, concurrent_max: int, threads: int) -> None:
        self.concurrent_max = concurrent_max
        self._counters = counters
        self._batcher: Batcher[SearchRequest, SearchResult] = Batcher(
            "search",
            engine.search_many,
            threads=threads,
            batch_max=SEARCH_BATCH,
            waiting_max=concurrent_max,
            full="Query queue saturated: {waiting} in-flight queries (max: {max})",
        )

    def ask(self, request: SearchRequest) -> Asked:
        """Put a search in the queue. Raises CallError when there is no room."""
        try:
            return Asked(self._batcher.submit(request), time.perf_counter_ns())
        except ResourceExhausted as error:
            self._counters.query_failed()
            raise _failure(error) from error

    async def answer(self, asked: Asked) -> bytes:
        """The SearchResponse, as bytes. Raises CallError or InvalidArgument."""
        try:
            result = await asked.future
        except KyroError as error:
            if not isinstance(error, InvalidArgument):
                self._counters.query_failed()
            raise _failure(error) from error
        duration_ns = time.perf_counter_ns() - asked.started_ns
        self._counters.search(duration_ns)
        tiers = result.tiers
        self._counters.served(cache=Tier.CACHE in tiers, hot=Tier.HOT in tiers, cold=Tier.COLD in tiers)
        return search_response(result, duration_ns / 1e6)

    async def close(self) -> None:
        """Answer what is in the queue and stop."""
        await self._batcher.close()


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
