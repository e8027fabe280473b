"""How fresh a read is to be: the position it wants to see at least, and how long it waits for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from pykyro.model.conditions import checked_position
from pykyro.model.errors import InvalidArgument
from pykyro.model.limits import FRESHNESS_WAIT_S_MAX
from pykyro.model.types import LSN

FRESHNESS_WAIT_S: Final = 1.0
"""How long a read waits unless it says so."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """The read sees everything up to `min_position`, for which it waits `max_wait_s` seconds at most."""

    min_position: LSN
    max_wait_s: float = FRESHNESS_WAIT_S


def checked_freshness(min_position: object, max_wait_s: object = FRESHNESS_WAIT_S) -> Freshness | None:
    """These arguments of a read, checked; None when any state will do. Raises InvalidArgument."""
    if type(min_position) is int and min_position == 0 and max_wait_s is FRESHNESS_WAIT_S:
        return None  # as nearly all are
    position = checked_position(min_position, "min_position")
    if isinstance(max_wait_s, bool) or not isinstance(max_wait_s, (int, float)):
        raise InvalidArgument(
            f"max_wait_s must be a number, got {type(max_wait_s).__name__}", field="max_wait_s"
        )
    if math.isnan(max_wait_s) or not 0 <= max_wait_s <= FRESHNESS_WAIT_S_MAX:
        raise InvalidArgument(
            f"max_wait_s must be 0 to {FRESHNESS_WAIT_S_MAX:g} seconds, got {max_wait_s:g}",
            field="max_wait_s",
        )
    return Freshness(position, float(max_wait_s)) if position else None
