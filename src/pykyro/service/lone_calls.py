"""Whether a search may be answered on the event loop, because nobody else asks anything.

The way to a worker thread and back costs one caller alone a sixth of its time. Many callers gain by the worker: it
takes all that gathered at once, and the loop goes on meanwhile. So the loop answers only when many calls in a row
were alone, and rests from it as soon as one is not, or one took long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

_IN_A_ROW: Final = 32
"""So many calls alone, one after the other, before the loop answers. A crowd is hardly ever alone so often."""
_LONG_S: Final = 0.002
"""A search that takes longer would keep others waiting."""
_REST_S: Final = 1.0
"""How long nothing is answered on the loop after that: what was slow once (pages that were not in memory, a large
segment) is slow again."""


class LoneCalls:
    """Used on the event loop only."""

    def __init__(self, in_flight: Callable[[], int]) -> None:
        """`in_flight` tells how many calls are under way, the one that asks among them."""
        self._in_flight = in_flight
        self._in_a_row = 0
        self._rests_until_s = 0.0

    async def may_answer(self) -> bool:
        """Whether this call may be answered on the loop. What came together with it is seen first."""
        if self._in_flight() > 1:
            self._in_a_row = 0
            return False
        self._in_a_row += 1
        if self._in_a_row <= _IN_A_ROW or time.monotonic() < self._rests_until_s:
            return False
        await asyncio.sleep(0)
        if self._in_flight() > 1:
            self._in_a_row = 0
            return False
        return True

    def took(self, began_s: float) -> None:
        """A call that began at this monotonic time was answered on the loop."""
        now_s = time.monotonic()
        if now_s - began_s > _LONG_S:
            self._rests_until_s = now_s + _REST_S
