"""What every RPC goes through: who calls, how a failure ends the call, and that it is counted.

The handlers behind it take and return bytes and know no gRPC; they raise the errors of the tree.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final, NoReturn, TypeAlias, TypeVar, cast

import grpc

from pykyro.memory.account import TALLY_SLACK_BYTES
from pykyro.model.errors import CallError, InvalidArgument, PermissionDenied, ResourceExhausted, Unavailable
from pykyro.model.limits import CALLS_MAX
from pykyro.service.access import Access, Caller
from pykyro.service.admission import HELD_TWICE, LARGE_BYTES, Admission
from pykyro.service.batching import RETRY_AFTER_S
from pykyro.service.call_log import RUNNING, CallLog, RunningCall
from pykyro.service.in_flight import SHUTTING_DOWN, InFlightCalls
from pykyro.service.open_streams import OpenStream
from pykyro.service.rpc_rules import RULES_OF_RPCS, RpcRules
from pykyro.service.tracing import Tracing
from pykyro.service.unread_answers import AnswersOfConnection, UnreadAnswers
from pykyro.telemetry.counters import Counters
from pykyro.transport.grpc.addressed import COLLECTION_MARK
from pykyro.transport.grpc.collection_service import Unary
from pykyro.transport.grpc.routing import Routes
from pykyro.transport.grpc.status import Status, status_of

Request = TypeVar("Request")
Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
ClientStream: TypeAlias = Callable[[OpenStream, Caller], Awaitable[bytes]]
BothStreams: TypeAlias = Callable[[OpenStream, Caller], AsyncIterator[bytes]]

_OK: Final = "OK"

_DEADLINE_NEAR_S: Final = 0.05
"""A client whose deadline passes cancels at that moment, and its cancellation may come before our own clock says
so: with so little left it was the deadline."""


class Rpcs:
    """Turns handlers into what a gRPC server serves."""

    def __init__(
        self,
        access: Access,
        counters: Counters,
        calls: CallLog,
        admission: Admission,
        unread: UnreadAnswers,
        *,
        admins_only: bool,
        tracing: Tracing | None = None,
        routes: Routes | None = None,
    ) -> None:
        """`admins_only` keeps what acts on the whole server for keys with is_admin. `routes` lead to the collections
        that are not `default`."""
        self._routes = routes
        self.in_flight = InFlightCalls()
        self._access = access
        self._counters = counters
        self._calls = calls
        self._admission = admission
        self._answers = admission.answers
        self._requests = admission.requests
        self._unread = unread
        self._tracing = tracing
        self._admins_only = admins_only

    def unary(self, name: str, handler: Unary) -> Handler:
        """One message in, one out."""
        return grpc.unary_unary_rpc_method_handler(self._answering(name, handler, may_be_slow=True))

    def client_stream(self, name: str, handler: ClientStream) -> Handler:
        """Many messages in, one out."""

        async def within(messages: AsyncIterator[bytes], caller: Caller) -> bytes:
            with self.in_flight.streams.opened(messages, caller.share) as opened:
                return await handler(opened, caller)

        return grpc.stream_unary_rpc_method_handler(self._answering(name, within, may_be_slow=False))

    def both_streams(self, name: str, handler: BothStreams) -> Handler:
        """Many messages in, many out."""
        rules = RULES_OF_RPCS[name]

        async def serve(messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            started_ns, code, call = time.perf_counter_ns(), _OK, RunningCall(name, context)
            self.in_flight.calls += 1
            RUNNING.set(call)
            peer = context.peer()
            unread = self._unread.connections.get(peer) or self._unread.met(peer)
            try:
                caller = self._admitted(name, rules, context, unread, 0)
                with self.in_flight.streams.opened(messages, caller.share) as opened:
                    async for response in handler(opened, caller):
                        # Who takes a stream's answers slowly may do so: no call that waits for them.
                        self._leaves(unread, len(response), calls=0)
                        try:
                            yield response
                        finally:
                            self._left(unread, len(response), calls=0)
            except asyncio.CancelledError:
                code = self._cancelled(context)
                raise
            except Exception as error:
                status = self._failed(call, error)
                code = status.code.name
                await self._abort(context, status, unread)
            finally:
                self._ended(call, code, started_ns, may_be_slow=False)

        traced = serve if self._tracing is None else self._tracing.stream(name, serve)
        return grpc.stream_stream_rpc_method_handler(traced)

    def _answering(
        self, name: str, handler: Callable[[Request, Caller], Awaitable[bytes]], *, may_be_slow: bool
    ) -> Callable[[Request, Context], Awaitable[bytes]]:
        rules, routes = RULES_OF_RPCS[name], self._routes

        async def serve(request: Request, context: Context) -> bytes:
            started_ns, code, call = time.perf_counter_ns(), _OK, RunningCall(name, context)
            self.in_flight.calls += 1
            RUNNING.set(call)
            response, size = b"", len(request) if isinstance(request, bytes) else 0
            self._requests.held += HELD_TWICE * size
            peer = context.peer()
            unread = self._unread.connections.get(peer) or self._unread.met(peer)
            try:
                caller = self._admitted(name, rules, context, unread, size)
                if routes is not None and isinstance(request, bytes) and COLLECTION_MARK in request:
                    response = await routes.unary(name, request, caller, cast(Unary, handler))
                else:
                    response = await handler(request, caller)
                return response
            except asyncio.CancelledError:
                code = self._cancelled(context)
                raise
            except Exception as error:
                status = self._failed(call, error)
                code = status.code.name
                await self._abort(context, status, unread)
            finally:
                self._requests.held -= HELD_TWICE * size
                self._leaves(unread, len(response))
                task = asyncio.current_task()
                if task is not None:  # which ends when the answer has left
                    task.add_done_callback(partial(self._left, unread, len(response)))
                self._ended(call, code, started_ns, may_be_slow=may_be_slow)

        return serve if self._tracing is None else self._tracing.unary(name, serve)

    async def _abort(self, context: Context, status: Status, unread: AnswersOfConnection) -> NoReturn:
        """End a call with this status, which waits until it has left, as an answer does."""
        self._leaves(unread, 0)
        try:
            await context.abort(status.code, status.text, status.trailing_metadata)
        finally:
            self._left(unread, 0)

    def _leaves(self, unread: AnswersOfConnection, size: int, calls: int = 1) -> None:
        """An answer is on its way."""
        if not unread.calls:
            unread.moved_s = time.monotonic()
        unread.calls += calls
        unread.bytes += size
        answers = self._answers
        answers.held += HELD_TWICE * size
        if answers.held - answers.charged > TALLY_SLACK_BYTES:
            answers.settle()

    def _left(self, unread: AnswersOfConnection, size: int, task: object = None, *, calls: int = 1) -> None:
        """It has left, or its connection has."""
        unread.calls -= calls
        unread.bytes -= size
        unread.moved_s = time.monotonic()
        answers = self._answers
        answers.held -= HELD_TWICE * size
        if answers.charged - answers.held > TALLY_SLACK_BYTES:
            answers.settle()

    def _admitted(
        self, name: str, rules: RpcRules, context: Context, unread: AnswersOfConnection, size: int
    ) -> Caller:
        """Who calls, with a request of so many bytes. Raises Unavailable, Unauthenticated, PermissionDenied,
        ResourceExhausted when the call may not go on."""
        if self.in_flight.draining:
            raise Unavailable(SHUTTING_DOWN)
        known = self._access.known
        caller = (known.get(context.peer()) if known else None) or self._access.caller(context)
        if rules.admin and self._admins_only and not caller.is_admin:
            raise PermissionDenied(f"{name} needs the key of an admin (is_admin: true in the key file)")
        if rules.token and (caller.limiter is not None or caller.revoked):
            caller.spend()
        if self.in_flight.calls > CALLS_MAX:
            raise ResourceExhausted(
                f"{self.in_flight.calls} calls are being served (max: {CALLS_MAX})",
                retry_after_s=RETRY_AFTER_S,
            )
        if unread.bytes > self._unread.bytes_max and unread.is_told_apart:
            raise self._unread.refusal(unread)
        requests = self._requests
        if requests.held - requests.charged > TALLY_SLACK_BYTES:
            requests.settle()
        if self._admission.short or size > LARGE_BYTES:
            self._admission.check(rules.takes, size)
        return caller

    def _failed(self, call: RunningCall, error: Exception) -> Status:
        cause = error.cause if isinstance(error, CallError) else error
        self._counters.error(cause)
        call.field = cause.field if isinstance(cause, InvalidArgument) else ""
        return status_of(error, call)

    def _ended(self, call: RunningCall, code: str, started_ns: int, *, may_be_slow: bool) -> None:
        self.in_flight.calls -= 1
        call.code = code
        duration_ns = time.perf_counter_ns() - started_ns
        self._counters.call(call.rpc, code, duration_ns)
        if duration_ns >= self._calls.slow_ns or self._calls.wants_all():
            self._calls.ended(call, code, duration_ns, may_be_slow=may_be_slow)

    def _cancelled(self, context: Context) -> str:
        """The client left or its deadline passed; nobody reads a status any more."""
        remaining_s = context.time_remaining()
        if remaining_s is not None and remaining_s <= _DEADLINE_NEAR_S:
            self._counters.error(TimeoutError())
            return grpc.StatusCode.DEADLINE_EXCEEDED.name
        return grpc.StatusCode.CANCELLED.name
