"""A line in the log at each change of health and of readiness, from a thread that looks every second.

A thread and not the event loop: it asks the disk how much room there is, and a loop that hangs is one of the faults
to report. Frequent changes are logged at a bounded rate; the last state is always logged in the end.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from pykyro.service.server_state import ServerState
from pykyro.telemetry.health import Findings, HealthStatus, Phase, readiness, verdict

_log: Final = logging.getLogger(__name__)

_INTERVAL_S: Final = 1.0
_LINES_AT_ONCE: Final = 8
_LINE_S: Final = 60.0
"""After so many lines without a pause, one in so many seconds."""
_FIGURES: Final = re.compile(r"\d[\d.,]*")
_LEVELS: Final = {
    HealthStatus.STARTING: logging.INFO,
    HealthStatus.HEALTHY: logging.INFO,
    HealthStatus.DEGRADED: logging.WARNING,
    HealthStatus.UNHEALTHY: logging.ERROR,
}


class HealthLog:
    """Compares the present state with the one logged last. For one thread."""

    def __init__(self, *, requires_writes: bool, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """`requires_writes` as in `readiness`."""
        self._requires_writes = requires_writes
        self._monotonic_s = monotonic_s
        self._health = _LastLine(HealthStatus.STARTING.value)
        self._readiness = _LastLine("not_ready", Phase.STARTING.value)
        self._lines = float(_LINES_AT_ONCE)
        self._looked_s = monotonic_s()

    def look(self, findings: Findings) -> None:
        """Log the changes since the last look."""
        now_s = self._monotonic_s()
        self._lines = min(_LINES_AT_ONCE, self._lines + (now_s - self._looked_s) / _LINE_S)
        self._looked_s = now_s
        found = verdict(findings)
        stopping = findings.phase in (Phase.DRAINING, Phase.STOPPED)
        level = logging.INFO if stopping else _LEVELS[found.status]
        # Figures in a reason move all the time; another reason is news even where the word stays.
        self._tell(self._health, "health", found.status.value, found.reason, level)
        word = readiness(findings, requires_writes=self._requires_writes)
        level = logging.INFO if word == "ready" or findings.phase is not Phase.SERVING else logging.WARNING
        why = findings.phase.value if findings.phase is not Phase.SERVING else ""
        self._tell(
            self._readiness, "readiness", word, why or findings.stalled or findings.refusing_writes, level
        )

    def _tell(self, told: _LastLine, what: str, word: str, reason: str, level: int) -> None:
        kind = _FIGURES.sub("#", reason)
        if (word, kind) == (told.word, told.kind) or self._lines < 1:
            return
        self._lines -= 1
        change = f"{told.word} -> {word}" if word != told.word else f"still {word}"
        told.word, told.kind = word, kind
        _log.log(level, "%s: %s%s", what, change, f": {reason}" if reason else "")


class _LastLine:
    """The last word that was logged, and the kind of its reason."""

    __slots__ = ("kind", "word")

    def __init__(self, word: str, kind: str = "") -> None:
        self.word, self.kind = word, kind


@contextlib.contextmanager
def logging_health(server_state: ServerState) -> Iterator[None]:
    """Tell of every change until the block ends."""
    log = HealthLog(requires_writes=server_state.settings.server.ready_requires_writes)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_INTERVAL_S):
            log.look(server_state.findings(server_state.stats()))

    thread = threading.Thread(target=watch, name="health-log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        # A disk that does not answer keeps the thread, and must not keep the stop.
        thread.join(_INTERVAL_S)
