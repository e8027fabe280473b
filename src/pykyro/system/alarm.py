"""Something that goes wrong and comes right again: said in the log when it begins and when it is over.

What comes and goes quickly, as free space about a bound does, costs two lines a minute and no more: a beginning that
follows too soon is kept back, and said with the number of those before it if it lasts.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from pykyro.system.clock import Clock

QUIET_S: Final = 60.0
"""Least time between two beginnings that are said."""


class Alarm:
    """One such thing. May be used from any thread; `on` is cheap to repeat for as long as it lasts."""

    def __init__(self, log: logging.Logger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._said_s: float | None = None
        self._said = False
        self._kept_back = 0
        self.is_on = False

    def on(self, text: str, level: int = logging.ERROR) -> None:
        """It goes wrong, and `text` says what and what to do."""
        with self._lock:
            began, self.is_on = not self.is_on, True
            if self._said:
                return
            now_s = self._clock.monotonic_s()
            if self._said_s is not None and now_s - self._said_s < QUIET_S:
                self._kept_back += began
                return
            # One that was kept back and is said now is not one more.
            before = self._kept_back if began else max(0, self._kept_back - 1)
            self._said_s, self._said, self._kept_back = now_s, True, 0
        more = f" ({before} times more since the last such line)" if before else ""
        self._log.log(level, "%s%s", text, more)

    def off(self, text: str) -> None:
        """It is over, which `text` says if its beginning was said."""
        with self._lock:
            was_said, self.is_on, self._said = self._said, False, False
        if was_said:
            self._log.warning("%s", text)
