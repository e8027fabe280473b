"""One call: what a handler may ask of it, and how its answers and its end are sent.

The context grpcio gives to handlers, as far as ours use it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NoReturn, TypeAlias

import grpc

from pykyro.model.limits import HEADERS_BYTES_MAX
from pykyro.transport.grpc.h2.wire import (
    ACCEPTED_ENCODINGS,
    BODY,
    CONTENT_TYPE,
    NO_MORE_BODY,
    OK,
    START,
    Event,
    Metadata,
    metadata_of,
    size_of,
    status_trailers,
    timeout_s,
)

Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]

_PIECE_BYTES: Final = 256 << 10
"""Larger answers are sent in pieces, between which those of other calls get their turn."""
_PORT_BITS: Final = 16


class CallEnded(Exception):
    """The call has its status; nothing is to be said any more."""


class Refused(Exception):
    """A call that is not begun."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return self.text


class Call:
    """Used on the event loop, by the task that serves the call."""

    __slots__ = (
        "_peer",
        "_receive",
        "_scope",
        "_send",
        "_timer",
        "encoding",
        "ended",
        "ends_s",
        "expired",
        "started",
        "write",
    )

    def __init__(self, scope: Event, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._peer = ""
        self._timer: asyncio.TimerHandle | None = None
        self.encoding = b"identity"
        """What its compressed messages are in."""
        self.ends_s: float | None = None
        """Its deadline, on time.monotonic."""
        self.started = False
        """Whether something of the answer was sent."""
        self.ended = False
        """Whether its status was."""
        self.expired = False
        """Whether its deadline has passed."""
        self.write: Callable[[Any], Awaitable[None]]
        """Sends one answer of a stream; only while a stream is served."""

    def begin(self) -> None:
        """Read its headers, and let its deadline run. Raises Refused."""
        timeout = None
        headers = self._scope["headers"]
        kind = b""
        for name, value in headers:
            if name == b"content-type":
                kind = value
            elif name == b"grpc-timeout":
                timeout = timeout_s(value)
                if timeout is None:
                    raise Refused(grpc.StatusCode.INTERNAL, f"grpc-timeout cannot be read: {value[:20]!r}")
            elif name == b"grpc-encoding":
                self.encoding = value
        if kind != CONTENT_TYPE and not kind.startswith((b"application/grpc+", b"application/grpc;")):
            raise Refused(grpc.StatusCode.INTERNAL, "content-type is not application/grpc")
        if self.encoding not in ACCEPTED_ENCODINGS:
            raise Refused(
                grpc.StatusCode.UNIMPLEMENTED, f"grpc-encoding is not supported: {self.encoding[:20]!r}"
            )
        size = size_of(headers)
        if size > HEADERS_BYTES_MAX:
            raise Refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"received metadata size exceeds limit ({size} vs. {HEADERS_BYTES_MAX})",
            )
        if timeout is not None:
            self.ends_s = time.monotonic() + timeout
            task = asyncio.current_task()
            assert task is not None
            self._timer = asyncio.get_running_loop().call_later(timeout, self._expire, task)

    def close(self) -> None:
        """Its deadline does not matter any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- what handlers ask --------------------------------------------------------------------------

    def peer(self) -> str:
        """Where it comes from, as grpcio writes it: ipv4:127.0.0.1:5000, ipv6:%5B::1%5D:5000."""
        if not self._peer:
            client = self._scope.get("client")
            if client is None:
                self._peer = "unknown"
            else:
                host, port = client
                self._peer = f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"
        return self._peer

    def invocation_metadata(self) -> Metadata:
        return metadata_of(self._scope["headers"])

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, None without one."""
        return None if self.ends_s is None else max(0.0, self.ends_s - time.monotonic())

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> NoReturn:
        """End the call with this status, and wait until that has left. Raises CallEnded."""
        await self.end(code, details, trailing_metadata)
        await self.has_left()
        raise CallEnded

    # --- what is sent -------------------------------------------------------------------------------

    async def end(
        self, code: grpc.StatusCode, text: str, metadata: Iterable[tuple[str, str | bytes]] = ()
    ) -> None:
        """Send the status of a call that failed."""
        if self.ended:
            return
        self.ended = True
        if not self.started:
            self.started = True
            await self._send(START)
        await self._send(NO_MORE_BODY)
        await self._send(status_trailers(code, text, metadata))

    async def answer(self, message: bytes) -> None:
        """Send the one answer of a call, and that it succeeded."""
        self.started = self.ended = True
        send = self._send
        await send(START)
        size = len(message)
        if size <= _PIECE_BYTES:
            await send({"type": BODY, "body": b"\0" + size.to_bytes(4, "big") + message})
        else:
            await send({"type": BODY, "body": b"\0" + size.to_bytes(4, "big"), "more_body": True})
            for at in range(0, size, _PIECE_BYTES):
                more = at + _PIECE_BYTES < size
                await send({"type": BODY, "body": message[at : at + _PIECE_BYTES], "more_body": more})
        await send(OK)

    async def succeed(self) -> None:
        """Send that a stream of answers is over."""
        self.ended = True
        if not self.started:
            self.started = True
            await self._send(START)
        await self._send(NO_MORE_BODY)
        await self._send(OK)

    async def has_left(self) -> None:
        """Return when everything that was sent has been taken by the connection, or the client is gone."""
        receive = self._receive
        while (await receive())["type"] != "http.disconnect":
            pass

    def _expire(self, task: asyncio.Task[object]) -> None:
        self.expired = True
        task.cancel()
