"""The background: syncing by timer, sealing, merging, probing the disk after an error.

Everything here happens in `step`, which a test calls itself and a thread calls otherwise. That thread is one of a few
which all open engines of a process share: see system/rounds.py.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from pykyro.engine.context import EngineContext
from pykyro.engine.maintenance.merging import Merging, Progress
from pykyro.engine.maintenance.sealing import Sealing
from pykyro.engine.remote.errors import RemoteAway
from pykyro.engine.state import Version
from pykyro.model.errors import KyroError, Unavailable
from pykyro.storage.wal.breaker import BreakerState
from pykyro.system.alarm import Alarm
from pykyro.system.backoff import pause_s
from pykyro.system.rounds import LOOK_S, Round, Rounds

_log = logging.getLogger(__name__)

_WORKERS_MAX: Final = 4
"""Most of the time a seal waits for a process that builds its graph; the seals of others need not wait for that."""
_LOOK_AGAIN_S: Final = 1.0
"""While nothing changes, a round looks for what has become due by the passing of time only so often."""
_LOOK_MUTATIONS: Final = 64
"""After so many changes a round looks at once whether the hot tier is full."""
_AFTER_FAILURE_S: Final = 1.0
_AFTER_FAILURES_S_MAX: Final = 60.0
"""What fails is tried again after a second, then after twice as long each time, up to this."""
_AWAY_S_MAX: Final = 2.0
"""To see whether another machine is there again costs nothing."""
_RELEASE_INTERVAL_S: Final = 5.0
"""Mapping the rows of 100,000 documents again costs a few milliseconds in all."""

WORK: Final = Rounds("kyrodb-maintenance", _WORKERS_MAX)
"""The background of all open engines of this process."""
SYNCS: Final = Rounds("kyrodb-wal-sync", 1)
"""Their timers of syncing the log, which wait for no seal."""


class Maintenance:
    """Seals and merges when due. `lock` keeps a flush, a snapshot and the thread apart."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self.sealing = Sealing(context)
        self.merging = Merging(context)
        self.lock = threading.RLock()
        self.moving = threading.RLock()
        """Held for each step of a move that needs no `lock`; taken before that."""
        self.last_failure = ""
        """What failed and has not succeeded since."""
        self._merges_failed = self._seals_failed = 0
        """In a row."""
        self._merges_now = False
        self._merging_from_s = self._released_s = 0.0
        self._idle_at: tuple[Version, BreakerState] | None = None
        """What the last round saw that found nothing to do, and nothing to wait for."""
        self._mutations_to_look_at = 0
        self._look_again_s = 0.0
        self._failing = Alarm(_log, context.clock)
        self.lock_held: object = None
        """The lock of the directory, which must not be let go of while a thread of these still works."""
        self._stop = threading.Event()
        self._rounds: list[tuple[Rounds, Round]] = []

    def start(self) -> None:
        """Begin working, in the threads that all engines share."""
        self._rounds.append((WORK, WORK.add(self._should_work, self._worked)))
        if not self._context.options.log.syncs_before_ack and self._context.options.sync_interval_ms:
            self._rounds.append((SYNCS, SYNCS.add(lambda: True, self._synced)))

    def stop(self) -> None:
        """Finish what is being installed, give up what is being built."""
        self._stop.set()
        self.sealing.stop()
        for rounds, one in self._rounds:
            rounds.end(one)
        with self.moving, self.lock:
            self.merging.cancel()
        # What the log does not hold is sealed at the end, by whoever closes the engine.
        self.sealing.go_on()

    @property
    def stopping(self) -> bool:
        """Whether the engine is being closed."""
        return self._stop.is_set()

    def step(self, *, may_merge: bool = True) -> bool:
        """Do one thing that is due; False when nothing is. Raises what sealing and merging raise."""
        self._probe_if_due()
        expiration = self._context.writes.expiration
        if expired := expiration.has_work:
            expiration.carry_out()
        if not self._context.log.breaker.closed:
            return False
        with self.lock:
            moved = self.sealing.due
            if moved:
                self.sealing.seal()
            elif may_merge:
                self._merges_now = True
                moved = self.merging.step()
        if moved:
            self._context.caches.release_tiers()
        return moved or expired

    def release_pages(self) -> None:
        """Give back the memory of mapped rows: the page cache keeps what is in use, and who needs it most gets it.

        Searches touch rows all over a segment, so without this the process would seem to hold all of them.
        """
        for segment in self._context.state.version.cold:
            self._context.filesystem.release_pages(segment.mapping)

    def flush(self) -> int:
        """Seal what the hot tier holds now; how many documents moved."""
        with self.lock:
            # What an earlier try left frozen comes first, and is not all.
            documents = self.sealing.seal() if self.sealing.interrupted else 0
            documents += self.sealing.seal()
        self._context.caches.release_tiers()
        return documents

    def compact(self) -> Progress:
        """One step of a compaction, see Merging.compact. Raises Unavailable when the engine is being closed."""
        with self.lock:
            if self._stop.is_set():
                raise Unavailable("the database is being closed; compact it when it is open again")
            if not self._context.log.breaker.closed:
                raise Unavailable(f"nothing is compacted now: {self._context.log.breaker.reason}")
            progress = self.merging.compact()
        if progress is not Progress.WAITS:
            self._context.caches.release_tiers()
        return progress

    def _probe_if_due(self) -> None:
        log = self._context.log
        if log.breaker.state is BreakerState.OPEN and log.breaker.seconds_to_probe == 0:
            with self._context.writes.lock:
                log.probe()
                self._context.state.position = log.position

    def _should_work(self) -> bool:
        """Whether a round would find anything to do. Called some twenty times a second."""
        state, breaker = self._context.state, self._context.log.breaker
        return not (
            self._idle_at == (state.version, breaker.state)
            and state.mutations_since_freeze < self._mutations_to_look_at
            and self._context.clock.monotonic_s() < self._look_again_s
            and not self._context.memory.should_seal(state.version.active.size_bytes)
            and not self._context.writes.room.is_short
            and not self._context.writes.expiration.has_work
        )

    def _worked(self) -> float:
        try:
            return self._work()
        except Exception as error:
            return LOOK_S if self._stop.is_set() else self._failed(error)

    def _work(self) -> float:
        """One round; seconds until the next. Raises what went wrong."""
        now_s, state = self._context.clock.monotonic_s(), self._context.state
        seen, mutations = (state.version, self._context.log.breaker.state), state.mutations_since_freeze
        if now_s - self._released_s > _RELEASE_INTERVAL_S:
            self._released_s = now_s
            self.release_pages()
        self._merges_now = False
        self._context.writes.room.look()
        self.sealing.observe()
        seals, merges = self.sealing.count, self.merging.count
        moved = self.step(may_merge=now_s >= self._merging_from_s)
        if self._seals_failed and (self.sealing.count > seals or not self.sealing.due):
            self._seals_failed = 0
        if self._merges_failed and (self.merging.count > merges or not (moved or self.merging.due)):
            self._merges_failed = 0
        # A failure is over when what failed was done, not when something else was.
        if not self._seals_failed and not self._merges_failed:
            self.last_failure = ""
            if self._failing.is_on:
                self._failing.off("background work goes on")
        if moved:
            return 0.0
        # Nothing is due, and nothing will be before something changes, a build is done, or time has passed.
        waits = self.merging.running or self._seals_failed or self._merges_failed or not self._is_writable
        self._idle_at = None if waits else seen
        self._mutations_to_look_at = mutations + min(
            _LOOK_MUTATIONS, self._context.options.hot_rows_max // 16
        )
        self._look_again_s = now_s + _LOOK_AGAIN_S
        return LOOK_S

    @property
    def _is_writable(self) -> bool:
        return self._context.log.breaker.closed and not self._context.log.has_hole

    def _failed(self, error: Exception) -> float:
        """Note it, and what to wait with. A merge that fails again and again holds up no seal."""
        self.last_failure = str(error) or type(error).__name__
        foreseen = isinstance(error, KyroError | OSError)
        if self._merges_now:
            self._merges_failed += 1
            next_s = LOOK_S
            wait_s = pause_s(self._merges_failed, _AFTER_FAILURE_S, _AFTER_FAILURES_S_MAX)
            self._merging_from_s = self._context.clock.monotonic_s() + wait_s
        else:
            self._seals_failed += 1
            most_s = _AWAY_S_MAX if isinstance(error, RemoteAway) else _AFTER_FAILURES_S_MAX
            next_s = wait_s = pause_s(self._seals_failed, _AFTER_FAILURE_S, most_s)
        self._failing.on(
            f"background work failed and will be tried again in {wait_s:.0f} s: {self.last_failure}"
        )
        if not foreseen:
            _log.error("nobody foresaw this failure of background work", exc_info=error)
        return next_s

    def _synced(self) -> float:
        try:
            self._context.log.sync()
        except Exception as error:
            _log.error("%s", error, exc_info=None if isinstance(error, KyroError) else error)
        # Half the interval, so that a write that just missed one tick is still synced in time.
        return self._context.options.sync_interval_ms / 2000
