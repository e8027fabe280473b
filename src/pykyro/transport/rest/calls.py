"""From the loop of the HTTP port to the handlers of the gRPC port, which run on the loop that serves, and back.

A call of REST is a call of gRPC to everything below: the same handlers, asked with the same messages by a context of
the same shape. So whatever holds there of keys, rights, rates, queues, memory, quotas, counts and logs holds here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Generic, NoReturn, TypeAlias, TypeVar

from pykyro.memory.account import Charge
from pykyro.memory.budget import Kind, MemoryBudget, mebibytes
from pykyro.model.collection import DEFAULT_NUMBER
from pykyro.model.errors import InvalidArgument, ResourceExhausted
from pykyro.model.limits import MESSAGE_BYTES_MAX, REST_ANSWER_BYTES_MAX
from pykyro.model.text_ids import TEXT
from pykyro.proto import kyrodb_wire_pb2 as wire
from pykyro.service.admission import LARGE_BYTES
from pykyro.service.call_log import RUNNING
from pykyro.transport.http.backend import Backend
from pykyro.transport.rest.problems import Problem, problem_of, problem_of_status, too_large

Answer = TypeVar("Answer")
_Serves: TypeAlias = Any
"""What serves a call: its stubs know only the context of grpcio, which ours has the shape of."""

_UNREADABLE: Final = b"\xff"
"""No message of protobuf."""
_INSTEAD: Final = {"BulkInsert": "BatchInsert", "BulkSearch": "Search"}
"""RPCs of single messages that cost the same as streams."""
_AS_JSON: Final = 12
"""A number of four bytes takes so many times as much while it is written as JSON, and after."""
_BATCHES_AHEAD: Final = 2
"""Batches of messages that wait for the reader of a stream."""


class RestContext:
    """The context of one call, as far as handlers ask anything of it. Used on the loop that serves."""

    def __init__(self, peer: str, metadata: Sequence[tuple[str, str]], ends_s: float | None = None) -> None:
        self._peer = peer
        self._metadata = metadata
        self._ends_s = ends_s

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return self._metadata

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, None without one."""
        return None if self._ends_s is None else max(0.0, self._ends_s - time.monotonic())

    async def abort(
        self, code: Any, details: str = "", trailing_metadata: Iterable[tuple[str, str | bytes]] = ()
    ) -> NoReturn:
        """End the call with this status. Raises Problem."""
        call = RUNNING.get()
        raise problem_of_status(code, details, trailing_metadata, "" if call is None else call.field)


class Calls:
    """The calls of one request. Used on the loop of the HTTP port."""

    def __init__(
        self, backend: Backend, context: RestContext, memory: MemoryBudget, threads: ThreadPoolExecutor
    ) -> None:
        self._backend = backend
        self._context = context
        self._memory = memory
        self.threads = threads
        self._charges: list[Charge] = []

    async def unary(self, rpc: str, message: Any, collection: str = "") -> bytes:
        """The response of an RPC to a message, or its bytes, addressed to a collection. Raises Problem."""
        payload = message if isinstance(message, bytes) else message.SerializeToString()
        payload += suffix_of(collection)
        if len(payload) > MESSAGE_BYTES_MAX:
            raise _message_too_large(len(payload))
        handler: _Serves = self._backend.handlers[rpc].unary_unary
        return self._held(await self._run(handler(payload, self._context)))

    async def refused(self, rpc: str) -> None:
        """Let an RPC know of a request that cannot be read: by bytes that cannot be either. So who sends such is
        asked for a key, pays for it and is counted as anybody else. Raises Problem when the RPC has something else to
        say about it."""
        handler: _Serves = self._backend.handlers[_INSTEAD.get(rpc, rpc)].unary_unary
        try:
            await self._run(handler(_UNREADABLE, self._context))
        except Problem as problem:
            if problem.code != "INVALID_ARGUMENT":
                raise

    async def rendered(self, render: Callable[[bytes], Answer], payload: bytes) -> Answer:
        """What `render` makes of a response: where it is large in a thread, so that other requests are not kept
        waiting."""
        if len(payload) <= LARGE_BYTES:
            return render(payload)
        return await asyncio.get_running_loop().run_in_executor(self.threads, render, payload)

    @property
    def holds_large(self) -> bool:
        """Whether one of the responses is large."""
        return bool(self._charges)

    def close(self) -> None:
        """The answer has left."""
        for charge in self._charges:
            charge.give_back()
        self._charges.clear()

    def _held(self, payload: bytes) -> bytes:
        """A response, with what it will take as JSON charged until `close`. Raises Problem when there is no room."""
        size = len(payload)
        if size > LARGE_BYTES:
            try:
                if size > REST_ANSWER_BYTES_MAX:
                    raise ResourceExhausted(
                        f"the answer would be made of {mebibytes(size)}; the maximum of one in JSON is "
                        f"{mebibytes(REST_ANSWER_BYTES_MAX)}: ask for fewer documents at once, or without metadata "
                        "or vectors"
                    )
                self._charges.append(self._memory.reserved("answers", _AS_JSON * size, Kind.LARGE_READ))
            except ResourceExhausted as error:
                raise problem_of(error) from None
        return payload

    async def stream_in(self, rpc: str, batches: AsyncIterator[Sequence[bytes]], collection: str) -> bytes:
        """The response of an RPC to a stream of messages, which come in batches. Raises Problem."""
        handler: _Serves = self._backend.handlers[rpc].stream_unary
        messages = _Messages(suffix_of(collection))
        answer = asyncio.ensure_future(self._run(handler(messages, self._context)))
        try:
            async for batch in batches:
                if not await self._pass_on(messages, batch, answer):
                    break
            else:
                await self._pass_on(messages, None, answer)
            stored: bytes = await answer
            return stored
        finally:
            answer.cancel()

    async def _pass_on(
        self, messages: _Messages, batch: Sequence[bytes] | None, answer: asyncio.Future[bytes]
    ) -> bool:
        """Hand over a batch as soon as there is room for it; False when the call has ended."""
        put = asyncio.ensure_future(self._run(messages.put(batch)))
        await asyncio.wait((put, answer), return_when=asyncio.FIRST_COMPLETED)
        if not put.done():
            put.cancel()
            return False
        return True

    async def stream_both(self, rpc: str, messages: Sequence[bytes], collection: str) -> list[bytes]:
        """The responses of an RPC to these messages. Raises Problem, also when they are too large together."""
        handler: _Serves = self._backend.handlers[rpc].stream_stream
        suffix = suffix_of(collection)
        most = min(REST_ANSWER_BYTES_MAX, self._backend.admission.answer_bytes_max)

        async def each() -> AsyncIterator[bytes]:
            for message in messages:
                yield message + suffix

        async def gathered() -> list[bytes]:
            found, size = [], 0
            async for response in handler(each(), self._context):
                found.append(response)
                size += len(response)
                if size > most:
                    raise problem_of(
                        ResourceExhausted(
                            f"the answers have more than {most} bytes together: ask for fewer searches at once, or "
                            "without metadata or vectors"
                        )
                    )
            return found

        answers = await self._run(gathered())
        for answer in answers:
            self._held(answer)
        return answers

    def has_text_ids(self, collection: str) -> bool:
        """Whether the ids of a collection are text; False for one that does not exist, which its call says."""
        collections = self._backend.collections
        try:
            number = collections.number_of(collection)
        except Exception:
            return False
        if number == DEFAULT_NUMBER:
            return collections.default is not None and collections.default.schema.text_ids
        return collections.id_type_of(number) == TEXT

    async def _run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """What comes of it on the loop that serves. asyncio's own way there takes twice as long."""
        here, there = asyncio.get_running_loop(), self._backend.loop
        answer: asyncio.Future[Answer] = here.create_future()
        crossing = _Crossing(work, here, answer)
        try:
            there.call_soon_threadsafe(crossing.begin)
        except RuntimeError:  # the loop has ended meanwhile
            work.close()
            raise unavailable("the server is shutting down") from None
        try:
            return await answer
        except asyncio.CancelledError:
            with contextlib.suppress(RuntimeError):
                there.call_soon_threadsafe(crossing.cancel)
            raise


