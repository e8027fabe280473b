"""The calls of a server, as ASGI brings them: which method, what kind of call, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import grpc

from pykyro.model.errors import KyroError
from pykyro.model.limits import CALLS_MAX, PENDING_CALLS_MAX
from pykyro.service.admission import Admission
from pykyro.transport.grpc.h2.call import Call, CallEnded, Receive, Refused, Send
from pykyro.transport.grpc.h2.messages import Messages, Shared
from pykyro.transport.grpc.h2.pacing import PacedAnswers, Pacer
from pykyro.transport.grpc.h2.wire import PREFIX_BYTES, Event
from pykyro.transport.grpc.rpc import Handler
from pykyro.transport.grpc.status import code_of

_log: Final = logging.getLogger(__name__)

_CALLS_MAX: Final = CALLS_MAX + PENDING_CALLS_MAX
"""Those that are being read and answered included; further ones are refused unread."""

Serve: TypeAlias = Callable[[Event, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Method:
    """One RPC: its handler, how messages become what it takes, and what its answers become."""

    handler: Callable[[Any, Any], Any]
    streams_in: bool
    decode: Callable[[bytes], Any] | None
    encode: Callable[[Any], bytes] | None
    yields: bool
    """Whether the handler yields its answers; else it returns one, or writes them."""


class Application:
    """An ASGI application that serves the handlers of gRPC methods. Used on the event loop."""

    def __init__(self, handlers: Mapping[str, Handler], admission: Admission) -> None:
        """`handlers` by path."""
        self._shared = Shared(admission)
        self._pacer = Pacer()
        self._open = 0
        self._serves: dict[str, Serve] = {path: self._serve_of(handler) for path, handler in handlers.items()}

    def __call__(self, scope: Event, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            raise ValueError(f"this serves HTTP alone, not {scope['type']}")
        return self._serves.get(scope["path"], _unknown)(scope, receive, send)

    def close(self) -> None:
        """No call is served any more."""
        self._shared.close()

    def _serve_of(self, handler: Handler) -> Serve:
        unary = handler.unary_unary or handler.stream_unary
        behaviour = unary or handler.unary_stream or handler.stream_stream
        assert behaviour is not None
        method = _Method(
            behaviour,
            bool(handler.request_streaming),
            handler.request_deserializer,
            handler.response_serializer,
            inspect.isasyncgenfunction(behaviour),
        )
        return partial(self._one_answer if unary else self._many_answers, method)

    async def _one_answer(self, method: _Method, scope: Event, receive: Receive, send: Send) -> None:
        call = Call(scope, receive, send)
        self._open += 1
        try:
            self._begin(call, scope)
            response = await method.handler(await self._request(method, call, receive), call)
            call.close()
            await call.answer(response if method.encode is None else method.encode(response))
            await call.has_left()
        except BaseException as error:
            await self._failed(call, scope, error)
        finally:
            call.close()
            self._open -= 1

    async def _many_answers(self, method: _Method, scope: Event, receive: Receive, send: Send) -> None:
        call = Call(scope, receive, send)
        self._open += 1
        try:
            self._begin(call, scope)
            answers, encode = PacedAnswers(call, send, self._pacer), method.encode
            request = await self._request(method, call, receive)
            if method.yields:
                async with contextlib.aclosing(method.handler(request, call)) as responses:
                    async for response in responses:
                        await answers.write(response if encode is None else encode(response))
            else:
                call.write = partial(_encode_and_write, encode, answers)
                await method.handler(request, call)
            call.close()
            await call.succeed()
            await call.has_left()
        except BaseException as error:
            await self._failed(call, scope, error)
        finally:
            call.close()
            self._open -= 1

    def _begin(self, call: Call, scope: Event) -> None:
        """Raises Refused."""
        if self._open > _CALLS_MAX:
            raise Refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{self._open} calls have come in (max: {_CALLS_MAX})",
            )
        if scope["method"] != "POST":
            raise Refused(grpc.StatusCode.INTERNAL, "calls of gRPC are POST requests")
        call.begin()

    async def _request(self, method: _Method, call: Call, receive: Receive) -> Any:
        """What the handler takes. Raises ResourceExhausted, InvalidArgument."""
        if method.streams_in:
            messages = Messages(receive, call.encoding, self._shared)
            return messages if method.decode is None else _decoded(messages, method.decode)
        event = await receive()
        body = event.get("body", b"")
        if body[:1] == b"\0" and int.from_bytes(body[1:PREFIX_BYTES], "big") == len(body) - PREFIX_BYTES:
            message = body[PREFIX_BYTES:]
        else:
            message = await Messages(receive, call.encoding, self._shared, event).only()
        return message if method.decode is None else method.decode(message)

    async def _failed(self, call: Call, scope: Event, error: BaseException) -> None:
        """End a call with what its error means. Raises CancelledError when nobody is there any more."""
        code, text = grpc.StatusCode.INTERNAL, "internal server error"
        match error:
            case CallEnded():
                return
            case asyncio.CancelledError():
                if not call.expired:
                    raise error
                task = asyncio.current_task()
                if task is not None:
                    task.uncancel()
                code, text = grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"
            case Refused():
                code, text = error.code, str(error)
            case KyroError():
                code, text = code_of(error), str(error)
            case OSError() if call.started:  # the connection is gone
                return
            case Exception():
                _log.error("%s failed unexpectedly", scope["path"], exc_info=error)
            case _:
                raise error
        with contextlib.suppress(OSError):
            await call.end(code, text)


async def _unknown(scope: Event, receive: Receive, send: Send) -> None:
    with contextlib.suppress(OSError):
        await Call(scope, receive, send).end(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


async def _decoded(messages: Messages, decode: Callable[[bytes], Any]) -> AsyncIterator[Any]:
    async for message in messages:
        yield decode(message)


async def _encode_and_write(
    encode: Callable[[Any], bytes] | None, answers: PacedAnswers, response: Any
) -> None:
    await answers.write(response if encode is None else encode(response))
