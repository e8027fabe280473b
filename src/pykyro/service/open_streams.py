"""How many streams of messages may be open at once, and who has to go when there are too many.

A stream costs a task and buffers for as long as its client likes, and a client that sends nothing costs itself
nothing. So their number is bounded; and when it is reached, the one that has been silent longest makes room, unless
all have spoken lately: then the new one is refused. Who has more streams than the newcomer gives way first, with one
on which nothing is under way, however lately it spoke. While there is room a stream may be silent for ever, until the
server stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from pykyro.model.errors import KyroError, ResourceExhausted, Unavailable
from pykyro.model.limits import STOPPING_STREAM_SILENT_S, STREAM_SILENT_S, STREAMS_MAX
from pykyro.service.fair_queue import NOBODYS, Share


class OpenStream(AsyncIterator[bytes]):
    """The messages of a stream, and since when the next one has been waited for.

    `is_idle` tells whether everything that came has been carried out and answered; whoever reads the stream may set
    it.
    """

    __slots__ = ("_messages", "_monotonic_s", "ended_by", "is_idle", "share", "since_s", "task")

    def __init__(
        self, messages: AsyncIterator[bytes], monotonic_s: Callable[[], float], share: Share = NOBODYS
    ) -> None:
        self.share = share
        self._messages = messages
        self._monotonic_s = monotonic_s
        self.task = asyncio.current_task()
        self.since_s = monotonic_s()
        self.ended_by: KyroError | None = None
        self.is_idle: Callable[[], bool] = _always

    def check(self, payload: bytes) -> None:
        """Raises what refuses a message of this stream, whose reader calls it for each."""

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
        self,
        streams_max: int = STREAMS_MAX,
        monotonic_s: Callable[[], float] = time.monotonic,
        each_max: int | None = None,
    ) -> None:
        """At most `each_max` of them are of one share."""
        self._streams_max = streams_max
        self._each_max = each_max
        self._counts: Counter[Share] = Counter()
        self._monotonic_s = monotonic_s
        self._open: dict[OpenStream, None] = {}
        self._draining_since_s: float | None = None

    @contextlib.contextmanager
    def opened(self, messages: AsyncIterator[bytes], share: Share = NOBODYS) -> Iterator[OpenStream]:
        """Read `messages` by what is returned; `share` says whose they are. Raises ResourceExhausted: there is no
        room, or others need it."""
        if self._each_max is not None and share != NOBODYS and self._counts[share] >= self._each_max:
            raise ResourceExhausted(
                f"{self._counts[share]} streams of this kind are open on this connection (max: {self._each_max}); "
                f"end one of them first"
            )
        if len(self._open) >= self._streams_max:
            self._make_room(share)
        stream = OpenStream(messages, self._monotonic_s, share)
        self._open[stream] = None
        self._counts[share] += 1
        try:
            yield stream
        except asyncio.CancelledError:
            if stream.ended_by is None or stream.task is None:
                raise
            stream.task.uncancel()
            raise stream.ended_by from None
        finally:
            self._forget(stream)

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

    def _forget(self, stream: OpenStream) -> None:
        if stream in self._open:
            del self._open[stream]
            self._counts[stream.share] -= 1
            if not self._counts[stream.share]:
                del self._counts[stream.share]

    def _make_room(self, share: Share) -> None:
        silent = min(self._open, key=lambda stream: stream.since_s)
        spoke_lately = self._monotonic_s() - silent.since_s < STREAM_SILENT_S
        if spoke_lately:
            silent = self._idle_of_the_greedy(share) or silent
            spoke_lately = silent.share[0] == share[0]
        if silent.task is None or spoke_lately:
            raise ResourceExhausted(
                f"{len(self._open)} streams are open (max: {self._streams_max})",
                retry_after_s=STREAM_SILENT_S,
            )
        self._forget(silent)
        if self._monotonic_s() - silent.since_s < STREAM_SILENT_S:
            silent.end(
                ResourceExhausted(
                    f"{self._streams_max} streams were open (max: {self._streams_max}), and another client with "
                    f"fewer of them needed one",
                    retry_after_s=STREAM_SILENT_S,
                )
            )
            return
        silent.end(
            ResourceExhausted(
                f"no message came for {STREAM_SILENT_S:g} s or more while {self._streams_max} streams were open "
                f"(max: {self._streams_max})",
                retry_after_s=STREAM_SILENT_S,
            )
        )

    def _idle_of_the_greedy(self, share: Share) -> OpenStream | None:
        """Of the group that has most streams, the idle one that was silent longest; None when the group of `share`
        has hardly fewer."""
        groups: Counter[str] = Counter()
        for (group, _), count in self._counts.items():
            groups[group] += count
        greedy, most = groups.most_common(1)[0]
        if most <= groups[share[0]] + 1:
            return None
        idle = [stream for stream in self._open if stream.share[0] == greedy and stream.is_idle()]
        return min(idle, key=lambda stream: stream.since_s, default=None)


def _always() -> bool:
    return True
