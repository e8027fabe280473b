"""The door of REST: one request from its first byte to the last of its answer.

It runs on the loop of the HTTP port and keeps little of it: bodies and answers that are large are read and written in
threads, only a part of the connections may be used for REST, and whoever sends or takes too slowly loses his. So the
other endpoints of the port answer whatever happens here.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from pydantic import ValidationError

from pykyro.memory.account import Charge
from pykyro.memory.budget import Kind
from pykyro.model.errors import InvalidArgument, KyroError, ResourceExhausted
from pykyro.model.limits import HTTP_REQUEST_BYTES_MAX, REST_ARROW_BYTES_MAX, REST_BODY_BYTES_MAX
from pykyro.service.admission import LARGE_BYTES
from pykyro.service.call_log import REQUEST_ID_KEY
from pykyro.service.rpc_rules import RULES_OF_RPCS
from pykyro.service.server_state import ServerState
from pykyro.telemetry.logs import fields
from pykyro.tenancy.api_keys import presented_key
from pykyro.transport.http.backend import Backend
from pykyro.transport.http.deadline import CONNECTION_IN_SCOPE
from pykyro.transport.rest.bodies import ClientGone, Incoming, parse_json, weight_of
from pykyro.transport.rest.calls import Calls, RestContext, unavailable
from pykyro.transport.rest.checks import checked_object, fault_of
from pykyro.transport.rest.deadlines import PASSED, deadline_of, within
from pykyro.transport.rest.declare import ARROW, JSON, Operation, Reply, Request
from pykyro.transport.rest.operations import Allowed, find
from pykyro.transport.rest.outgoing import Outgoing
from pykyro.transport.rest.problems import Problem, problem_of, unsupported

_log: Final = logging.getLogger(__name__)

Scope: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

_ARROW_HELD: Final = 3
"""A body of Arrow is there as it came, as one piece, and row by row as messages."""
_THREADS: Final = 2
_RETRY_AFTER_S: Final = 1.0
_NO_HEADERS: Final = frozenset({"content-length", "transfer-encoding"})


class Rest:
    """An ASGI application. Used on the loop of the HTTP port."""

    def __init__(self, server_state: ServerState, requests_max: int) -> None:
        self._server_state = server_state
        self._memory = server_state.memory
        self._requests_max = requests_max
        self._requests = 0
        self.backend: Backend | None = None
        """None while the database is not open."""
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rest")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers_of(scope)
        outgoing = Outgoing(scope["method"], send, scope.get(CONNECTION_IN_SCOPE))
        incoming = Incoming(receive, self._memory, _length_of(headers))
        incoming.ended = _NO_HEADERS.isdisjoint(headers)
        self._requests += 1
        try:
            await self._answer(scope, headers, incoming, outgoing)
        except ClientGone:
            return
        except asyncio.CancelledError:
            if not outgoing.is_gone:
                raise
        finally:
            self._requests -= 1

    async def _answer(
        self, scope: Scope, headers: Mapping[str, str], incoming: Incoming, outgoing: Outgoing
    ) -> None:
        calls: Calls | None = None
        try:
            try:
                if self._requests > self._requests_max:
                    raise ResourceExhausted(
                        f"{self._requests} requests of REST are being answered (max: {self._requests_max})",
                        retry_after_s=_RETRY_AFTER_S,
                    )
                connection = scope.get(CONNECTION_IN_SCOPE)
                if connection is not None and connection.head_bytes > HTTP_REQUEST_BYTES_MAX:
                    raise _head_too_large(connection.head_bytes)
                operation, path = find(scope["method"], scope["raw_path"])
                if self._server_state.settings.auth.enabled:
                    # Before a body is read; whoever serves the call asks again.
                    self._server_state.keys.find(
                        presented_key(headers.get("x-api-key"), headers.get("authorization"))
                    )
                backend = self.backend
                if backend is None:
                    raise unavailable("the database is starting or has stopped")
                ends_s = deadline_of(headers)
                context = RestContext(_peer_of(scope), tuple(headers.items()), ends_s)
                calls = Calls(backend, context, self._memory, self._threads)
                with outgoing.ending_with_its_client():
                    async with within(ends_s):
                        reply = await self._carried_out(operation, path, scope, headers, incoming, calls)
                    await outgoing.reply(
                        reply,
                        closes=not incoming.ended,
                        in_thread=self._in_thread,
                        is_large=calls.holds_large,
                    )
            except KyroError as error:
                raise problem_of(error) from None
        except Allowed as allowed:
            reply = Reply(None, 204, {"allow": allowed.methods})
            await outgoing.reply(reply, closes=not incoming.ended, in_thread=self._in_thread)
        except Problem as problem:
            if problem.status != PASSED:  # who has no time left is not waited for
                await incoming.discard()
            await outgoing.problem(problem, closes=not incoming.ended)
        except (ClientGone, asyncio.CancelledError):
            raise
        except Exception as error:
            await self._failed(error, headers, outgoing)
        finally:
            if calls is not None:
                calls.close()

    async def _carried_out(
        self,
        operation: Operation,
        path: Mapping[str, str],
        scope: Scope,
        headers: Mapping[str, str],
        incoming: Incoming,
        calls: Calls,
    ) -> Reply:
        """The reply to a request. Raises Problem, KyroError."""
        try:
            query = _query_of(operation, scope["query_string"])
            media_type = headers.get("content-type", JSON).partition(";")[0].strip().lower()
            if operation.body is not None and media_type in operation.streams_in:
                with self._memory.account("requests").charge() as charge:
                    hold = partial(self._hold, charge)
                    if media_type == ARROW:
                        data = await incoming.whole(REST_ARROW_BYTES_MAX, Kind.WRITE)
                        hold(_ARROW_HELD * len(data))
                        chunks = _once(data)
                    else:
                        chunks = incoming.chunks()
                    request = Request(path, query, None, headers, media_type, chunks, hold, self._in_thread)
                    return await operation.run(calls, request)
            body = await self._body(operation, headers, media_type, incoming)
            request = Request(path, query, body, headers, media_type, in_thread=self._in_thread)
            return await operation.run(calls, request)
        except InvalidArgument:
            # What the door refuses was not asked of anybody yet.
            await calls.refused(operation.rpc)
            raise

    async def _body(
        self, operation: Operation, headers: Mapping[str, str], media_type: str, incoming: Incoming
    ) -> Any:
        """The body, checked; None where there is to be none. Raises Problem, InvalidArgument, ResourceExhausted."""
        if operation.body is None:
            return None
        if "content-encoding" in headers:
            raise unsupported(
                f"content-encoding {headers['content-encoding'][:40]!r}: send the body as it is"
            )
        if media_type != JSON:
            wanted = " or ".join((JSON, *operation.streams_in))
            raise unsupported(f"content-type must be {wanted}, got {media_type[:100]!r}")
        takes = RULES_OF_RPCS[operation.rpc].takes
        data = await incoming.whole(REST_BODY_BYTES_MAX, takes) if not incoming.ended else b""
        if len(data) <= LARGE_BYTES:
            return _checked(operation, data)
        weight = weight_of(data)
        with (
            self._memory.account("requests").charge(weight)
            if takes is None
            else self._memory.reserved("requests", weight, takes)
        ):
            return await self._in_thread(lambda: _checked(operation, data))

    def _hold(self, charge: Charge, size: int) -> None:
        """Have `charge` hold so many bytes. Raises ResourceExhausted when there is no room for more."""
        if size > charge.used:
            self._memory.admit(Kind.WRITE, size - charge.used)
        charge.set(size)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _failed(self, error: Exception, headers: Mapping[str, str], outgoing: Outgoing) -> None:
        """End a request for a reason that nobody foresaw: its client is told where the log has it."""
        request_id = os.urandom(8).hex()
        _log.error("REST failed unexpectedly", exc_info=error, extra=fields(request_id=request_id))
        text = f"internal server error; the server's log has the details under request_id {request_id}"
        await outgoing.problem(
            Problem(
                "INTERNAL", text, status=500, request_id=request_id, headers={REQUEST_ID_KEY: request_id}
            ),
            closes=True,
        )


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _head_too_large(size: int) -> Problem:
    return Problem(
        "RESOURCE_EXHAUSTED",
        f"address and headers have {size} bytes; the maximum is {HTTP_REQUEST_BYTES_MAX}",
        status=431,
        headers={"connection": "close"},
    )


def _checked(operation: Operation, data: bytes) -> Any:
    assert operation.body is not None
    tree = checked_object(parse_json(data), "the body") if data.strip() else {}
    try:
        return operation.body.model_validate(tree)
    except ValidationError as error:
        raise fault_of(error) from None


def _query_of(operation: Operation, query_string: bytes) -> Any:
    """The parameters behind the question mark, checked. Raises InvalidArgument."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100
        )
    except ValueError as error:
        raise InvalidArgument(
            f"the query of the address cannot be read: {str(error)[:100]}", field="query"
        ) from None
    given = dict(pairs)
    if len(given) < len(pairs):
        raise InvalidArgument("a parameter of the address comes twice", field="query")
    try:
        return operation.query.model_validate(given)
    except ValidationError as error:
        raise fault_of(error) from None


def _headers_of(scope: Scope) -> dict[str, str]:
    """The headers by name; of one that came twice the first."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1"), value.decode("latin-1"))
    return headers


def _length_of(headers: Mapping[str, str]) -> int | None:
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdecimal() else None


def _peer_of(scope: Scope) -> str:
    """Where a request comes from, as gRPC writes it."""
    client = scope.get("client")
    if client is None:
        return "unknown"
    host, port = client
    return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"
