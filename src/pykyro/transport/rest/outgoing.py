"""Answers on their way out: in pieces, at the pace of their client, who may not stand still."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Protocol

from pykyro.model.limits import REST_PIECE_BYTES, REST_SILENT_S_MAX
from pykyro.service.admission import LARGE_BYTES
from pykyro.transport.rest.bodies import ClientGone
from pykyro.transport.rest.declare import JSON, NDJSON, InThread, Reply
from pykyro.transport.rest.problems import PROBLEM, Problem
from pykyro.transport.rest.render import json_bytes

_COMMON: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_NO_END: Final = 1 << 62
_BODILESS: Final = frozenset({204, 304})


class Connection(Protocol):
    """What is asked of a connection."""

    on_lost: Callable[[], object] | None
    """Told when the connection is lost."""
    takes_more: bool
    """Whether what is sent now need not wait for what was sent before."""
    head_bytes: int
    """Of the address and the headers of its request."""

    def abort(self) -> None:
        """End it, whatever is under way."""
        ...


class Outgoing:
    """The answer to one request."""

    def __init__(
        self,
        method: str,
        send: Callable[[dict[str, Any]], Awaitable[None]],
        connection: Connection | None,
    ) -> None:
        self._method = method
        self._send = send
        self._connection = connection
        self._started = False
        self.is_gone = False
        """Whether the connection is lost."""

    @contextlib.contextmanager
    def ending_with_its_client(self) -> Iterator[None]:
        """What runs within is cancelled when the connection is lost."""
        connection, task = self._connection, asyncio.current_task()
        if connection is None or task is None:
            yield
            return

        def gone() -> None:
            self.is_gone = True
            task.cancel()

        connection.on_lost = gone
        try:
            yield
        finally:
            connection.on_lost = None

    async def reply(self, reply: Reply, *, closes: bool, in_thread: InThread, is_large: bool = False) -> None:
        """Send an answer; `closes` ends the connection behind it. Raises ClientGone."""
        if reply.lines is not None:
            await self._lines(reply.lines, reply.headers, closes=closes)
            return
        if reply.content is None:
            await self._whole(int(reply.status), b"", "", reply.headers, closes=closes)
            return
        many = isinstance(reply.content, dict) and any(
            isinstance(one, list) for one in reply.content.values()
        )
        body = json_bytes(reply.content) if not many else await _large(reply.content, in_thread)
        await self._whole(int(reply.status), body, JSON, reply.headers, closes=closes)

    async def problem(self, problem: Problem, *, closes: bool) -> None:
        """Send an error. Raises ClientGone."""
        if self._started:
            if self._connection is not None:
                self._connection.abort()
            return
        await self._whole(
            problem.status, json_bytes(problem.content), PROBLEM, problem.all_headers, closes=closes
        )

    async def _whole(
        self, status: int, body: bytes, media_type: str, headers: Mapping[str, str], *, closes: bool
    ) -> None:
        told = self._headers(media_type, headers, closes=closes)
        if status not in _BODILESS:
            told.append((b"content-length", str(len(body)).encode()))
        await self._sent({"type": "http.response.start", "status": status, "headers": told})
        for start in range(0, len(body) or 1, REST_PIECE_BYTES):
            more = start + REST_PIECE_BYTES < len(body)
            piece = body if len(body) <= REST_PIECE_BYTES else body[start : start + REST_PIECE_BYTES]
            await self._sent({"type": "http.response.body", "body": piece, "more_body": more})

    async def _lines(self, lines: AsyncIterator[Any], headers: Mapping[str, str], *, closes: bool) -> None:
        told = self._headers(NDJSON, headers, closes=closes)
        await self._sent({"type": "http.response.start", "status": 200, "headers": told})
        gathered = bytearray()
        async for line in lines:
            gathered += json_bytes(line) + b"\n"
            if len(gathered) >= REST_PIECE_BYTES:
                await self._sent({"type": "http.response.body", "body": bytes(gathered), "more_body": True})
                gathered.clear()
        await self._sent({"type": "http.response.body", "body": bytes(gathered), "more_body": False})

    def _headers(
        self, media_type: str, headers: Mapping[str, str], *, closes: bool
    ) -> list[tuple[bytes, bytes]]:
        told = [*_COMMON, *((name.encode(), value.encode("latin-1")) for name, value in headers.items())]
        if media_type:
            told.append((b"content-type", media_type.encode()))
        if closes:
            told.append((b"connection", b"close"))
        return told

    async def _sent(self, event: dict[str, Any]) -> None:
        """Send as soon as the client has taken what came before. Raises ClientGone when it takes too long."""
        if self.is_gone:
            raise ClientGone
        self._started = True
        if self._connection is not None and self._connection.takes_more:
            await self._send(event)
            return
        try:
            async with asyncio.timeout(REST_SILENT_S_MAX):
                await self._send(event)
        except TimeoutError:
            if self._connection is not None:
                self._connection.abort()
            raise ClientGone from None


async def _large(content: dict[str, Any], in_thread: InThread) -> bytes:
    """The JSON of an answer with lists. Where it is large, in a thread that lets others go on between elements."""
    pieces: list[bytes] = []
    size = 0

    def rest_of(elements: Iterator[Any], until: int) -> None:
        nonlocal size
        for element in elements:
            pieces.append((b"," if pieces[-1] != b"[" else b"") + json_bytes(element))
            size += len(pieces[-1])
            if size > until:
                return

    for name, value in content.items():
        pieces.append((b"," if pieces else b"{") + json_bytes(name) + b":")
        if not isinstance(value, list):
            pieces.append(json_bytes(value))
            continue
        pieces.append(b"[")
        elements = iter(value)
        rest_of(elements, LARGE_BYTES)
        if size > LARGE_BYTES:
            await in_thread(partial(rest_of, elements, _NO_END))
        pieces.append(b"]")
    return b"".join(pieces) + b"}"
