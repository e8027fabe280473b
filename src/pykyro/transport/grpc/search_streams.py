"""BulkSearch: requests are read ahead and asked in groups, answers keep the order of the requests.

While a group is searched, the next requests are read and the last answers are written. A group is what has come in
the meantime, so a client that waits for each answer is not kept waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from pykyro.model.errors import KyroError, ResourceExhausted
from pykyro.model.limits import STREAM_MESSAGES_MAX, STREAM_SEARCHES_MAX
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.access import Caller
from pykyro.service.call_log import RUNNING, CallLog
from pykyro.service.open_streams import OpenStream
from pykyro.service.searches import Answered, Outcomes, Searches
from pykyro.telemetry.counters import Counters
from pykyro.transport.grpc import decode
from pykyro.transport.grpc.status import CallError

_GROUPS_UNDER_WAY: Final = 2
"""One that is searched and one that waits for it to end."""
_GROUP_MAX: Final = 32
assert _GROUPS_UNDER_WAY * _GROUP_MAX <= STREAM_SEARCHES_MAX


class _ReadAhead:
    """Requests that were read and not asked yet, and how the stream ended."""

    def __init__(self) -> None:
        self.payloads: deque[bytes] = deque()
        self.ended = False
        self.error: Exception | None = None
        self._changed = asyncio.Event()

    async def put(self, payload: bytes) -> None:
        """Add a request when there is room; nothing any more once the stream has ended."""
        while len(self.payloads) >= STREAM_SEARCHES_MAX and not self.ended:
            await self.change()
        if not self.ended:
            self.payloads.append(payload)
            self._changed.set()

    def take(self, count_max: int) -> list[bytes]:
        taken = [self.payloads.popleft() for _ in range(min(count_max, len(self.payloads)))]
        self._changed.set()
        return taken

    def end(self, error: Exception | None = None) -> None:
        """Nothing comes any more; with `error`, because of it."""
        self.ended, self.error = True, self.error or error
        self._changed.set()

    async def change(self) -> None:
        """Return when something was put, taken or ended."""
        self._changed.clear()
        await self._changed.wait()


@dataclass(frozen=True, slots=True)
class _Group:
    """Searches that were asked together."""

    payloads: list[bytes]
    asked: asyncio.Future[Outcomes]


class SearchStreams:
    """Serves BulkSearch."""

    def __init__(self, searches: Searches, counters: Counters, calls: CallLog) -> None:
        self._searches = searches
        self._counters = counters
        self._calls = calls
        # Alone, a stream must not be refused for what it has under way itself.
        self._group_max = min(_GROUP_MAX, max(1, searches.concurrent_max // _GROUPS_UNDER_WAY))
        self._groups_max = min(_GROUPS_UNDER_WAY, searches.concurrent_max)

    async def bulk_search(self, messages: OpenStream, caller: Caller) -> AsyncIterator[bytes]:
        ahead = _ReadAhead()
        answering = False
        messages.is_idle = lambda: not answering and not in_flight and not ahead.payloads
        reader = asyncio.create_task(self._read(messages, caller, ahead))
        in_flight: deque[_Group] = deque()
        try:
            while True:
                self._ask(ahead, in_flight, caller)
                if in_flight:
                    answering = True
                    group = in_flight[0]
                    outcomes = await self._searches.outcomes(group.payloads, group.asked)
                    in_flight.popleft()
                    self._ask(
                        ahead, in_flight, caller
                    )  # so that it is searched while these answers are written
                    for payload, outcome in zip(group.payloads, outcomes, strict=True):
                        yield self._response(payload, outcome, caller)
                    answering = False
                elif ahead.ended:
                    if ahead.error is not None:
                        raise ahead.error
                    return
                else:
                    await ahead.change()
        finally:
            reader.cancel()
            for group in in_flight:
                group.asked.cancel()

    async def _read(self, messages: AsyncIterator[bytes], caller: Caller, ahead: _ReadAhead) -> None:
        """Every request of the stream, in order; the first that comes too fast ends it."""
        received = 0
        try:
            async for payload in messages:
                received += 1
                if received > STREAM_MESSAGES_MAX:
                    raise ResourceExhausted(f"bulk_search batch size exceeds maximum {STREAM_MESSAGES_MAX}")
                caller.spend()
                await ahead.put(payload)
        except Exception as error:
            ahead.end(error)
        else:
            ahead.end()

    def _ask(self, ahead: _ReadAhead, in_flight: deque[_Group], caller: Caller) -> None:
        """Ask what was read, as far as there may be more under way; what finds no room ends the stream."""
        while ahead.payloads and len(in_flight) < self._groups_max:
            payloads = ahead.take(self._group_max)
            try:
                in_flight.append(_Group(payloads, self._searches.ask(payloads, caller)))
            except CallError as error:
                ahead.payloads.clear()
                ahead.end(error)

    def _response(self, payload: bytes, outcome: Answered | KyroError, caller: Caller) -> bytes:
        try:
            response = self._searches.response(outcome, caller, alone=False)
        except (KyroError, CallError) as error:
            if not decode.wants_inline_errors(payload):
                raise
            self._counters.error(error.cause if isinstance(error, CallError) else error)
            return pb.SearchResponse(error=str(error)).SerializeToString()
        assert isinstance(outcome, Answered)
        self._calls.ended(RUNNING.get(), "OK", outcome.duration_ns)
        return response
