"""Moving the admission threshold with what admission does to the cache.

Two numbers between -1 and 1, positive where admission should be stricter:

    room      how far the cache is below the fill it should have, negative: a full cache is no reason by itself
    mistakes  documents admitted that left unread, against documents refused that were asked for again

Their weighted sum, times the greatest bias, is where the bias moves, a third of the way at a time at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_ROOM, _MISTAKES = 0.6, 0.4
_ROOM_TOLERANCE: Final = 0.03
_MISTAKES_MIN: Final = 4
_STEP: Final = 0.35
_MOVED: Final = 0.005


@dataclass(slots=True)
class Feedback:
    """Counted since the last look."""

    unread: int = 0
    """Admitted for their score and evicted without a hit."""
    missed: int = 0
    """Refused and asked for again soon after."""


class AdmissionControl:
    """`bias` is what to add to the threshold. Not thread-safe."""

    def __init__(self, *, target_fill: float, interval_s: float, bias_max: float, now_s: float) -> None:
        self._target = target_fill
        self._interval_s = interval_s
        self._bias_max = bias_max
        self._looked_s = now_s
        self.bias = 0.0
        self.moves = 0

    def look(self, now_s: float, fill: float, feedback: Feedback) -> bool:
        """Move the bias if it is time to; then `feedback` starts anew. Whether it was time."""
        if now_s - self._looked_s < self._interval_s:
            return False
        self._looked_s = now_s
        goal = (_ROOM * self._room(fill) + _MISTAKES * _mistakes(feedback)) * self._bias_max
        step = _STEP * self._bias_max
        before = self.bias
        self.bias += max(-step, min(step, goal - self.bias))
        self.moves += abs(self.bias - before) >= _MOVED
        return True

    def _room(self, fill: float) -> float:
        missing = self._target - fill
        return -min(1.0, missing / max(0.05, self._target)) if missing > _ROOM_TOLERANCE else 0.0


def _mistakes(feedback: Feedback) -> float:
    total = feedback.unread + feedback.missed
    return (feedback.unread - feedback.missed) / total if total >= _MISTAKES_MIN else 0.0
