"""The WAL circuit breaker: after the first failed write nothing is acknowledged until the disk is proved.

    CLOSED ──a write, fsync, rename or directory fsync failed──▶ OPEN ──cooldown──▶ HALF_OPEN ──proved──▶ CLOSED
                                                                  ▲                     │
                                                                  ╰────probe failed─────╯

The breaker only keeps the state and the reason, and tells the operator; how the disk is proved is the log's business
(log.py).
"""

from __future__ import annotations

import errno
import logging
from enum import IntEnum
from typing import Final

from pykyro.system.alarm import QUIET_S, Alarm
from pykyro.system.clock import Clock

_log: Final = logging.getLogger(__name__)

COOLDOWN_S: Final = 60.0


class BreakerState(IntEnum):
    """The numbers are those of the metric kyrodb_wal_circuit_breaker_state."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class Breaker:
    """State of one log. Not a lock: its owner calls it under the log's own."""

    def __init__(self, clock: Clock, cooldown_s: float = COOLDOWN_S) -> None:
        self._clock = clock
        self._cooldown_s = cooldown_s
        self._opened_s = 0.0
        self.state = BreakerState.CLOSED
        self.reason = ""
        self.failures = 0
        self.disk_full_failures = 0
        self.probes = 0
        self._alarm = Alarm(_log, clock)
        self._told_s = 0.0
        """When the log last said that writes are refused."""

    @property
    def closed(self) -> bool:
        return self.state is BreakerState.CLOSED

    @property
    def seconds_to_probe(self) -> float:
        """How long until a probe may try the disk again; 0 when closed or due."""
        if self.closed:
            return 0.0
        return max(0.0, self._opened_s + self._cooldown_s - self._clock.monotonic_s())

    def trip(self, error: OSError, doing: str) -> None:
        """Open, or stay open for another cooldown."""
        self.failures += 1
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            self.disk_full_failures += 1
            self.reason = f"Disk full - circuit breaker opened: {doing}: {error.strerror}"
        else:
            self.reason = f"{doing}: {error.strerror or error}"
        failed_probe = self.state is BreakerState.HALF_OPEN
        self.state = BreakerState.OPEN
        self._opened_s = self._clock.monotonic_s()
        if failed_probe and self._opened_s - self._told_s >= QUIET_S:
            self._told_s = self._opened_s
            _log.warning("writes are still refused: %s. Next try in %.0f s", self.reason, self._cooldown_s)
        if not self._alarm.is_on:
            self._told_s = self._opened_s
        self._alarm.on(
            f"writes are refused, the WAL circuit breaker opened: {self.reason}. Reads go on. Mend the disk, free "
            f"space or correct permissions; the disk is tried again every {self._cooldown_s:.0f} s, and no restart "
            "is needed"
        )

    def begin_probe(self) -> None:
        self.probes += 1
        self.state = BreakerState.HALF_OPEN

    def close(self) -> None:
        self.state = BreakerState.CLOSED
        self.reason = ""
        self._alarm.off("writes are accepted again: the disk was proved good")
