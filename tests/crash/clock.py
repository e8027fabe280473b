"""A clock that moves only when told to."""

from __future__ import annotations


class FakeClock:
    """Implements pykyro.system.clock.Clock. Wall time goes on by `tick_us` a look; `step_s` may be negative."""

    def __init__(self, wall_s: float = 1_700_000_000.0, tick_us: int = 1000) -> None:
        self._wall_us = int(wall_s * 1e6)
        self._monotonic_s = 1000.0
        self._tick_us = tick_us

    def wall_us(self) -> int:
        self._wall_us += self._tick_us
        return self._wall_us

    def wall_ns(self) -> int:
        return 1000 * self.wall_us()

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Both clocks go on."""
        self._monotonic_s += seconds
        self._wall_us += int(seconds * 1e6)

    def step_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock; the other does not notice."""
        self._wall_us += int(seconds * 1e6)