class _Crossing(Generic[Answer]):
    """Work on its way to another loop, and its outcome on its way back."""

    __slots__ = ("_answer", "_home", "_task", "_work")

    def __init__(
        self,
        work: Coroutine[Any, Any, Answer],
        home: asyncio.AbstractEventLoop,
        answer: asyncio.Future[Answer],
    ) -> None:
        self._work = work
        self._home = home
        self._answer = answer
        self._task: asyncio.Task[Answer] | None = None

    def begin(self) -> None:
        """On the loop that serves."""
        self._task = asyncio.get_running_loop().create_task(self._work)
        self._task.add_done_callback(self._ended)

    def cancel(self) -> None:
        """On the loop that serves: nobody waits for it."""
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[Answer]) -> None:
        gone = unavailable("the server is shutting down") if task.cancelled() else None
        error = gone or task.exception()
        with contextlib.suppress(RuntimeError):
            self._home.call_soon_threadsafe(self._settle, error, None if error else task.result())

    def _settle(self, error: BaseException | None, answer: Answer | None) -> None:
        """Back on the loop of the request."""
        if self._answer.done():
            return
        if error is not None:
            self._answer.set_exception(error)
        else:
            self._answer.set_result(answer)  # type: ignore[arg-type]


class _Messages(AsyncIterator[bytes]):
    """The messages of a stream on their way to the loop that serves. Used there."""

    def __init__(self, suffix: bytes) -> None:
        self._suffix = suffix
        self._batches: asyncio.Queue[Sequence[bytes] | None] = asyncio.Queue(_BATCHES_AHEAD)
        self._batch: list[bytes] = []
        self._ended = False

    async def put(self, batch: Sequence[bytes] | None) -> None:
        """Return when there is room for the batch; None ends the stream."""
        await self._batches.put(batch)

    async def __anext__(self) -> bytes:
        while not self._batch:
            batch = None if self._ended else await self._batches.get()
            if batch is None:
                self._ended = True  # readers ask again behind the end
                raise StopAsyncIteration
            self._batch = list(reversed(batch))
        return self._batch.pop() + self._suffix


def suffix_of(collection: str) -> bytes:
    """What is written behind a message so that it names a collection; nothing for `default`."""
    if collection in ("", "default"):
        return b""
    try:
        return wire.Addressed(collection=collection).SerializeToString()
    except (UnicodeEncodeError, ValueError):
        raise problem_of(
            InvalidArgument("collection is no text that UTF-8 can hold", field="collection")
        ) from None


def unavailable(text: str) -> Problem:
    """The error while the database is not there."""
    return Problem("UNAVAILABLE", text, status=503)


def _message_too_large(size: int) -> Problem:
    return too_large(f"the request has {size} bytes as a message; the maximum is {MESSAGE_BYTES_MAX}")
