"""Retries: which failed calls are made again, and after how long.

A retry must do no harm. After ResourceExhausted with the server's hint nothing was done, and a call that reached no
server was never sent, so any call is retried then. After another Unavailable the server may have done the work, so
only calls are retried whose second run changes neither the data nor the answer. The caller's timeout bounds all of
it.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Final

from pykyro.model.errors import DeadlineExceeded, KyroError, ResourceExhausted, Unavailable

ATTEMPTS_MAX: Final = 5
"""Attempts at a call that the server sheds; more would add to its load. Attempts at a server that is gone have no
such limit."""
FIRST_WAIT_S: Final = 0.05
WAIT_S_MAX: Final = 2.0
GONE_WAIT_S_MAX: Final = 1.0
"""Longest pause while a server is gone, so that its return is noticed soon."""
RATE_WINDOW_S: Final = 1.0
"""A server's rate limit saves up at most one second of its rate, so a longer rest gains nothing."""


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """How often a call that the server shed is made: `attempts_max` times at most, with at least `rest_s` between."""

    attempts_max: int = ATTEMPTS_MAX
    rest_s: float = 0.0


CALL: Final = RetryLimits()
STREAM: Final = RetryLimits(rest_s=RATE_WINDOW_S)
"""Each message counts against the rate, also one that was refused."""
STREAM_ONCE_MORE: Final = RetryLimits(attempts_max=2, rest_s=RATE_WINDOW_S)
"""A stream that was shed after a rest is longer than the rate allows."""


class Attempts:
    """The attempts at one call, within `timeout_s` together."""

    def __init__(self, timeout_s: float, *, idempotent: bool, retry_limits: RetryLimits = CALL) -> None:
        self._timeout_s = timeout_s
        self._began_s = time.monotonic()
        self._idempotent = idempotent
        self._limits = retry_limits
        self._made = 0
        self._shed = 0
        self._failed_in_a_row = 0
        self._gone: Unavailable | None = None

    @property
    def remaining_s(self) -> float:
        """Time the next attempt has; never negative."""
        return max(0.0, self._began_s + self._timeout_s - time.monotonic())

    def progressed(self) -> None:
        """The failed attempt had done a part of the work, so the counts start again."""
        self._shed = self._failed_in_a_row = 0

    def wait_after(self, error: KyroError, *, unsent: bool = False) -> float:
        """Seconds to wait before the next attempt. Raises when there should be none: `error`, or after several
        attempts one of its class that also says for how long they were made.

        `unsent` says that the call never came to a server.
        """
        self._made += 1
        self._failed_in_a_row += 1
        if isinstance(error, ResourceExhausted) and error.retry_after_s is not None:
            return self._wait_shed(error, error.retry_after_s)
        if isinstance(error, Unavailable) and (self._idempotent or unsent):
            self._gone = error
            # A last attempt near the end, however long the pause would be by now.
            wait_s = min(self._backoff_s(GONE_WAIT_S_MAX), self.remaining_s / 2)
            if wait_s < FIRST_WAIT_S / 4:
                raise self._given_up(error)
            return wait_s
        if isinstance(error, DeadlineExceeded) and self._gone is not None:
            # The time ran out while the server was waited for: what it was waited for is the news.
            raise self._given_up(self._gone) from error
        raise error

    def _wait_shed(self, error: ResourceExhausted, hint_s: float) -> float:
        self._shed += 1
        wait_s = max(hint_s, self._backoff_s(WAIT_S_MAX), self._limits.rest_s)
        if self._shed >= self._limits.attempts_max or wait_s >= self.remaining_s:
            raise error
        return wait_s

    def _backoff_s(self, longest_s: float) -> float:
        # Doubling, and never two clients in step:
        # https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
        doublings = min(self._failed_in_a_row - 1, 16)
        return min(longest_s, FIRST_WAIT_S * 2.0**doublings) * random.uniform(0.5, 1.0)

    def _given_up(self, error: Unavailable) -> Unavailable:
        if self._made == 1:
            return error
        waited_s = time.monotonic() - self._began_s
        given_up = Unavailable(
            f"gave up after {waited_s:.1f} s and {self._made} attempts (timeout_s = {self._timeout_s:g}): {error}"
        )
        given_up.__cause__ = error.__cause__
        return given_up
