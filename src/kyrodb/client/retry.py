"""When a call is made again, and after how long.

Again only what can do no harm: after ResourceExhausted with the server's hint nothing was done, so any call; after
Unavailable the server may have done it all the same, so only calls whose second time changes neither the data nor
the answer. Within the caller's time, never longer.
"""

from __future__ import annotations

import random
import time
from typing import Final

from kyrodb.errors import KyroError, ResourceExhausted, Unavailable

ATTEMPTS_MAX: Final = 5
FIRST_WAIT_S: Final = 0.05
WAIT_S_MAX: Final = 2.0


class Attempts:
    """The attempts at one call, within `timeout_s` together."""

    def __init__(self, timeout_s: float, *, idempotent: bool) -> None:
        self._deadline_s = time.monotonic() + timeout_s
        self._idempotent = idempotent
        self._made = 0

    @property
    def remaining_s(self) -> float:
        """Time the next attempt has; never negative."""
        return max(0.0, self._deadline_s - time.monotonic())

    def wait_after(self, error: KyroError) -> float:
        """Seconds to wait before the next attempt. Raises `error` when there should be none."""
        self._made += 1
        # Doubling, and never two clients in step: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
        backoff_s = min(WAIT_S_MAX, FIRST_WAIT_S * 2.0 ** (self._made - 1)) * random.uniform(0.5, 1.0)
        if isinstance(error, ResourceExhausted) and error.retry_after_s is not None:
            wait_s = max(error.retry_after_s, backoff_s)
        elif isinstance(error, Unavailable) and self._idempotent:
            wait_s = backoff_s
        else:
            raise error
        if self._made >= ATTEMPTS_MAX or wait_s >= self.remaining_s:
            raise error
        return wait_s
