"""A second thread for the work of one query, while one is free.

The vector library shares queries out among threads, never the rows that one query is compared with. So large
scans are done in two halves here. When all helpers are busy, whoever asks had better do the whole: two halves one
after the other take longer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from pykyro.system.job_thread import Job, JobThread

_Result = TypeVar("_Result")
Work: TypeAlias = Callable[[], _Result]


class Helpers:
    """Threads that are started when they are first needed. For any thread."""

    def __init__(self, threads: int) -> None:
        self._count = threads
        self._begin()
        # In a child the threads are gone.
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._threads = [JobThread() for _ in range(self._count)]

    def both(
        self, halves: Callable[[], tuple[Work[_Result], Work[_Result]]]
    ) -> tuple[_Result, _Result] | None:
        """What the two halves return that `halves` makes, done at the same time; None when no helper is free."""
        # Two who ask at the same moment may choose the same helper. Then one waits, which is slower and not wrong.
        free = next((thread for thread in self._threads if thread.idle), None)
        if free is None:
            return None
        one, other = halves()
        helped = Job(other)
        try:
            free.submit(helped)
        except RuntimeError:  # the interpreter is on its way out
            return None
        try:
            mine = one()
        finally:
            helped.wait()
        return mine, helped.result()
