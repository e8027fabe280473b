"""The memory of a process as the budget means it: RssAnon and RssShmem of /proc/PID/status.

Mapped files (RssFile) are left out: the system drops their pages when it needs them. A process that builds graphs is
another process, and not counted either.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import psutil

_EVERY_S: Final = 0.02
_COUNTED: Final = ("RssAnon:", "RssShmem:")
ENDED_FROM: Final = 2.5
"""Times the limit. A server that takes so much is ended, so that it does no harm to the machine."""


def resident_bytes(pid: int) -> int:
    """Anonymous and shared memory that is in RAM; 0 when there is no such process any more."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(_COUNTED))


class Watch:
    """The most that a process had, looked at fifty times a second until closed."""

    def __init__(self, pid: int, limit_bytes: int) -> None:
        self._process = psutil.Process(pid)
        self._ended_from = int(ENDED_FROM * limit_bytes)
        self._peak = 0
        self.ended_with = 0
        """Bytes that the process had when it was ended for them; 0 while it was not."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def take_peak(self) -> int:
        """Bytes; the next call tells what came after this one."""
        peak, self._peak = max(self._peak, self.ended_with, resident_bytes(self._process.pid)), 0
        return peak

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_EVERY_S):
            now = resident_bytes(self._process.pid)
            self._peak = max(self._peak, now)
            if now > self._ended_from:
                self.ended_with = now
                self._process.kill()
                return
