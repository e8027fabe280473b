"""The position of the last write that a program was told is done, so that it can read what it wrote."""

from __future__ import annotations

import threading

from pykyro.model.types import LSN


class LastPosition:
    """The largest of the positions noted. Any thread may call any method."""

    __slots__ = ("_lock", "value")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.value: LSN = 0

    def note(self, position: LSN) -> LSN:
        """`position` itself, noted."""
        with self._lock:
            if position > self.value:
                self.value = position
        return position
