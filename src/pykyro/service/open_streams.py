"""How many streams of messages may be open at once, and who has to go when there are too many.

A stream costs a task and buffers for as long as its client likes, and a client that sends nothing costs itself
nothing. So their number is bounded; and when it is reached, the one that has been silent longest makes room, unless
all have spoken lately: then the new one is refused. While there is room a stream may be silent for ever, until the
server stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from pykyro.model.errors import KyroError, ResourceExhausted, Unavailable
from pykyro.model.limits import STOPPING_STREAM_SILENT_S, STREAM_SILENT_S, STREAMS_MAX


class OpenStream(AsyncIterator[bytes]):
    """The messages of a stream, and since when the next one has been waited for.

    `is_idle` tells whether everything that came has been carried out and answered; whoever reads the stream may set
    it.
    """

    __slots__ = ("_messages", "_monotonic_s", "ended_by", "is_idle", "since_s", "task")

    def __init__(self, messages: AsyncIterator[bytes], monotonic_s: Callable[[], float]) -> None:
        self._messages = messages
        self._monotonic_s = monotonic_s
        self.task = asyncio.current_task()
        self.since_s = monotonic_s()
        self.ended_by: KyroError | None = None
        self.is_idle: Callable[[], bool] = _always

    def end(self, reason: KyroError) -> None:
        """Let its client know, whatever it is doing."""
        if self.task is not None and self.ended_by is None:
            self.ended_by = reason
            self.task.cancel()

    def __anext__(self) -> Awaitable[bytes]:
        # Not a coroutine of its own, which would cost every message of every stream.
        self.since_s = self._monotonic_s()
        return self._messages.__anext__()


class OpenStreams:
    """Those that are open. Used on one event loop."""

    def __init__(
        self, streams_max: int = STREAMS_MAX, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._streams_max = streams_max
        self._monotonic_s = monotonic_s
        self._open: dict[OpenStream, None] = {}
        self._draining_since_s: float | None = None

    @contextlib.contextmanager
    def opened(self, messages: AsyncIterator[bytes]) -> Iterator[OpenStream]:
        """Read `messages` by what is returned. Raises ResourceExhausted: there is no room, or others need it."""
        if len(self._open) >= self._streams_max:
            self._make_room()
        stream = OpenStream(messages, self._monotonic_s)
        self._open[stream] = None
        try:
            yield stream
        except asyncio.CancelledError:
            if stream.ended_by is None or stream.task is None:
                raise
            stream.task.uncancel()
            raise stream.ended_by from None
        finally:
            self._open.pop(stream, None)

    def drain(self) -> None:
        """From now on `end_silent` ends streams."""
        self._draining_since_s = self._monotonic_s()

    def end_silent(self) -> None:
        """While the server stops: end those whose clients have nothing to say and wait for nothing."""
        if self._draining_since_s is None:
            return
        latest_s = self._monotonic_s() - STOPPING_STREAM_SILENT_S
        for stream in list(self._open):
            if max(stream.since_s, self._draining_since_s) <= latest_s and stream.is_idle():
                stream.end(Unavailable("the server is shutting down, and nothing came on this stream"))

    def _make_room(self) -> None:
        silent = min(self._open, key=lambda stream: stream.since_s)
        if silent.task is None or self._monotonic_s() - silent.since_s < STREAM_SILENT_S:
            raise ResourceExhausted(
                f"{len(self._open)} streams are open (max: {self._streams_max})",
                retry_after_s=STREAM_SILENT_S,
            )
        del self._open[silent]
        silent.end(
            ResourceExhausted(
                f"no message came for {STREAM_SILENT_S:g} s or more while {self._streams_max} streams were open "
                f"(max: {self._streams_max})",
                retry_after_s=STREAM_SILENT_S,
            )
        )


def _always() -> bool:
    return True
