"""How many streams of messages may be open at once, and who has to go when there are too many.

A stream costs a task and buffers for as long as its client likes, and a client that sends nothing costs itself
nothing. So their number is bounded; and when it is reached, the one that has been silent longest makes room, unless
all have spoken lately: then the new one is refused. While there is room a stream may be silent for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from kyrodb.errors import ResourceExhausted
from kyrodb.limits import STREAM_SILENT_S, STREAMS_MAX


class _OpenStream(AsyncIterator[bytes]):
    """The messages of a stream, and since when the next one has been waited for."""

    __slots__ = ("_messages", "_monotonic_s", "made_room", "since_s", "task")

    def __init__(self, messages: AsyncIterator[bytes], monotonic_s: Callable[[], float]) -> None:
        self._messages = messages
        self._monotonic_s = monotonic_s
        self.task = asyncio.current_task()
        self.since_s = monotonic_s()
        self.made_room = False

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
        self._open: dict[_OpenStream, None] = {}

    @contextlib.contextmanager
    def opened(self, messages: AsyncIterator[bytes]) -> Iterator[AsyncIterator[bytes]]:
        """Read `messages` by what is returned. Raises ResourceExhausted: there is no room, or others need it."""
        if len(self._open) >= self._streams_max:
            self._make_room()
        stream = _OpenStream(messages, self._monotonic_s)
        self._open[stream] = None
        try:
            yield stream
        except asyncio.CancelledError:
            if not stream.made_room or stream.task is None:
                raise
            stream.task.uncancel()
            raise ResourceExhausted(
                f"no message came for {STREAM_SILENT_S:g} s or more while {self._streams_max} streams were open "
                f"(max: {self._streams_max})",
                retry_after_s=STREAM_SILENT_S,
            ) from None
        finally:
            self._open.pop(stream, None)

    def _make_room(self) -> None:
        silent = min(self._open, key=lambda stream: stream.since_s)
        if silent.task is None or self._monotonic_s() - silent.since_s < STREAM_SILENT_S:
            raise ResourceExhausted(
                f"{len(self._open)} streams are open (max: {self._streams_max})",
                retry_after_s=STREAM_SILENT_S,
            )
        del self._open[silent]
        silent.made_room = True
        silent.task.cancel()
