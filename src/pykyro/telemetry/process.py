"""What the operating system knows about this process and its disk."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import psutil

from pykyro.system.memory import allowed_bytes


class ProcessProbe:
    """Measures the process it was made in. May be asked from any thread."""

    def __init__(self, data_dir: Path) -> None:
        self._process = psutil.Process()
        self._data_dir = data_dir
        self._started_s = time.monotonic()
        self._used_before_s = _processor_s()

    @property
    def uptime_s(self) -> float:
        """Seconds since the probe was made, at the start of the server."""
        return time.monotonic() - self._started_s

    def resident_bytes(self) -> int:
        """Memory the process occupies."""
        return int(self._process.memory_info().rss)

    @staticmethod
    def memory_limit_bytes() -> int:
        """Memory the process may occupy before it is killed: the limit of its control group, or all there is."""
        return allowed_bytes()

    def disk_used_bytes(self) -> int:
        """Used bytes of the whole file system that holds the data directory; 0 before the directory exists."""
        try:
            return shutil.disk_usage(self._data_dir).used
        except FileNotFoundError:
            return 0

    def cpu_percent(self) -> float:
        """Mean use of the processors since the start; 100 is one whole core."""
        return 100.0 * (_processor_s() - self._used_before_s) / max(self.uptime_s, 1e-9)


def _processor_s() -> float:
    times = os.times()
    return times.user + times.system
