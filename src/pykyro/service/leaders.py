"""Threads that lead the groups of writes of all collections but `default`, which has one of its own.

While one of them waits for the disk, the others lead for other collections. Within a collection groups follow each
other, as in engine/write_path.py.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Final

from pykyro.engine.write_path import WritePath

THREADS: Final = 4


class Leaders:
    """The threads start with the first write. Used on one event loop."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[WritePath | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def lead(self, writes: WritePath) -> None:
        """Lead the groups of these writes from now on."""
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._serve, name=f"collection-commit-{number}", daemon=True)
                for number in range(THREADS)
            ]
            for thread in self._threads:
                thread.start()
        writes.led_by(_Turns(self._waiting, writes))

    def close(self) -> None:
        """End the threads. Call it when every submitted write is done."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while (writes := self._waiting.get()) is not None:
            writes.lead_next()
            del writes  # its collection may be closed before another write comes


class _Turns:
    __slots__ = ("_waiting", "_writes")

    def __init__(self, waiting: SimpleQueue[WritePath | None], writes: WritePath) -> None:
        self._waiting = waiting
        self._writes = writes

    def put(self, leads: bool, /) -> None:
        if leads:
            self._waiting.put(self._writes)
