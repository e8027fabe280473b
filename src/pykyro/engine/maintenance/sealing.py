r"""Sealing: the hot tier becomes a cold segment, and recovery no longer needs the log before it.

    freeze   under the write lock: rotate the log, set the active tier aside, note which rows of every segment
             are deleted at this position
    build    \ see tier_sealing.py
    install  /
    clean    remove what the MANIFEST no longer names

The state that the MANIFEST describes is exactly the one at the freeze: rows deleted while the build runs are
deleted in memory only, for the log says so again after a crash.
"""

from __future__ import annotations

from typing import Final

from pykyro.engine.context import EngineContext
from pykyro.engine.maintenance.tier_sealing import FrozenTier, TierSealing, freeze, sealing_of
from pykyro.engine.options import SEAL_ROWS

BURST_PER_S: Final = 4000.0
"""Faster than this, documents arrive in bulk: then they are sealed in fewer and larger segments, which are merged
less often, and the processors are left to what brings them in."""
BURST_FACTOR: Final = 4
_OBSERVATION_S: Final = 0.02


class Sealing:
    """One seal at a time; the caller holds the maintenance lock. A seal that failed is taken up again."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context
        self._frozen: FrozenTier | None = None
        self._tiers = sealing_of(context)
        self._sealed_s = context.clock.monotonic_s()
        self.count = 0
        self._in_burst = False
        self._observed = (context.clock.monotonic_s(), context.state.position)

    def observe(self) -> None:
        """See how fast documents arrive. Called again and again by whoever waits for `due`."""
        now_s, position = self._context.clock.monotonic_s(), self._context.state.position
        then_s, then = self._observed
        if now_s - then_s >= _OBSERVATION_S:
            self._in_burst = (position - then) / (now_s - then_s) >= BURST_PER_S
            self._observed = (now_s, position)

    @property
    def due(self) -> bool:
        """Whether something is frozen, or the hot tier is full, much changed or old enough."""
        options, state = self._context.options, self._context.state
        mutations, active = state.mutations_since_freeze, state.version.active
        if self._frozen is not None or not mutations:
            return self._frozen is not None
        rows_max = min(options.hot_rows_max, SEAL_ROWS * (BURST_FACTOR if self._in_burst else 1))
        return (
            self._context.log.has_hole
            or active.rows >= rows_max
            # Later, writers would wait for room that nobody makes.
            or self._context.memory.should_seal(active.size_bytes)
            or 0 < options.mutations_per_checkpoint <= mutations
            or self._context.clock.monotonic_s() - self._sealed_s >= options.hot_age_max_s
        )

    def use(self, tiers: TierSealing) -> None:
        """Seal by these from now on. For whoever holds the maintenance lock, while nothing is frozen."""
        self._tiers = tiers

    @property
    def interrupted(self) -> bool:
        """Whether a seal failed and is to be taken up again."""
        return self._frozen is not None

    def stop(self) -> None:
        """Give up what is being built now and later. From any thread; a seal under way fails then."""
        self._tiers.stop()

    def go_on(self) -> None:
        """Seal again after a `stop`."""
        self._tiers.go_on()

    def seal(self) -> int:
        """Freeze, build, install, clean; how many documents moved. Nothing to do is no error.

        Raises WriteFailed, Unavailable, BuildFailed, OSError; then it can be called again.
        """
        frozen = self._frozen = self._frozen or self._freeze()
        if frozen is None:
            return 0
        context = self._context
        try:
            obsolete = self._tiers.seal(frozen, context.options.wal_retention_bytes)
        except OSError as error:
            raise context.write_failed(error, "sealing") from error
        self._frozen = None
        context.log.has_hole = False
        self._sealed_s = context.clock.monotonic_s()
        self.count += 1
        context.remove_files(obsolete)
        context.writes.room.freed()
        return len(frozen.live_rows)

    def _freeze(self) -> FrozenTier | None:
        context = self._context
        with context.writes.lock:
            if context.state.may_expire:
                context.writes.expiration.settle()
            if context.state.mutations_since_freeze == 0:
                return None
            lsn = context.log.rotate()
            context.state.position = lsn
            context.writes.expiration.forget_unlogged()
            return freeze(context.state, lsn)
