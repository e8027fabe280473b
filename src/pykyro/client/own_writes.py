"""What a client of several servers wrote, so that it reads its own writes whichever of them answers."""

from __future__ import annotations

import time

from pykyro.model.freshness import Freshness, checked_freshness
from pykyro.model.last_position import LastPosition
from pykyro.model.types import LSN


class OwnWrites(LastPosition):
    """The last position of one collection, and the least that a read is to see. Any thread may call any method."""

    __slots__ = ("floor", "noted_s")

    def __init__(self) -> None:
        super().__init__()
        self.floor: LSN = 0
        self.noted_s = -1e9
        """When the last write was acknowledged, by the monotonic clock."""

    def note(self, position: LSN) -> LSN:
        with self._lock:
            self.value = max(self.value, position)
            self.floor = max(self.floor, position)
            self.noted_s = time.monotonic()
        return position

    def forget_floor(self) -> None:
        """Positions noted before mean nothing in the history that the servers have now."""
        with self._lock:
            self.floor = 0


def own_freshness(written: LastPosition, min_position: object, max_wait_s: object) -> Freshness | None:
    """These arguments of a read, checked, for a caller that wrote this. Raises InvalidArgument."""
    fresh = checked_freshness(min_position, max_wait_s)
    floor = written.floor if isinstance(written, OwnWrites) else 0
    if floor == 0 or (fresh is not None and fresh.min_position >= floor):
        return fresh
    return checked_freshness(floor, max_wait_s)
