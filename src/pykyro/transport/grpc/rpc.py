"""What every RPC goes through: who calls, how a failure ends the call, and that it is counted.

The handlers behind it take and return bytes and know no gRPC; they raise the errors of the tree.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeAlias, TypeVar

import grpc

from pykyro.model.errors import CallError, PermissionDenied, Unavailable
from pykyro.service.access import Access, Caller
from pykyro.service.call_log import RUNNING, CallLog, RunningCall
from pykyro.service.in_flight import SHUTTING_DOWN, InFlightCalls
from pykyro.service.open_streams import OpenStream
from pykyro.service.rpc_rules import RULES_OF_RPCS, RpcRules
from pykyro.service.tracing import Tracing
from pykyro.telemetry.counters import Counters
from pykyro.transport.grpc.status import Status, status_of

Request = TypeVar("Request")
Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
Unary: TypeAlias = Callable[[bytes, Caller], Awaitable[bytes]]
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
        *,
        admins_only: bool,
        tracing: Tracing | None = None,
    ) -> None:
        """`admins_only` keeps what acts on the whole server for keys with is_admin."""
        self.in_flight = InFlightCalls()
        self._access = access
        self._counters = counters
        self._calls = calls
        self._tracing = tracing
        self._admins_only = admins_only

    def unary(self, name: str, handler: Unary) -> Handler:
        """One message in, one out."""
        return grpc.unary_unary_rpc_method_handler(self._answering(name, handler, may_be_slow=True))

    def client_stream(self, name: str, handler: ClientStream) -> Handler:
        """Many messages in, one out."""

        async def within(messages: AsyncIterator[bytes], caller: Caller) -> bytes:
            with self.in_flight.streams.opened(messages) as opened:
                return await handler(opened, caller)

        return grpc.stream_unary_rpc_method_handler(self._answering(name, within, may_be_slow=False))

    def both_streams(self, name: str, handler: BothStreams) -> Handler:
        """Many messages in, many out."""
        rules = RULES_OF_RPCS[name]

        async def serve(messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            started_ns, code, call = time.perf_counter_ns(), _OK, RunningCall(name, context)
            self.in_flight.calls += 1
            RUNNING.set(call)
            try:
                caller = self._admitted(name, rules, context)
                with self.in_flight.streams.opened(messages) as opened:
                    async for response in handler(opened, caller):
                        yield response
            except asyncio.CancelledError:
                code = self._cancelled(context)
                raise
            except Exception as error:
                status = self._failed(call, error)
                code = status.code.name
                await context.abort(status.code, status.text, status.trailing_metadata)
            finally:
                self._ended(call, code, started_ns, may_be_slow=False)

        traced = serve if self._tracing is None else self._tracing.stream(name, serve)
        return grpc.stream_stream_rpc_method_handler(traced)

    def _answering(
        self, name: str, handler: Callable[[Request, Caller], Awaitable[bytes]], *, may_be_slow: bool
    ) -> Callable[[Request, Context], Awaitable[bytes]]:
        rules = RULES_OF_RPCS[name]

        async def serve(request: Request, context: Context) -> bytes:
            started_ns, code, call = time.perf_counter_ns(), _OK, RunningCall(name, context)
            self.in_flight.calls += 1
            RUNNING.set(call)
            try:
                return await handler(request, self._admitted(name, rules, context))
            except asyncio.CancelledError:
                code = self._cancelled(context)
                raise
            except Exception as error:
                status = self._failed(call, error)
                code = status.code.name
                await context.abort(status.code, status.text, status.trailing_metadata)
            finally:
                self._ended(call, code, started_ns, may_be_slow=may_be_slow)

        return serve if self._tracing is None else self._tracing.unary(name, serve)

    def _admitted(self, name: str, rules: RpcRules, context: Context) -> Caller:
        """Who calls. Raises Unavailable, Unauthenticated, PermissionDenied, ResourceExhausted when the call may not
        go on."""
        if self.in_flight.draining:
            raise Unavailable(SHUTTING_DOWN)
        caller = self._access.anybody or self._access.caller(context)
        if rules.admin and self._admins_only and not caller.is_admin:
            raise PermissionDenied(f"{name} needs the key of an admin (is_admin: true in the key file)")
        if rules.token and (caller.limiter is not None or caller.revoked):
            caller.spend()
        return caller

    def _failed(self, call: RunningCall, error: Exception) -> Status:
        self._counters.error(error.cause if isinstance(error, CallError) else error)
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
