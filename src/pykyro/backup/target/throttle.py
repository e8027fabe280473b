"""Not faster than asked: a bucket of tokens, filled at a steady rate.

Source: the token bucket of J. Turner, "New Directions in Communications", IEEE Communications Magazine 24(10), 1986.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_BURST_S: Final = 0.25


class Throttle:
    """Lets bytes through at `bytes_per_s` on average, a quarter of a second's worth at once; None: no bound."""

    def __init__(
        self,
        bytes_per_s: float | None,
        *,
        now_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = bytes_per_s
        self._now_s = now_s
        self._sleep = sleep
        self._ready_s = now_s()

    def take(self, size_bytes: int) -> None:
        """Return when so many bytes may go."""
        if self._rate is None:
            return
        now_s = self._now_s()
        self._ready_s = max(self._ready_s, now_s - _BURST_S) + size_bytes / self._rate
        if self._ready_s > now_s:
            self._sleep(self._ready_s - now_s)
