"""The one thread that measures the recall of all open engines of a process, one sample after the other.

After each it rests for as long as keeps all of them together to their share of one processor.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pykyro.engine.recall.monitor import RecallMonitor


class RecallThread:
    """Started with the first engine that is watched, ended with the last."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Know of no engine and no thread, as in a forked child."""
        # Of the kind that its owner may take again: a finalizer may leave in the middle of anything.
        self._lock = threading.RLock()
        # No Event: searches put into it, and an interrupt inside an Event can leave its lock taken.
        self._taken: SimpleQueue[weakref.ref[RecallMonitor] | None] = SimpleQueue()
        self._watched = 0

    def join(self) -> None:
        """One engine more is watched."""
        with self._lock:
            if not self._watched:
                threading.Thread(target=self._serve, name="kyrodb-recall", daemon=True).start()
            self._watched += 1

    def leave(self) -> None:
        """One engine fewer."""
        with self._lock:
            self._watched -= 1
            if not self._watched:
                self._taken.put(None)

    def measure(self, monitor: RecallMonitor) -> None:
        """It has taken a sample. From the thread of a search."""
        self._taken.put(weakref.ref(monitor))

    @property
    def is_here(self) -> bool:
        """Whether this is the thread."""
        return getattr(self._here, "serves", False)

    def _serve(self) -> None:
        self._here.serves = True
        while (named := self._taken.get()) is not None:
            monitor = named()
            rest_s = 0.0 if monitor is None else monitor.measured()
            del monitor
            time.sleep(rest_s)
            monitor = named()
            if monitor is not None:
                monitor.want()
            del monitor


RECALL: Final = RecallThread()
