"""Writes between the event loop and the engine's queue, which is the only one: see engine/write_path.py.

The loop hands a write over and goes on; the thread here leads the groups. While it commits one, writes gather for the
next: so a group is as large as the load asks for, one write alone is not kept waiting, and the loop is woken once a
group and not once a write.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from pykyro.engine.engine import Engine
from pykyro.engine.pending_write import PendingWrite
from pykyro.model.errors import KyroError, ResourceExhausted
from pykyro.model.limits import COMMIT_BYTES_MAX, HANDED_WRITES_MAX, WAITING_WRITES_MAX
from pykyro.model.requests import Ack, Operation
from pykyro.service.batching import RETRY_AFTER_S
from pykyro.service.fair_queue import NOBODYS, FairQueue, Share
from pykyro.service.leaders import Leaders
from pykyro.telemetry.counters import Counters

_BYTES_LIKE_A_WRITE: Final = 4096
"""So many bytes take the log and the index as long as a write by itself."""

Outcome: TypeAlias = Ack | KyroError
Prepare: TypeAlias = Callable[[], Sequence[Operation | KyroError]]


@dataclass(slots=True, eq=False)
class _Submitted(PendingWrite):
    """A write whose caller waits on the event loop."""

    future: asyncio.Future[Sequence[Outcome]] | None = None
    since_s: float = 0.0
    may_shed: bool = True


class Commits:
    """The writes of a server. Made on the event loop that serves, where `submit` is called; beyond `waiting_max`
    writes that are not done, `submit` refuses."""

    def __init__(
        self,
        engine: Engine,
        counters: Counters,
        *,
        waiting_max: int = WAITING_WRITES_MAX,
        leaders: Leaders | None = None,
    ) -> None:
        """Groups are led by a thread of its own, or by `leaders`."""
        self._writes = engine.writes
        self._observe_wait: Final = counters.queue_waits["commit"].observe
        self._waiting = 0
        self._waiting_max = waiting_max
        self._handed = self._handed_bytes = 0
        """Documents and bytes of the writes that the engine has."""
        self._lines: FairQueue[_Submitted] = FairQueue()
        self._idle = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._writes.on_answered = self._answered
        self._thread: threading.Thread | None = None
        if leaders is not None:
            leaders.lead(self._writes)
        else:
            self._thread = threading.Thread(target=self._writes.lead_submitted, name="commit-0", daemon=True)
            self._thread.start()

    @property
    def waiting(self) -> int:
        """Writes submitted and not done."""
        return self._waiting

    def submit(
        self,
        operations: Sequence[Operation] | Prepare,
        *,
        size: int = 1,
        weight: int,
        share: Share = NOBODYS,
        may_shed: bool = True,
    ) -> asyncio.Future[Sequence[Outcome]]:
        """What will become of each operation, `size` of them; `weight` is about their bytes. Cancelling it before a
        group takes the write withdraws the write.

        Operations that still have to be made, of the bytes of a request say, are made in the thread that commits,
        and an error in the place of one is its outcome: were the loop to make them while that thread commits, both
        would spend their time handing the interpreter lock back and forth.

        `share` says whose the write is. Raises ResourceExhausted, unless `may_shed` is False because the caller
        bounds what it submits by itself; the outcome is one too when the write is given up for one of somebody who
        has less in the queue.
        """
        if may_shed and self._waiting >= self._waiting_max:
            self._make_room(share)
        self._waiting += 1
        future: asyncio.Future[Sequence[Outcome]] = self._loop.create_future()
        prepare = operations if callable(operations) else None
        write = _Submitted(
            () if callable(operations) else operations,
            size,
            weight,
            prepare,
            future.cancelled,
            future=future,
            since_s=time.monotonic(),
            may_shed=may_shed,
        )
        if (
            self._handed < HANDED_WRITES_MAX
            and self._handed_bytes < COMMIT_BYTES_MAX
            and not self._lines.count
        ):
            self._handed += size
            self._handed_bytes += weight
            self._writes.submit(write)
        else:
            self._lines.put(share, size + weight / _BYTES_LIKE_A_WRITE, write)
        return future

    def _make_room(self, share: Share) -> None:
        refusal = ResourceExhausted(
            f"Write queue saturated: {self._waiting} writes waiting (max: {self._waiting_max})",
            retry_after_s=RETRY_AFTER_S,
        )
        shed = self._lines.drop_for(share)
        if shed is not None and not shed.may_shed:  # a stream waits for it, and has one only
            self._lines.put(NOBODYS, 1.0, shed)
            shed = None
        if shed is None:
            raise refusal
        self._waiting -= 1
        if shed.future is not None and not shed.future.done():
            shed.future.set_result([refusal] * shed.size)

    def _hand_over(self) -> None:
        while (
            self._lines.count and self._handed < HANDED_WRITES_MAX and self._handed_bytes < COMMIT_BYTES_MAX
        ):
            write = self._lines.take()
            self._handed += write.size
            self._handed_bytes += write.weight
            self._writes.submit(write)

    def longest_group_s(self) -> float:
        """How long the group that is being committed has been so. From any thread."""
        since_s = self._writes.group_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    async def close(self) -> None:
        """Commit what was submitted, then stop the thread."""
        while self._waiting:
            self._idle.clear()
            await self._idle.wait()
        if self._thread is not None:
            self._writes.stop_leading()
            await self._loop.run_in_executor(None, self._thread.join)

    def _answered(self, writes: Sequence[PendingWrite], taken_s: float) -> None:
        """For the thread that led a group."""
        self._loop.call_soon_threadsafe(self._resolve, writes, taken_s)

    def _resolve(self, writes: Sequence[PendingWrite], taken_s: float) -> None:
        self._waiting -= len(writes)
        if not self._waiting:
            self._idle.set()
        for at, write in enumerate(writes):
            assert isinstance(write, _Submitted)
            assert write.future is not None
            self._handed -= write.size
            self._handed_bytes -= write.weight
            if at == 0:
                self._observe_wait(taken_s - write.since_s)
            if write.answers is not None and not write.future.done():
                write.future.set_result(write.answers)
        if self._lines.count:
            self._hand_over()
