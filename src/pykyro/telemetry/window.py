"""What happened lately: totals of the last WINDOW_S seconds, from counters that only ever grow.

The counters are noted every few seconds; what they gained since the note that is as old as the window is the
window's total. So a bad hour is forgotten an hour later, and counting costs a request nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Final

WINDOW_S: Final = 300.0
STEP_S: Final = 5.0
"""How far apart notes are, and so how much longer than WINDOW_S the window may be."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts of queries asked and failed, and of cache hits and misses."""

    queries: int = 0
    failed: int = 0
    hits: int = 0
    misses: int = 0

    def __sub__(self, before: Totals) -> Totals:
        return Totals(*(now - then for now, then in zip(astuple(self), astuple(before), strict=True)))

    @property
    def error_rate(self) -> float:
        """Share of queries that failed; 0 without queries."""
        return self.failed / self.queries if self.queries else 0.0

    @property
    def availability(self) -> float:
        """Share of queries that did not fail; 1 without queries."""
        return 1.0 - self.error_rate

    @property
    def hit_rate(self) -> float:
        """Share of lookups and searches that a cache answered; 0 without any."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


class RollingTotals:
    """Notes of `Totals`. One thread notes, any thread asks."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._notes: tuple[tuple[float, Totals], ...] = ((monotonic_s(), Totals()),)

    def note(self, totals: Totals) -> None:
        """Remember what the counters say now; called more often than every STEP_S, it remembers every STEP_S."""
        now_s = self._monotonic_s()
        if now_s - self._notes[-1][0] >= STEP_S:
            self._notes = (*self._within(now_s), (now_s, totals))

    def lately(self, totals: Totals) -> Totals:
        """What the counters gained in the last WINDOW_S, `totals` being what they say now."""
        return totals - self._within(self._monotonic_s())[0][1]

    def _within(self, now_s: float) -> tuple[tuple[float, Totals], ...]:
        """The notes that still count: those inside the window and the last one before it."""
        notes = self._notes
        first = 0
        while first + 1 < len(notes) and notes[first + 1][0] <= now_s - WINDOW_S:
            first += 1
        return notes[first:]
