"""When a call is made again, and after how long.

Again only what can do no harm: after ResourceExhausted with the server's hint nothing was done, so any call; after
Unavailable the server may have done it all the same, so only calls whose second time changes neither the data nor
the answer. Within the caller's time, never longer.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Final

from kyrodb.errors import KyroError, ResourceExhausted, Unavailable

ATTEMPTS_MAX: Final = 5
FIRST_WAIT_S: Final = 0.05
WAIT_S_MAX: Final = 2.0
RATE_WINDOW_S: Final = 1.0
"""A server's rate limit saves up one second of its rate at most: after such a rest it allows all it ever does."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a call takes being shed: it is made `attempts_max` times at most, with `rest_s` between two at least."""

    attempts_max: int = ATTEMPTS_MAX
    rest_s: float = 0.0


CALL: Final = Pace()
STREAM: Final = Pace(rest_s=RATE_WINDOW_S)
"""Each message counts, and one that came too early was wasted."""
TRIAL: Final = Pace(attempts_max=2, rest_s=RATE_WINDOW_S)
"""A stream that was shed after a rest is longer than the rate allows."""


class Attempts:
    """The attempts at one call, within `timeout_s` together."""

    def __init__(self, timeout_s: float, *, idempotent: bool, pace: Pace = CALL) -> None:
        self._deadline_s = time.monotonic() + timeout_s
        self._idempotent = idempotent
        self._pace = pace
        self._made = 0

    @property
    def remaining_s(self) -> float:
        """Time the next attempt has; never negative."""
        return max(0.0, self._deadline_s - time.monotonic())

    def progressed(self) -> None:
        """The attempt that failed had done a part of the work, so the count begins anew."""
        self._made = 0

    def wait_after(self, error: KyroError) -> float:
        """Seconds to wait before the next attempt. Raises `error` when there should be none."""
        self._made += 1
        # Doubling, and never two clients in step:
        # https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
        backoff_s = min(WAIT_S_MAX, FIRST_WAIT_S * 2.0 ** (self._made - 1)) * random.uniform(0.5, 1.0)
        if isinstance(error, ResourceExhausted) and error.retry_after_s is not None:
            attempts_max = self._pace.attempts_max
            wait_s = max(error.retry_after_s, backoff_s, self._pace.rest_s)
        elif isinstance(error, Unavailable) and self._idempotent:
            attempts_max = ATTEMPTS_MAX
            wait_s = backoff_s
        else:
            raise error
        if self._made >= attempts_max or wait_s >= self.remaining_s:
            raise error
        return wait_s
