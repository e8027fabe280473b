"""Room for writes: they wait a bounded time while sealing catches up or memory is short, and are refused after that.

The wait counts from the moment at which room ran out, not from that of each group: so a queue of writers is not held
for one wait after the other. Everybody learns why: callers by the refusal, operators by `warning`.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from pykyro.engine.memory import EngineMemory
from pykyro.engine.options import EngineOptions
from pykyro.engine.state import State
from pykyro.memory.budget import Kind, mebibytes
from pykyro.model.errors import ResourceExhausted
from pykyro.system.alarm import Alarm
from pykyro.system.clock import Clock

if TYPE_CHECKING:
    from pykyro.engine.remote.remote import Remote

_log: Final = logging.getLogger(__name__)

WAIT_S: Final = 10.0
"""How long writers wait after room has run out; then they are refused until there is room again."""
_LOOK_AGAIN_S: Final = 0.05
_RETRY_AFTER_S: Final = 1.0


class Room:
    """Any thread may call any method, but none that holds the write lock or a lock of a cache."""

    def __init__(self, options: EngineOptions, state: State, memory: EngineMemory, clock: Clock) -> None:
        self._waits = options.background
        """Without background work nobody would make room."""
        self._state = state
        self.remote: Remote | None = None
        self._memory = memory
        self._alarm = Alarm(_log, clock)
        self._freed = threading.Condition()
        self._reason = ""
        self._short_since_s: float | None = None

    @property
    def is_short(self) -> bool:
        """Whether writers have found no room, and nobody has found any since."""
        return self._short_since_s is not None

    def refusal(self, *, may_wait: bool = True) -> ResourceExhausted | None:
        """None when there is room, perhaps after waiting for it; else what refuses a write now."""
        if self.look():
            return None
        since_s = self._short_since_s = self._short_since_s or time.monotonic()
        if self.remote is not None and self.remote.is_away:
            may_wait = False
        while may_wait and self._waits and (left_s := since_s + WAIT_S - time.monotonic()) > 0:
            with self._freed:
                self._freed.wait(min(left_s, _LOOK_AGAIN_S))
            if self.look():
                return None
        self._alarm.on(
            f"writes are refused: {self._reason}. The log says above why sealing fails, if it does"
        )
        return ResourceExhausted(self._reason, retry_after_s=_RETRY_AFTER_S)

    def look(self) -> bool:
        """Whether there is room for writes now."""
        memory, hot_bytes = self._memory, self._state.hot_bytes
        memory.refresh(hot_bytes)
        if hot_bytes > memory.hot_bytes_max and self._waits:
            why = "sealing does not keep up"
            if self.remote is not None and self.remote.is_away:
                why = f"nothing can be sealed: {self.remote.warning}"
            self._reason = (
                f"the hot tier holds {mebibytes(hot_bytes)}, more than its {mebibytes(memory.hot_bytes_max)}, and "
                f"{why}"
            )
            return False
        if memory.is_short:
            try:
                memory.budget.admit(Kind.WRITE)
            except ResourceExhausted as refusal:
                self._reason = str(refusal)
                return False
        if self._short_since_s is not None:
            self._short_since_s = None
            if self._alarm.is_on:
                self._alarm.off("writes are accepted again: there is room")
        return True

    def freed(self) -> None:
        """Something was let go of: whoever waits looks again."""
        with self._freed:
            self._freed.notify_all()

    def warning(self) -> str:
        """What health says: that writers wait or are refused, since when and why; "" while there is room."""
        since_s = self._short_since_s
        if since_s is None:
            return ""
        taken_s = time.monotonic() - since_s
        waits = taken_s < WAIT_S and self._waits
        what = "writers have waited for room" if waits else "writes have been refused"
        return f"{what} for {taken_s:.0f} s: {self._reason}"
