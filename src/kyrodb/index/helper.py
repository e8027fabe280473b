"""A second thread for the work of one question, while one is free.

The vector library shares questions out among threads, never the rows that one question is compared with. So large
scans are done in two halves here. When all helpers are busy, whoever asks had better do the whole: two halves one
after the other take longer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

_Result = TypeVar("_Result")
Work: TypeAlias = Callable[[], _Result]


class Helpers:
    """Threads that are started when they are first needed. For any thread."""

    def __init__(self, threads: int) -> None:
        self._count = threads
        self._begin()
        # In a child the threads are gone, and the executor does not know.
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._free = threading.Semaphore(self._count)
        self._threads = ThreadPoolExecutor(max(1, self._count), "kyrodb-scan")

    def both(
        self, halves: Callable[[], tuple[Work[_Result], Work[_Result]]]
    ) -> tuple[_Result, _Result] | None:
        """What the two halves return that `halves` makes, done at the same time; None when no helper is free."""
        free = self._free
        if not free.acquire(blocking=False):
            return None
        try:
            one, other = halves()
            try:
                helped = self._threads.submit(other)
            except RuntimeError:  # the interpreter is on its way out
                return None
            try:
                mine = one()
            finally:
                helped.exception()
            return mine, helped.result()
        finally:
            free.release()
