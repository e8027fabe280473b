"""BulkSearch: requests are read ahead and put in the queue of searches, answers keep the order of the requests.

What has come in while a worker searched is searched together (service/batching.py), so nothing is gathered here, and
a client that waits for each answer is not kept waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Final

from pykyro.model.errors import CallError, KyroError, ResourceExhausted
from pykyro.model.limits import STREAM_AHEAD_BYTES_MAX, STREAM_MESSAGES_MAX, STREAM_SEARCHES_MAX
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.access import Caller
from pykyro.service.call_log import RUNNING, CallLog
from pykyro.service.open_streams import OpenStream
from pykyro.service.search_forms import Answered
from pykyro.service.searches import Searches
from pykyro.telemetry.counters import Counters
from pykyro.transport.grpc.decode_options import READ_OPTIONS_MARK
from pykyro.transport.grpc.search_codec import wants_inline_errors

_AT_FIRST: Final = 8
"""Searches under way before it is known how large their answers are."""


class _ReadAhead:
    """Searches of one stream that are under way, in order, and how its requests ended."""

    def __init__(self) -> None:
        self.searches: deque[tuple[bytes, asyncio.Future[Answered]]] = deque()
        """Of each the request and its answer to come."""
        self._largest = STREAM_AHEAD_BYTES_MAX // _AT_FIRST
        """Bytes of the largest search so far, request and answer."""
        self.ended = False
        self.error: Exception | None = None
        self._changed = asyncio.Event()

    def add(self, payload: bytes, answer: asyncio.Future[Answered]) -> None:
        """The next search."""
        self.searches.append((payload, answer))
        self.changed()

    def drop_first(self) -> None:
        """The first was answered, and its answer has been taken."""
        payload, answer = self.searches.popleft()
        size = len(payload)
        if not answer.cancelled() and answer.exception() is None:
            size += len(answer.result().response)
        # What came of the others is known as little as what came of this one was: small ones make room for more.
        self._largest = max(size, self._largest // 2)
        self.changed()

    def is_full(self, searches_max: int) -> bool:
        """Whether no more may be read before one is taken: any answer may be as large as the largest so far."""
        return len(self.searches) >= min(
            searches_max, max(1, STREAM_AHEAD_BYTES_MAX // max(1, self._largest))
        )

    def changed(self) -> None:
        """Something was added, answered or ended."""
        self._changed.set()

    async def change(self) -> None:
        """Return when something has."""
        self._changed.clear()
        await self._changed.wait()


class SearchStreams:
    """Serves BulkSearch."""

    def __init__(self, searches: Searches, counters: Counters, calls: CallLog) -> None:
        self._searches = searches
        self._counters = counters
        self._calls = calls
        # Alone, a stream must not be refused for what it has under way itself.
        self._ahead_max = min(STREAM_SEARCHES_MAX, searches.concurrent_max)

    async def bulk_search(self, messages: OpenStream, caller: Caller) -> AsyncGenerator[bytes]:
        ahead = _ReadAhead()
        messages.is_idle = lambda: not ahead.searches
        reader = asyncio.create_task(self._read(messages, caller, ahead))
        try:
            while True:
                if ahead.searches:
                    payload, answer = ahead.searches[0]
                    try:
                        outcome: Answered | KyroError = await answer
                    except KyroError as error:
                        outcome = error
                    yield self._response(payload, outcome, caller)
                    ahead.drop_first()
                elif ahead.ended:
                    if ahead.error is not None:
                        raise ahead.error
                    return
                else:
                    await ahead.change()
        finally:
            reader.cancel()
            for _, answer in ahead.searches:
                if not answer.cancel() and not answer.cancelled():
                    answer.exception()  # looked at, so that asyncio does not report it as lost

    async def _read(self, messages: OpenStream, caller: Caller, ahead: _ReadAhead) -> None:
        """Ask every request of the stream, in order; the first that comes too fast or finds no room ends it."""
        received = 0
        try:
            async for payload in messages:
                received += 1
                if received > STREAM_MESSAGES_MAX:
                    raise ResourceExhausted(f"bulk_search batch size exceeds maximum {STREAM_MESSAGES_MAX}")
                messages.check(payload)
                caller.spend()
                while ahead.is_full(self._ahead_max):
                    await ahead.change()
                if READ_OPTIONS_MARK in payload:
                    await self._searches.until_fresh(payload)
                ahead.add(payload, self._searches.ask(payload, caller))
        except Exception as error:
            ahead.error = error
        ahead.ended = True
        ahead.changed()

    def _response(self, payload: bytes, outcome: Answered | KyroError, caller: Caller) -> bytes:
        try:
            response = self._searches.response(outcome, caller, alone=False)
        except (KyroError, CallError) as error:
            if not wants_inline_errors(payload):
                raise
            self._counters.error(error.cause if isinstance(error, CallError) else error)
            return pb.SearchResponse(error=str(error)).SerializeToString()
        assert isinstance(outcome, Answered)
        self._calls.ended(RUNNING.get(), "OK", outcome.duration_ns)
        return response
