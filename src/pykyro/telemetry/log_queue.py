"""Between those who log and what they log to: a queue with bounds, and a thread that writes.

A pipe that nobody reads, a reader that is slow, a disk that hangs: writing then waits, and only that thread with it.
Lines that find no room are dropped, counted, and said once lines are written again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from pykyro.model.limits import LOG_QUEUE_BYTES_MAX, LOG_QUEUE_LINES_MAX
from pykyro.telemetry.log_file import Destination

_CHUNK_BYTES: Final = 64 << 10
_STUCK_S: Final = 5.0
"""A write that takes so long waits for somebody."""


class LogQueue:
    """Lines on their way to one destination. May be used from any thread, and never keeps it waiting."""

    def __init__(self, destination: Destination, count_lost: Callable[[int, str], None]) -> None:
        """`count_lost` hears of lines that are lost, and why; the next line tells it in the log itself."""
        self.notice: Callable[[int, str], bytes] = lambda lost, why: b""
        """The line that tells how many are missing where it stands, and why."""
        self.destination = destination
        self._count_lost = count_lost
        # Reentrant: what the interpreter does in between, such as collecting garbage, may log too.
        self._changed = threading.Condition(threading.RLock())
        self._lines: list[bytes] = []
        self._bytes = 0
        self._writing = 0
        """Lines that are being written."""
        self._since_s = 0.0
        self._missing = 0
        self._why = ""
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: bytes) -> None:
        """Take a line with its end, or drop it when too much waits already."""
        with self._changed:
            full = (
                len(self._lines) + self._writing >= LOG_QUEUE_LINES_MAX
                or self._bytes + len(line) > LOG_QUEUE_BYTES_MAX
            )
            if full or self._closing:
                self._lose(1, self.destination.fault or "nobody takes them")
                return
            if self._missing and not self.destination.fault:
                self._append(self._told())
            self._append(line)
            self._changed.notify_all()

    def flush(self, within_s: float) -> bool:
        """Wait so long at most; whether everything put so far has been written or lost."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines and not self._writing, within_s)

    def close_soon(self) -> None:
        """Write what is there, then close the destination. Waits for nothing."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    @property
    def fault(self) -> str:
        """What keeps lines from being written now, "" when nothing does."""
        with self._changed:
            waited_s = time.monotonic() - self._since_s if self._writing else 0.0
            if waited_s > _STUCK_S:
                return f"nobody has taken a log line for {waited_s:.0f} s, {self._missing} were dropped"
            if self._missing and self._why:
                return f"{self._missing} log lines are missing: {self._why}"
        return ""

    def _run(self) -> None:
        while (lines := self._next()) is not None:
            failed_before = self.destination.fault
            lost = self.destination.write(lines)
            with self._changed:
                self._writing = 0
                self._bytes -= sum(map(len, lines))
                if lost:
                    self._lose(lost, self.destination.fault)
                elif self._missing and (failed_before or not self._lines):
                    # What was lost by failing is missing before these lines, what found no room after all of them.
                    self._lines.insert(0, self._told())
                    self._bytes += len(self._lines[0])
                self._changed.notify_all()
        self.destination.close()

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        self._bytes += len(line)

    def _told(self) -> bytes:
        """The line that tells what is missing, which it then is no more."""
        line = self.notice(self._missing, self._why)
        self._missing = 0
        return line

    def _next(self) -> Sequence[bytes] | None:
        """As many lines as are written at once; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closing)
            if not self._lines:
                return None
            count, size = 0, 0
            while count < len(self._lines) and size < _CHUNK_BYTES:
                size += len(self._lines[count])
                count += 1
            lines, self._lines = self._lines[:count], self._lines[count:]
            self._writing, self._since_s = count, time.monotonic()
            return lines

    def _lose(self, count: int, why: str) -> None:
        self._missing += count
        self._why = why
        self._count_lost(count, why)
