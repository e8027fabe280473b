"""A second thread for the work of one question, while it is free.

The vector library shares questions out among threads, never the rows that one question is compared with. So large
scans are done in two halves here. When the helpers are busy, whoever asks does both halves alone, which costs no more
than it would have without them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Result = TypeVar("_Result")


class Helpers:
    """Threads that are started when they are first needed. For any thread."""

    def __init__(self, threads: int) -> None:
        self._free = threading.Semaphore(threads)
        self._threads = ThreadPoolExecutor(max(1, threads), "kyrodb-scan")

    def both(self, one: Callable[[], _Result], other: Callable[[], _Result]) -> tuple[_Result, _Result]:
        """What the two return; done at the same time if a helper is free."""
        if not self._free.acquire(blocking=False):
            return one(), other()
        try:
            helped = self._threads.submit(other)
            return one(), helped.result()
        finally:
            self._free.release()
