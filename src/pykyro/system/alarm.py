"""A fault that comes and goes: it is logged when it begins and when it ends.

A fault that comes and goes quickly, as free space near a bound does, costs at most two lines a minute: a beginning
that follows too soon is held back, and is logged later, with the number of those before it, if the fault lasts.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from pykyro.system.clock import Clock

QUIET_S: Final = 60.0
"""Least time between two beginnings that are logged."""


class Alarm:
    """One such fault. May be used from any thread; repeating `on` while it lasts is cheap."""

    def __init__(self, log: logging.Logger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._said_s: float | None = None
        self._said = False
        self._kept_back = 0
        self.is_on = False

    def on(self, text: str, level: int = logging.ERROR) -> None:
        """The fault is there; `text` describes it and gives the advice."""
        with self._lock:
            began, self.is_on = not self.is_on, True
            if self._said:
                return
            now_s = self._clock.monotonic_s()
            if self._said_s is not None and now_s - self._said_s < QUIET_S:
                self._kept_back += began
                return
            # A beginning that was held back and is logged now is not counted.
            before = self._kept_back if began else max(0, self._kept_back - 1)
            self._said_s, self._said, self._kept_back = now_s, True, 0
        more = f" ({before} times more since the last such line)" if before else ""
        self._log.log(level, "%s%s", text, more)

    def off(self, text: str) -> None:
        """The fault is over; `text` is logged if its beginning was."""
        with self._lock:
            was_said, self.is_on, self._said = self._said, False, False
        if was_said:
            self._log.warning("%s", text)
