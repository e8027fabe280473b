"""Keeping recall at a target by moving ef, the candidates a graph walk keeps.

Each sampled search is repeated with the ef in force and with its neighbours on a ladder of efs, so that the effect of
a step is known before it is taken. The planner scales the one ef to the size of each segment.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from pykyro.cache.similar import wilson_bounds

LADDER: Final = (
    *(10, 12, 16, 20, 24, 32, 40, 50, 64, 80, 100, 128, 160, 200, 256),
    *(320, 400, 512, 640, 800, 1024, 1280, 1600, 2048),
)
SAMPLES_MIN: Final = 30
"""Samples of an ef before it is judged."""
_MEMORY: Final = 500.0
"""Samples of an ef from which on older ones fade."""
_Z: Final = 1.0
"""Width of the interval that must lie above the target before ef is lowered, in standard errors."""


class EfControl:
    """Used by one thread."""

    def __init__(self, target: float, ef: int) -> None:
        self.target = target
        self.ef = ef
        """The ef to search with; on the ladder once it has been moved."""
        self.moves = 0
        self._weights: dict[int, float] = {}
        self._recalls: dict[int, float] = {}

    def candidates(self) -> Sequence[int]:
        """The efs to try with the next sample: the one in force and those next to it."""
        at = bisect_left(LADDER, self.ef)
        return sorted({*LADDER[max(0, at - 1) : at + 2], self.ef})

    def observe(self, recalls: dict[int, float]) -> bool:
        """One search found these shares of its true answer, by ef; whether `ef` moved."""
        for ef, recall in recalls.items():
            weight = self._weights.get(ef, 0.0)
            fading = _MEMORY / (weight + 1.0) if weight >= _MEMORY else 1.0
            self._weights[ef] = (weight + 1.0) * fading
            self._recalls[ef] = (self._recalls.get(ef, 0.0) + recall) * fading
        wanted = self._wanted()
        moved = wanted != self.ef
        self.moves += moved
        self.ef = wanted
        return moved

    def _wanted(self) -> int:
        if self._weights.get(self.ef, 0.0) < SAMPLES_MIN:
            return self.ef
        at = bisect_left(LADDER, self.ef)
        if self._mean(self.ef) < self.target:
            return next((ef for ef in LADDER[at:] if ef > self.ef), self.ef)
        lower = LADDER[at - 1] if at > 0 else self.ef
        if self._weights.get(lower, 0.0) >= SAMPLES_MIN:
            low, _ = wilson_bounds(min(1.0, self._mean(lower)), self._weights[lower], _Z)
            if low >= self.target:
                return lower
        return self.ef

    def _mean(self, ef: int) -> float:
        return self._recalls[ef] / self._weights[ef]
