"""Time as the rest of the program asks for it, so that a test can hand in its own."""

from __future__ import annotations

import time
from typing import Final, Protocol

WALL_MAX_US: Final = 253_402_300_799 * 1_000_000
"""The end of the year 9999: the last time that has a name."""


class Clock(Protocol):
    """Wall time for stamps, monotonic time for durations."""

    def wall_us(self) -> int:
        """Microseconds since the Unix epoch, 0 to WALL_MAX_US."""
        ...

    def wall_ns(self) -> int:
        """The same in nanoseconds, whatever the clock shows."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never steps back."""
        ...


class SystemClock:
    """The machine's own clocks. Files hold no time outside the bounds: a clock that is wrong by so much shows one of
    them."""

    def wall_us(self) -> int:
        return min(max(0, time.time_ns() // 1000), WALL_MAX_US)

    # The functions themselves: every write asks for the time.
    wall_ns = staticmethod(time.time_ns)
    monotonic_s = staticmethod(time.monotonic)
