"""Documents go at their instant: none that is due is in an answer to a read that begins then or later.

    due → deleted in the tiers, all at once for whoever reads → told to the caches → logged as deletes, in slices

Nothing runs at the instant itself. `State.expires_from_us` is no later than the first instant of a live document, so
a reader knows by one look at the clock whether anything can be due; then it sees to it before it reads. The
background does the same where nobody reads, so that the space comes back.

The tiers come first and the log second, because while the log can take nothing the documents have to go all the same.
So memory may be ahead of the log, by deletes alone. That is harmless as long as nothing else is logged: at a restart
what is missing in the log is due by the document's own entry. Therefore every write logs what is left over first, and
fails when it cannot. What a seal froze needs no delete in the log any more: the segments hold live rows only.

What the log says is a delete, and stays one whatever a clock shows later.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, Final

from pykyro.engine.caches import Caches
from pykyro.engine.state import State
from pykyro.model.errors import KyroError, Unavailable
from pykyro.model.types import Key
from pykyro.storage.wal.log import Log
from pykyro.storage.wal.records import DeleteRecord
from pykyro.storage.wal.writer import encode_records
from pykyro.system.clock import Clock

_LOGGED_TOGETHER: Final = 8192
"""Deletes in one frame of the log, about 100 KB. A reader that found more due leaves the rest to others."""
_UNLOGGED_MAX: Final = 1 << 18
"""So many deletes may be left over, some 10 MB. Beyond that they are logged at once, or not at all while the log
takes nothing: then the document's own entry has to do."""


class Expiration:
    """One for each engine. `lock` serialises everything that changes the state."""

    def __init__(
        self, state: State, log: Log, caches: Caches, clock: Clock, lock: AbstractContextManager[Any]
    ) -> None:
        self._state = state
        self._log = log
        self._caches = caches
        self._clock = clock
        self._lock = lock
        self._unlogged: list[Key] = []
        """Gone from the tiers, and not from what the log says."""
        self.may_log = True
        """False once nothing may be added to the log any more."""
        self.run: Callable[[Callable[[], None]], None] = lambda work: work()
        """How a reader has its work done, which must not end halfway."""
        self.expired = 0
        """Documents that went since the engine was opened."""

    @property
    def is_due(self) -> bool:
        """Whether a document may be due."""
        return self._state.expires_from_us <= self._clock.wall_us()

    @property
    def has_work(self) -> bool:
        """Whether the background has something to do."""
        return self._state.may_expire and (self.is_due or bool(self._unlogged and self._can_log))

    def before_reading(self) -> None:
        """See that nothing which is due now is found by what is read from now on. Only where `State.may_expire`."""
        if self.is_due:
            self.run(self.carry_out)

    def carry_out(self) -> None:
        """Delete what is due, and log as much as takes no reader long."""
        with self._lock:
            self._remove_due()
            if self._can_log:
                self._log_some()

    def settle(self) -> KyroError | None:
        """Delete what is due and log all of it; what the log refused that with. For the writer, before it changes
        anything else."""
        if self.is_due:
            self._remove_due()
        while self._unlogged:
            if not self.may_log:
                return Unavailable("nothing can be logged any more")
            refusal = self._log_some()
            if refusal is not None:
                return refusal
        return None

    def forget_unlogged(self) -> None:
        """The rows alive now are being sealed, so what the log still says about others does not matter. For the
        writer."""
        self._unlogged.clear()

    @property
    def _can_log(self) -> bool:
        return self.may_log and self._log.breaker.closed

    def _remove_due(self) -> None:
        state = self._state
        now_us = self._clock.wall_us()
        due = state.due(now_us)
        while some := list(islice(due, _LOGGED_TOGETHER)):
            self._caches.begin()
            for one in some:
                state.remove(one)
                self._unlogged.append(one.key)
            self._caches.committed([DeleteRecord(one.key) for one in some])
            self.expired += len(some)
            if len(self._unlogged) > _UNLOGGED_MAX and not (self._can_log and self._log_some() is None):
                del self._unlogged[: len(some)]
        # Last: until then every other reader waits for the lock.
        state.expires_from_us = state.next_expiry_us(now_us)

    def _log_some(self) -> KyroError | None:
        """Log one slice of the deletes; why it was refused."""
        keys = self._unlogged[:_LOGGED_TOGETHER]
        if not keys:
            return None
        state, log = self._state, self._log
        content = encode_records([DeleteRecord(key) for key in keys], tenanted=state.tenanted)
        position = log.position
        try:
            log.append([content])
        except KyroError as refusal:
            return refusal
        finally:
            # Whatever ended it: an interrupt may come when the frame is accepted.
            if log.position > position:
                del self._unlogged[: len(keys)]
                state.position = log.position
                state.mutations_since_freeze += len(keys)
        return None
